#include "runtime/store/durable_store.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <mutex>
#include <set>

#include "runtime/base/log.hpp"
#include "runtime/store/checksum.hpp"
#include "runtime/store/rocksdb_store.hpp"

namespace manta {

namespace {

constexpr std::uint64_t kChunkBytes = 4ull << 20;
constexpr std::uint64_t kMaxChunkBytes = 64ull << 20;  // of values of any build
constexpr std::uint64_t kLoggedBytes = 64ull << 10;  // up to here a value goes into the log, with its header
constexpr std::uint64_t kEndOfGenerations = kEndOfNumbers / 2;  // that are given; a header of a larger one is forged, and counts for nobody
constexpr std::size_t kMaxNameBytes = 4 << 10;
constexpr std::size_t kMaxTagBytes = 64 << 10;  // a record's header may have a MiB
constexpr std::size_t kShownBytes = 64;
constexpr char kChunkPrefix[] = "c";
constexpr char kHeaderPrefix[] = "h";

std::string header_key(std::string_view name) { return kHeaderPrefix + std::string(name); }
std::string chunk_key(std::uint64_t generation, std::uint64_t index) {
  return ordered_key(kChunkPrefix, {generation, index});
}

std::optional<std::uint64_t> generation_of(std::string_view key) {
  const auto number = key.starts_with(kChunkPrefix) ? number_of_key(key, 1) : std::nullopt;
  return number && *number < kEndOfNumbers ? number : std::nullopt;
}

/// In the write that drops its header.
void forget(const DurableHeader& value, WriteBatch& commit) {
  if (value.bytes <= kLoggedBytes)
    commit.erase(chunk_key(value.generation, 0));
  else
    commit.erase_range(chunk_key(value.generation, 0), chunk_key(value.generation + 1, 0));
}

Result<void> check_names(std::string_view name, std::string_view type_tag) {
  const auto refuse = [](std::string message) { return ErrorInfo{.code = ErrorCode::kInvalidArgument, .message = std::move(message)}; };
  if (name.empty()) return refuse("a durable object needs a name");
  if (name.size() > kMaxNameBytes)
    return refuse(fmt::format("the name of a durable object has {} bytes, more than {}: \"{}…\". Give a shorter one, and put what else it says "
                              "into the value", name.size(), kMaxNameBytes, name.substr(0, kShownBytes)));
  if (type_tag.size() > kMaxTagBytes)
    return refuse(fmt::format("the type tag of the durable object \"{}\" has {} bytes, more than {}: give a short name of the type and its "
                              "version, and put what describes the value into the value", name, type_tag.size(), kMaxTagBytes));
  return {};
}

std::string missing_chunk(std::uint64_t index) { return fmt::format("chunk {} is missing or has the wrong size", index); }

ErrorInfo not_found(std::string_view name, const std::string& store) {
  return {.code = ErrorCode::kNotFound, .message = fmt::format("there is no durable object \"{}\" in {}", name, store)};
}

}  // namespace

/// The chunks of a generation that was dropped may be under a tombstone still, and a table that is loaded there goes to the first
/// level, where files are not deleted whole. No program puts as many values as there are microseconds.
DurableStore::DurableStore(std::unique_ptr<KeyValueStore> store)
    : store_(std::move(store)),
      next_generation_(static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                                      std::chrono::system_clock::now().time_since_epoch())
                                                      .count())) {}

Result<std::unique_ptr<DurableStore>> DurableStore::open(const std::string& path) {
  auto store = open_rocksdb(path, {.erases_on_full_disk = true});
  if (!store) return store.error();
  return on(std::move(store).value());
}

Result<std::unique_ptr<DurableStore>> DurableStore::on(std::unique_ptr<KeyValueStore> store) {
  std::unique_ptr<DurableStore> durable(new DurableStore(std::move(store)));
  if (auto collected = durable->collect_orphans(); !collected) return collected.error();
  return durable;
}

/// Forgets large values that no header names: a put that was interrupted before its commit, each in a table of its own. No value is
/// read for that, so that a damaged one concerns nobody else, and the time does not grow with the values. (A small value comes and goes in
/// one write with its header.)
Result<void> DurableStore::collect_orphans() {
  const auto named = named_generations();
  if (!named) return named.error();
  const auto ranges = store_->ranges(kChunkPrefix, kHeaderPrefix);
  if (!ranges) return ranges.error();
  std::set<std::uint64_t> orphans;
  for (const auto& range : *ranges) {
    const auto first = generation_of(range.first), last = generation_of(range.last);
    if (last && *last < kEndOfGenerations) next_generation_ = std::max(next_generation_.load(), *last + 1);
    if (*named && first && first == last && !(*named)->contains(*first)) orphans.insert(*first);
  }
  for (const auto generation : orphans) drop_chunks(generation);
  return {};
}

