#include "runtime/store/durable_store.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <set>

#include "runtime/store/checksum.hpp"
#include "runtime/store/rocksdb_store.hpp"

namespace manta {

namespace {

constexpr std::uint64_t kChunkBytes = 4ull << 20;
constexpr char kChunkPrefix[] = "c";
constexpr char kHeaderPrefix[] = "h";

std::string header_key(std::string_view name) { return kHeaderPrefix + std::string(name); }
std::string chunk_key(std::uint64_t generation, std::uint64_t index) {
  return ordered_key(kChunkPrefix, {generation, index});
}

ErrorInfo not_found(std::string_view name, const std::string& store) {
  return {.code = ErrorCode::kNotFound, .message = fmt::format("there is no durable object \"{}\" in {}", name, store)};
}

}  // namespace

Result<std::unique_ptr<DurableStore>> DurableStore::open(const std::string& path) {
  auto store = open_rocksdb(path);
  if (!store) return store.error();
  return on(std::move(store).value());
}

Result<std::unique_ptr<DurableStore>> DurableStore::on(std::unique_ptr<KeyValueStore> store) {
  std::unique_ptr<DurableStore> durable(new DurableStore(std::move(store)));
  if (auto collected = durable->collect_orphans(); !collected) return collected.error();
  return durable;
}

/// Erases chunks that no header names: a put that was interrupted before its commit.
Result<void> DurableStore::collect_orphans() {
  std::set<std::uint64_t> named;
  std::optional<ErrorInfo> error;
  auto scanned = store_->scan(kHeaderPrefix, [&](std::string_view key, ByteView value) {
    auto header = decode_durable_header(value);
    if (!header) error = corrupt(key.substr(1), header.error().message);
    if (header) named.insert(header->generation);
    return !error;
  });
  if (!scanned) return scanned;
  if (error) return *error;
  if (!named.empty()) next_generation_ = *named.rbegin() + 1;

  WriteBatch orphans;
  std::uint64_t candidate = 0;  // chunks are found by seeking from one generation to the next
  for (bool more = true; more;) {
    more = false;
    scanned = store_->scan(chunk_key(candidate, 0), [&](std::string_view key, ByteView) {
      const auto generation = number_of_key(key, 1);
      if (!key.starts_with(kChunkPrefix) || !generation) return false;
      if (!named.contains(*generation)) orphans.erase_range(chunk_key(*generation, 0), chunk_key(*generation + 1, 0));
      next_generation_ = std::max(next_generation_.load(), *generation + 1);
      candidate = *generation + 1;
      more = true;
      return false;
    });
    if (!scanned) return scanned;
  }
  return orphans.operations().empty() ? Result<void>{} : store_->write(orphans, Sync::kNo);
}

Result<void> DurableStore::put(std::string_view name, std::string_view type_tag, ByteView bytes) {
  if (name.empty()) return ErrorInfo{.code = ErrorCode::kInvalidArgument, .message = "a durable object needs a name"};
  const auto generation = next_generation_++;
  if (auto written = write_chunks(generation, bytes); !written) {
    // Best effort: what stays is collected when the store is opened next.
    (void)store_->write(WriteBatch{}.erase_range(chunk_key(generation, 0), chunk_key(generation + 1, 0)), Sync::kNo);
    return written;
  }
  const auto record = encode(DurableHeader{.type_tag = std::string(type_tag),
                                           .bytes = bytes.size(),
                                           .checksum = checksum_of(bytes),
                                           .generation = generation,
                                           .chunk_bytes = kChunkBytes});
  std::unique_lock lock(mutex_);
  WriteBatch commit;
  commit.put(header_key(name), as_byte_view(record));
  if (auto old = header(name)) commit.erase_range(chunk_key(old->generation, 0), chunk_key(old->generation + 1, 0));
  return store_->write(commit, Sync::kYes);
}

Result<void> DurableStore::write_chunks(std::uint64_t generation, ByteView bytes) {
  for (std::uint64_t index = 0; index * kChunkBytes < bytes.size(); ++index) {
    const auto at = index * kChunkBytes;
    const auto chunk = bytes.subspan(at, std::min(kChunkBytes, bytes.size() - at));
    if (auto written = store_->put(chunk_key(generation, index), chunk); !written) return written;
  }
  return {};
}

Result<DurableHeader> DurableStore::header(std::string_view name) const {
  Result<DurableHeader> header = not_found(name, store_->name());
  auto found = store_->read(header_key(name), [&](ByteView value) { header = decode_durable_header(value); });
  if (!found) return found.error();
  if (*found && !header) return corrupt(name, header.error().message);
  return header;
}

Result<DurableInfo> DurableStore::read(std::string_view name, const Placer& placer) const {
  std::shared_lock lock(mutex_);
  auto head = header(name);
  if (!head) return head.error();
  DurableInfo info{.name = std::string(name), .type_tag = head->type_tag, .bytes = head->bytes};
  auto place = placer(info);
  if (!place) return place.error();
  MANTA_CHECK(place->size() == head->bytes);
  LocalChecksum hash;
  std::uint64_t filled = 0;
  for (std::uint64_t index = 0; filled < head->bytes; ++index) {
    const auto before = filled;
    auto found = store_->read(chunk_key(head->generation, index), [&](ByteView chunk) {
      if (chunk.size() > head->bytes - filled) return;
      std::memcpy(place->data() + filled, chunk.data(), chunk.size());
      hash.add(chunk);
      filled += chunk.size();
    });
    if (!found) return found.error();
    if (filled == before) return corrupt(name, fmt::format("chunk {} is missing or has the wrong size", index));
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
  auto head = header(name);
  if (!head) return head.error();
  return DurableInfo{.name = std::string(name), .type_tag = head->type_tag, .bytes = head->bytes};
}

Result<std::vector<DurableInfo>> DurableStore::list(std::string_view prefix) const {
  std::vector<DurableInfo> found;
  std::optional<ErrorInfo> error;
  const auto first = header_key(prefix);
  auto scanned = store_->scan(first, [&](std::string_view key, ByteView value) {
    if (!key.starts_with(first)) return false;
    auto header = decode_durable_header(value);
    if (!header) error = corrupt(key.substr(1), header.error().message);
    if (header) found.push_back({.name = std::string(key.substr(1)), .type_tag = header->type_tag, .bytes = header->bytes});
    return !error;
  });
  if (!scanned) return scanned.error();
  if (error) return *error;
  return found;
}

Result<void> DurableStore::remove(std::string_view name) {
  std::unique_lock lock(mutex_);
  auto old = header(name);
  if (!old) return old.error();
  WriteBatch removal;
  removal.erase(header_key(name)).erase_range(chunk_key(old->generation, 0), chunk_key(old->generation + 1, 0));
  return store_->write(removal, Sync::kYes);
}

ErrorInfo DurableStore::corrupt(std::string_view name, std::string_view detail) const {
  return {.code = ErrorCode::kStorageCorruption,
          .message = fmt::format("durable object \"{}\" in {} is damaged: {}. Put it again or remove it", name,
                                 store_->name(), detail)};
}

}  // namespace manta
