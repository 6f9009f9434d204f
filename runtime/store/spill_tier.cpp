#include "runtime/store/spill_tier.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <deque>

#include "runtime/base/log.hpp"
#include "runtime/store/checksum.hpp"
#include "runtime/store/records.hpp"

namespace manta {

namespace {

constexpr std::uint64_t kChunkBytes = 16ull << 20;

/// Part 0 is the header, the chunks follow.
std::string part_key(const SpillSlot& slot, std::uint64_t part) {
  return ordered_key("", {slot.epoch, slot.index, part});
}

ErrorInfo corrupt(std::uint64_t id, const std::string& store, std::string_view detail) {
  return {.code = ErrorCode::kObjectLost,
          .message = fmt::format("the spilled copy of the object in {} is corrupt: {}", store, detail),
          .where = fmt::format("object {}", id)};
}

void add_records(const SpillSlot& slot, const SpillItem& item, std::string_view header,
                 std::vector<KeyValueStore::Record>& records) {
  records.push_back({part_key(slot, 0), as_byte_view(header)});
  for (std::uint64_t at = 0, part = 1; at < item.bytes.size(); at += kChunkBytes, ++part)
    records.push_back({part_key(slot, part), item.bytes.subspan(at, std::min(kChunkBytes, item.bytes.size() - at))});
}

}  // namespace

Result<KeyValueStore*> SpillTier::open() {
  std::lock_guard lock(mutex_);
  if (!store_) {
    auto opened = factory_();
    if (!opened) return opened.error();
    store_ = std::move(opened).value();
  }
  return store_.get();
}

Result<std::vector<SpillSlot>> SpillTier::write(std::span<const SpillItem> items) {
  auto store = open();
  if (!store) return store.error();
  std::unique_lock lock(mutex_);
  const auto epoch = next_epoch_++;
  lock.unlock();

  std::deque<std::string> headers;
  std::vector<KeyValueStore::Record> records;
  std::vector<SpillSlot> slots;
  for (const auto& item : items) {
    slots.push_back({.epoch = epoch, .index = slots.size()});
    headers.push_back(encode(SpillHeader{.id = item.id, .bytes = item.bytes.size(), .checksum = checksum_of(item.bytes)}));
    add_records(slots.back(), item, headers.back(), records);
  }
  if (auto written = (*store)->bulk_load(records); !written) return written.error();
  lock.lock();
  live_.emplace(epoch, slots.size());
  return slots;
}

Result<void> SpillTier::read(const SpillSlot& slot, std::uint64_t id, std::span<std::byte> place) const {
  const KeyValueStore& store = *store_;  // a slot exists, so it is open
  Result<SpillHeader> header = corrupt(id, store.name(), "its header is missing");
  auto found = store.read(part_key(slot, 0), [&header](ByteView bytes) { header = decode_spill_header(bytes); });
  const auto as_loss = [&](const ErrorInfo& error) {
    return error.code == ErrorCode::kStorageCorruption ? corrupt(id, store.name(), error.message) : error;
  };
  if (!found) return as_loss(found.error());
  if (!header) return as_loss(header.error());
  if (header->id != id || header->bytes != place.size()) return corrupt(id, store.name(), "its header is another's");

  LocalChecksum checksum;
  std::uint64_t filled = 0;
  for (std::uint64_t part = 1; filled < place.size(); ++part) {
    const auto before = filled;
    found = store.read(part_key(slot, part), [&](ByteView chunk) {
      if (chunk.size() > place.size() - filled) return;
      std::memcpy(place.data() + filled, chunk.data(), chunk.size());
      checksum.add(chunk);
      filled += chunk.size();
    });
    if (!found) return as_loss(found.error());
    if (filled == before) return corrupt(id, store.name(), fmt::format("part {} is missing", part));
  }
  if (checksum.value() != header->checksum) return corrupt(id, store.name(), "its checksum does not match its bytes");
  return {};
}

void SpillTier::drop(const SpillSlot& slot) {
  std::lock_guard lock(mutex_);
  const auto epoch = live_.find(slot.epoch);
  MANTA_CHECK(epoch != live_.end());
  if (--epoch->second > 0) return;
  live_.erase(epoch);
  dead_.push_back(slot.epoch);
}

bool SpillTier::reclaim() {
  std::unique_lock lock(mutex_);
  if (dead_.empty()) return false;
  const auto dead = std::exchange(dead_, {});
  lock.unlock();
  for (const auto epoch : dead) {
    auto dropped = store_->drop_range(ordered_key("", {epoch}), ordered_key("", {epoch + 1}));
    if (!dropped) log(LogLevel::kWarning, "spilled objects keep their disk space: " + dropped.error().message);
  }
  return true;
}

void SpillTier::close() {
  std::lock_guard lock(mutex_);
  store_.reset();
}

}  // namespace manta