/// The generations that headers name; nullopt when one cannot be read: its chunks look like those of an interrupted put.
Result<std::optional<std::set<std::uint64_t>>> DurableStore::named_generations() {
  std::optional<std::set<std::uint64_t>> named(std::in_place);
  bool all = true;
  const auto damaged = [&all](const ErrorInfo& error) { all = false, log(LogLevel::kError, error.message); };
  auto scanned = store_->scan(kHeaderPrefix, [&](std::string_view key, ByteView value) {
    const auto header = decode_durable_header(value);
    if (!header) return damaged(corrupt(key.substr(1), header.error().message)), true;
    if (header->generation < kEndOfGenerations) next_generation_ = std::max(next_generation_.load(), header->generation + 1);
    named->insert(header->generation);
    return true;
  });
  if (!scanned && scanned.error().code != ErrorCode::kStorageCorruption) return scanned.error();
  if (!scanned) damaged(scanned.error());
  if (!all) named.reset();
  return named;
}

Result<void> DurableStore::put(std::string_view name, std::string_view type_tag, ByteView bytes) {
  if (auto sound = check_names(name, type_tag); !sound) return sound;
  const auto generation = next_generation_++;
  if (generation >= kEndOfGenerations)
    return ErrorInfo{.code = ErrorCode::kStorageCorruption,
                     .message = fmt::format("durable object \"{}\" is not put: a value in {} has a number so large that none is left for a new one, which only "
                                            "damage gives it. Restore the directory from a copy, or put everything into a new one", name, store_->name())};
  const bool logged = bytes.size() <= kLoggedBytes;
  if (auto loaded = logged ? Result<void>{} : load_chunks(generation, bytes); !loaded) return drop_chunks(generation), loaded;
  const auto record = encode(DurableHeader{.type_tag = std::string(type_tag),
                                           .bytes = bytes.size(),
                                           .checksum = checksum_of(bytes),
                                           .generation = generation,
                                           .chunk_bytes = kChunkBytes});
  std::unique_lock lock(mutex_);
  WriteBatch commit;
  commit.put(header_key(name), as_byte_view(record));
  if (logged && !bytes.empty()) commit.put(chunk_key(generation, 0), bytes);
  const auto old = header(name);
  if (old) forget(*old, commit);
  auto written = store_->write(commit, Sync::kYes);
  if (!written && !logged && written.error().code == ErrorCode::kOutOfDisk && holds_refused(name, generation)) written = {};
  if (written && old) give_back(*old);
  return written;  // after another error nobody knows whether the commit is on the disk: its chunks stay
}

/// Whether a commit for which there was no room is in the store all the same; if not, its chunks go. The change makes a store
/// that was full look at what is on its disk; where it cannot, the chunks stay until the next opening.
bool DurableStore::holds_refused(std::string_view name, std::uint64_t generation) {
  if (!store_->write(WriteBatch{}.erase(chunk_key(generation, UINT64_MAX)), Sync::kYes)) return false;
  const auto there = header(name);
  if (there && there->generation == generation) return true;
  if (there || there.error().code == ErrorCode::kNotFound) drop_chunks(generation);
  return false;
}

/// Into files of their own, which go whole when the value does.
Result<void> DurableStore::load_chunks(std::uint64_t generation, ByteView bytes) {
  std::vector<KeyValueStore::Record> records;
  for (std::uint64_t index = 0; index * kChunkBytes < bytes.size(); ++index) {
    const auto at = index * kChunkBytes;
    records.push_back({chunk_key(generation, index), bytes.subspan(at, std::min(kChunkBytes, bytes.size() - at))});
  }
  return store_->bulk_load(records);
}

/// Of a value that the store has forgotten: its files go at once. A small one has none of its own.
void DurableStore::give_back(const DurableHeader& value) {
  if (value.bytes > kLoggedBytes) drop_chunks(value.generation);
}

/// Best effort: what stays is collected when the store is opened next.
void DurableStore::drop_chunks(std::uint64_t generation) {
  static_cast<void>(store_->drop_range(chunk_key(generation, 0), chunk_key(generation + 1, 0)));
}

Result<DurableHeader> DurableStore::header(std::string_view name) const {
  Result<DurableHeader> header = not_found(name, store_->name());
  auto found = store_->read(header_key(name), [&](ByteView value) { header = decode_durable_header(value); });
  if (!found) return found.error().code == ErrorCode::kStorageCorruption ? corrupt(name, "its header cannot be read") : found.error();
  if (*found && !header) return corrupt(name, header.error().message);
  return header;
}

