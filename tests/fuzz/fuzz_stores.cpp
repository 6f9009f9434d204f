// What a DurableStore finds in its directory. The input is a list of records, each of a byte that says what it is and what belongs to it: a
// value's header with few, small numbers, so that it fits the chunks that are there; a chunk; a header of any bytes; any key. Checksums are
// made right. Values that are whole are read, and nothing but StorageCorruption comes of the others.
#include <algorithm>
#include <map>

#include "runtime/base/log.hpp"
#include "runtime/store/checksum.hpp"
#include "runtime/store/durable_store.hpp"
#include "runtime/store/memory_store.hpp"

namespace {

using namespace manta;

constexpr std::uint64_t kMostBytes = 1 << 20;  // a header may claim more: who reads it finds no place for that
constexpr std::uint64_t kUnchecked = 64 << 20;  // above it the last chunk is looked at too, which a list does not

class Input {
 public:
  explicit Input(ByteView bytes) : bytes_(bytes) {}
  bool empty() const { return bytes_.empty(); }
  std::uint8_t number() { return empty() ? 0 : std::to_integer<std::uint8_t>(take(1)[0]); }
  ByteView take(std::size_t count) {
    const auto taken = bytes_.first(std::min(count, bytes_.size()));
    bytes_ = bytes_.subspan(taken.size());
    return taken;
  }
  ByteView bytes() { return take(number()); }  // after a byte that says how many
  std::string text() {
    const auto taken = bytes();
    return {reinterpret_cast<const char*>(taken.data()), taken.size()};
  }

 private:
  ByteView bytes_;
};

/// As whoever put the value would have made it: the size, where none is given, and the checksum are those of its chunks.
DurableHeader made_right(DurableHeader header, const std::map<std::pair<std::uint64_t, std::uint64_t>, ByteView>& chunks) {
  std::vector<std::byte> value;
  for (std::uint64_t index = 0;; ++index) {
    const auto chunk = chunks.find({header.generation, index});
    if (chunk == chunks.end()) break;
    value.insert(value.end(), chunk->second.begin(), chunk->second.end());
  }
  if (header.bytes == 0) header.bytes = value.size();
  header.checksum = checksum_of(ByteView(value));
  return header;
}

std::unique_ptr<MemoryStore> filled(Input input) {
  auto store = std::make_unique<MemoryStore>();
  std::map<std::pair<std::uint64_t, std::uint64_t>, ByteView> chunks;
  std::map<std::string, DurableHeader> headers;
  while (!input.empty()) switch (input.number() % 4) {
      case 0: {
        const std::string name = "h" + input.text();
        const std::uint64_t generation = input.number(), bytes = input.number();
        headers[name] = {.type_tag = input.text(), .bytes = bytes, .generation = generation, .chunk_bytes = 4 << 20};
        break;
      }
      case 1: {
        const std::uint64_t generation = input.number(), index = input.number();
        chunks[{generation, index}] = input.bytes();
        break;
      }
      case 2: {
        const std::string name = "h" + input.text();
        store->put(name, input.bytes()).value();
        break;
      }
      case 3: {
        const std::string key = input.text();
        store->put(key, input.bytes()).value();
        break;
      }
    }
  for (const auto& [place, chunk] : chunks) store->put(ordered_key("c", {place.first, place.second}), chunk).value();
  for (const auto& [name, header] : headers) {
    const std::string record = encode(made_right(header, chunks));
    store->put(name, as_byte_view(record)).value();
  }
  return store;
}

template <class T>
bool good(const Result<T>& result) {
  MANTA_CHECK(result.ok() || result.error().code == ErrorCode::kStorageCorruption);
  return result.ok();
}

void check_value(const DurableStore& store, const DurableInfo& listed) {
  const auto info = store.info(listed.name);
  MANTA_CHECK(!good(info) || !listed.damaged);
  if (!info) return static_cast<void>(MANTA_CHECK(listed.damaged || listed.bytes > kUnchecked));
  MANTA_CHECK(info->type_tag == listed.type_tag && info->bytes == listed.bytes);
  if (listed.bytes > kMostBytes) return;
  const auto value = store.get(listed.name);
  if (good(value)) MANTA_CHECK(value->bytes.size() == listed.bytes && value->type_tag == listed.type_tag);
}

/// Whatever there was of that name.
void check_change(DurableStore& store, const std::string& name) {
  constexpr std::string_view kText = "another value";
  if (!good(store.put(name, "text", as_byte_view(kText)))) return;  // no number is left
  MANTA_CHECK(std::ranges::equal(store.get(name).value().bytes, as_byte_view(kText)));
  store.remove(name).value();
  MANTA_CHECK(store.info(name).error().code == ErrorCode::kNotFound && store.remove(name).error().code == ErrorCode::kNotFound);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  [[maybe_unused]] static const bool quiet = (set_log_level(LogLevel::kOff), true);
  auto opened = DurableStore::on(filled(Input(std::as_bytes(std::span(data, size)))));
  if (!good(opened)) return 0;
  DurableStore& store = **opened;
  const auto all = store.list().value();
  for (std::size_t i = 0; i < all.size(); ++i) {
    check_value(store, all[i]);
    if (all[i].name.empty()) continue;
    std::size_t behind = 0;
    store.visit("", all[i].name, [&](const DurableInfo& info) {
      return MANTA_CHECK(info.name == all.at(i + ++behind).name), true;
    }).value();
    MANTA_CHECK(i + behind + 1 == all.size());
  }
  for (const auto& each : all)
    if (!each.name.empty() && each.name.size() < 4096) check_change(store, each.name);
  return 0;
}
