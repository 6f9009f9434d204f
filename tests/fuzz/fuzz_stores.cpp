// What a DurableStore finds in its directory. The input is a list of records, each of a byte that says what it is and what belongs to it: a
// value's header with few, small numbers, so that it fits the chunks that are there; a chunk; a header of any bytes; any key. Checksums are
// made right. Values that are whole are read as they are, and nothing but StorageCorruption comes of the others; what is put or removed
// beside them changes nothing of them.
#include <algorithm>
#include <map>
#include <set>

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

/// What the input has put there, and so what must be found.
struct Filled {
  struct Value {
    DurableHeader header{};
    std::vector<std::byte> bytes{};  ///< of all its chunks
    bool whole = false;
  };
  std::map<std::string, Value> values{};  ///< by name; other headers may be there, of any bytes
  std::map<std::pair<std::uint64_t, std::uint64_t>, ByteView> chunks{};

  /// As whoever put the value would have made it: the size, where none is given, and the checksum are those of its chunks.
  void make_right(Value& value) const {
    bool empty = false, in_between = false;  // who puts makes no chunk of nothing
    for (auto chunk = chunks.find({value.header.generation, 0}); chunk != chunks.end();
         chunk = chunks.find({value.header.generation, chunk->first.second + 1})) {
      in_between = in_between || (empty && !chunk->second.empty());
      empty = empty || chunk->second.empty();
      value.bytes.insert(value.bytes.end(), chunk->second.begin(), chunk->second.end());
    }
    if (value.header.bytes == 0) value.header.bytes = value.bytes.size();
    value.header.checksum = checksum_of(ByteView(value.bytes));
    value.whole = value.header.bytes == value.bytes.size() && !in_between;
  }
};

Filled fill(MemoryStore& store, Input input) {
  Filled filled;
  while (!input.empty()) switch (input.number() % 4) {
      case 0: {
        const std::string name = input.text();
        const std::uint64_t generation = input.number(), bytes = input.number();
        filled.values[name].header = {.type_tag = input.text(), .bytes = bytes, .generation = generation, .chunk_bytes = 4 << 20};
        break;
      }
      case 1: {
        const std::uint64_t generation = input.number(), index = input.number();
        filled.chunks[{generation, index}] = input.bytes();
        break;
      }
      case 2: {
        const std::string name = "h" + input.text();
        store.put(name, input.bytes()).value();
        break;
      }
      case 3: {
        const std::string key = input.text();
        store.put(key, input.bytes()).value();
        break;
      }
    }
  for (const auto& [place, chunk] : filled.chunks) store.put(ordered_key("c", {place.first, place.second}), chunk).value();
  for (auto& [name, value] : filled.values) {
    filled.make_right(value);
    const std::string record = encode(value.header);
    store.put("h" + name, as_byte_view(record)).value();
  }
  return filled;
}

template <class T>
bool good(const Result<T>& result) {
  MANTA_CHECK(result.ok() || result.error().code == ErrorCode::kStorageCorruption);
  return result.ok();
}

void check_bytes(const DurableStore& store, const std::string& name, const Filled::Value& should) {
  const auto value = store.get(name);
  MANTA_CHECK(good(value) == should.whole);
  if (value) MANTA_CHECK(value->type_tag == should.header.type_tag && std::ranges::equal(value->bytes, should.bytes));
}

void check_value(const DurableStore& store, const DurableInfo& listed, const Filled& filled) {
  const auto info = store.info(listed.name);
  MANTA_CHECK(!good(info) || !listed.damaged);
  const auto put = filled.values.find(listed.name);
  MANTA_CHECK(put == filled.values.end() || info.ok());
  if (!info) return static_cast<void>(MANTA_CHECK(listed.damaged || listed.bytes > kUnchecked));
  MANTA_CHECK(info->type_tag == listed.type_tag && info->bytes == listed.bytes);
  if (put != filled.values.end()) return check_bytes(store, listed.name, put->second);
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

bool may_be_put(const std::string& name) { return !name.empty() && name.size() < 4096; }

/// Every other value is changed. The rest stays, but where a forged header names the chunks of another one.
void check_changes(DurableStore& store, const std::vector<DurableInfo>& all, const Filled& filled) {
  bool others = false;
  std::set<std::uint64_t> changed;
  for (std::size_t i = 0; i < all.size(); i += 2) {
    const auto put = filled.values.find(all[i].name);
    if (put != filled.values.end()) changed.insert(put->second.header.generation);
    others = others || (put == filled.values.end() && !all[i].damaged);
    if (may_be_put(all[i].name)) check_change(store, all[i].name);
  }
  for (std::size_t i = 1; i < all.size(); i += 2) {
    const auto put = filled.values.find(all[i].name);
    if (put != filled.values.end() && !others && !changed.contains(put->second.header.generation)) check_bytes(store, all[i].name, put->second);
  }
  for (std::size_t i = 1; i < all.size(); i += 2)
    if (may_be_put(all[i].name)) check_change(store, all[i].name);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  [[maybe_unused]] static const bool quiet = (set_log_level(LogLevel::kOff), true);
  auto records = std::make_unique<MemoryStore>();
  const auto filled = fill(*records, Input(std::as_bytes(std::span(data, size))));
  auto opened = DurableStore::on(std::move(records));
  if (!good(opened)) return 0;
  DurableStore& store = **opened;
  const auto all = store.list().value();
  for (std::size_t i = 0; i < all.size(); ++i) {
    check_value(store, all[i], filled);
    if (all[i].name.empty()) continue;
    std::size_t behind = 0;
    store.visit("", all[i].name, [&](const DurableInfo& info) {
      return MANTA_CHECK(info.name == all.at(i + ++behind).name), true;
    }).value();
    MANTA_CHECK(i + behind + 1 == all.size());
  }
  for (const auto& [name, value] : filled.values) MANTA_CHECK(std::ranges::count(all, name, &DurableInfo::name) == 1);
  check_changes(store, all, filled);
  return 0;
}