/// One that promises no more than there is, so that room can be made for the value: a damaged one may ask for all the memory there is.
Result<DurableHeader> DurableStore::sound_header(std::string_view name) const {
  auto head = header(name);
  if (!head || head->bytes <= kMaxChunkBytes) return head;  // so much may be asked for
  if (head->chunk_bytes == 0 || head->chunk_bytes > kMaxChunkBytes)
    return corrupt(name, "its header gives its chunks a size that none has");
  const auto last = (head->bytes - 1) / head->chunk_bytes;
  bool there = false;
  auto found = read_chunk(name, *head, last, [&](ByteView chunk) { there = chunk.size() == head->bytes - last * head->chunk_bytes; });
  if (!found) return found.error();
  if (!there) return corrupt(name, missing_chunk(last));
  return head;
}

/// Nothing is read when the chunk is not there.
Result<void> DurableStore::read_chunk(std::string_view name, const DurableHeader& head, std::uint64_t index,
                                      const KeyValueStore::Reader& reader) const {
  const auto found = store_->read(chunk_key(head.generation, index), reader);
  if (found) return {};
  if (found.error().code != ErrorCode::kStorageCorruption) return found.error();
  return corrupt(name, fmt::format("the disk gives other bytes than were written (chunk {})", index));
}

Result<DurableInfo> DurableStore::read(std::string_view name, const Placer& placer) const {
  std::shared_lock lock(mutex_);
  auto head = sound_header(name);
  if (!head) return head.error();
  DurableInfo info{.name = std::string(name), .type_tag = head->type_tag, .bytes = head->bytes};
  auto place = placer(info);
  if (!place) return place.error();
  MANTA_CHECK(place->size() == head->bytes);
  LocalChecksum hash;
  std::uint64_t filled = 0;
  for (std::uint64_t index = 0; filled < head->bytes; ++index) {
    const auto before = filled;
    auto found = read_chunk(name, *head, index, [&](ByteView chunk) {
      if (chunk.empty() || chunk.size() > head->bytes - filled) return;
      std::memcpy(place->data() + filled, chunk.data(), chunk.size());
      hash.add(chunk);
      filled += chunk.size();
    });
    if (!found) return found.error();
    if (filled == before) return corrupt(name, missing_chunk(index));
  }
  if (hash.value() != head->checksum) return corrupt(name, "its checksum does not match its bytes");
  return info;
}

Result<DurableValue> DurableStore::get(std::string_view name) const {
  DurableValue value;
  auto found = read(name, [&value](const DurableInfo& info) -> Result<std::span<std::byte>> {
    value.bytes.resize(info.bytes);
    return std::span<std::byte>(value.bytes);
  });
  if (!found) return found.error();
  value.type_tag = found->type_tag;
  return value;
}

Result<DurableInfo> DurableStore::info(std::string_view name) const {
  std::shared_lock lock(mutex_);
  auto head = sound_header(name);
  if (!head) return head.error();
  return DurableInfo{.name = std::string(name), .type_tag = head->type_tag, .bytes = head->bytes};
}

Result<std::vector<DurableInfo>> DurableStore::list(std::string_view prefix) const {
  std::vector<DurableInfo> found;
  auto visited = visit(prefix, {}, [&found](DurableInfo info) { return found.push_back(std::move(info)), true; });
  if (!visited) return visited.error();
  return found;
}

Result<void> DurableStore::visit(std::string_view prefix, std::string_view after, const Visitor& visitor) const {
  const auto wanted = header_key(prefix);
  const auto next = header_key(after) + '\0';  // no key lies between the two
  return store_->scan(after.empty() ? wanted : std::max(wanted, next), [&](std::string_view key, ByteView value) {
    if (!key.starts_with(wanted)) return false;
    const auto header = decode_durable_header(value);
    if (!header) return visitor({.name = std::string(key.substr(1)), .damaged = true});
    return visitor({.name = std::string(key.substr(1)), .type_tag = header->type_tag, .bytes = header->bytes});
  });
}

/// Also of a value whose header cannot be read; its chunks go with the next opening.
Result<void> DurableStore::remove(std::string_view name) {
  std::unique_lock lock(mutex_);
  const auto old = header(name);
  if (!old && old.error().code != ErrorCode::kStorageCorruption) return old.error();
  WriteBatch commit;
  commit.erase(header_key(name));
  if (old) forget(*old, commit);
  auto removed = store_->write(commit, Sync::kYes);
  if (removed && old) give_back(*old);
  return removed;
}

ErrorInfo DurableStore::corrupt(std::string_view name, std::string_view detail) const {
  return {.code = ErrorCode::kStorageCorruption,
          .message = fmt::format("durable object \"{}\" in {} is damaged: {}. Put it again or remove it", name,
                                 store_->name(), detail)};
}

}  // namespace manta
