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

constexpr std::uint64_t kSparseShare = 4;            // an epoch is sparse when less than one part in so many is left
constexpr std::uint64_t kMovedBytes = 64ull << 20;  // more than that is not held in memory at once

/// Part 0 is the header, the chunks follow.
std::string part_key(std::uint64_t epoch, std::uint64_t index, std::uint64_t part) {
  return ordered_key("", {epoch, index, part});
}

ErrorInfo corrupt(std::uint64_t id, const std::string& store, std::string_view detail) {
  return {.code = ErrorCode::kObjectLost,
          .message = fmt::format("the spilled copy of the object in {} is corrupt: {}", store, detail),
          .where = fmt::format("object {}", id)};
}

void add_records(std::uint64_t epoch, std::uint64_t index, const SpillItem& item, std::string_view header,
                 std::vector<KeyValueStore::Record>& records) {
  records.push_back({part_key(epoch, index, 0), as_byte_view(header)});
  for (std::uint64_t at = 0, part = 1; at < item.bytes.size(); at += kChunkBytes, ++part)
    records.push_back({part_key(epoch, index, part), item.bytes.subspan(at, std::min(kChunkBytes, item.bytes.size() - at))});
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

/// Gives the epoch's number; `items` lie in it by their index.
Result<std::uint64_t> SpillTier::write_epoch(KeyValueStore& store, std::span<const SpillItem> items) {
  std::unique_lock lock(mutex_);
  const auto epoch = next_epoch_++;
  lock.unlock();
  std::deque<std::string> headers;
  std::vector<KeyValueStore::Record> records;
  std::uint64_t index = 0;
  for (const auto& item : items) {
    headers.push_back(encode(SpillHeader{.id = item.id, .bytes = item.bytes.size(), .checksum = checksum_of(item.bytes)}));
    add_records(epoch, index++, item, headers.back(), records);
  }
  if (auto written = store.bulk_load(records); !written) return written.error();
  return epoch;
}

Result<std::vector<SpillSlot>> SpillTier::write(std::span<const SpillItem> items) {
  auto store = open();
  if (!store) return store.error();
  auto number = write_epoch(**store, items);
  if (!number) return number.error();
  std::lock_guard lock(mutex_);
  std::vector<SpillSlot> slots;
  Epoch& epoch = epochs_[*number];
  for (const auto& item : items) {
    places_[next_slot_] = {.epoch = *number, .index = epoch.objects++, .id = item.id, .bytes = item.bytes.size()};
    epoch.bytes += item.bytes.size();
    slots.push_back({next_slot_++});
  }
  epoch.written = epoch.bytes;
  return slots;
}

SpillTier::Place SpillTier::place_of(const SpillSlot& slot) const {
  std::lock_guard lock(mutex_);
  const auto place = places_.find(slot.number);
  MANTA_CHECK(place != places_.end());
  return place->second;
}

Result<void> SpillTier::read(const SpillSlot& slot, std::uint64_t id, std::span<std::byte> target) const {
  while (true) {
    const auto place = place_of(slot);
    auto result = read_at(place, id, target);
    if (result || place_of(slot).epoch == place.epoch) return result;  // else it was moved while we looked
  }
}

Result<void> SpillTier::read_at(const Place& at, std::uint64_t id, std::span<std::byte> place) const {
  const KeyValueStore& store = *store_;  // a slot exists, so it is open
  Result<SpillHeader> header = corrupt(id, store.name(), "its header is missing");
  auto found = store.read(part_key(at.epoch, at.index, 0), [&header](ByteView bytes) { header = decode_spill_header(bytes); });
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
    found = store.read(part_key(at.epoch, at.index, part), [&](ByteView chunk) {
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
  const auto place = places_.find(slot.number);
  MANTA_CHECK(place != places_.end());
  leave(place->second);
  places_.erase(place);
}

void SpillTier::leave(const Place& place) {
  const auto epoch = epochs_.find(place.epoch);
  MANTA_CHECK(epoch != epochs_.end() && epoch->second.objects > 0);
  epoch->second.bytes -= place.bytes;
  if (--epoch->second.objects > 0) return;
  epochs_.erase(epoch);
  dead_.push_back(place.epoch);
}

std::optional<SpillTier::Clock::time_point> SpillTier::next_try() const {
  std::lock_guard lock(mutex_);
  return undropped_.empty() ? std::nullopt : std::optional(retry_at_);
}

bool SpillTier::drop_epoch(std::uint64_t epoch) {
  auto dropped = store_->drop_range(ordered_key("", {epoch}), ordered_key("", {epoch + 1}));
  std::lock_guard lock(mutex_);
  if (dropped) return complained_ = false, true;
  if (!std::exchange(complained_, true)) log(LogLevel::kWarning, "spilled objects keep their disk space for now: " + dropped.error().message);
  undropped_.push_back(epoch);
  retry_at_ = Clock::now() + retry_;
  return false;
}

bool SpillTier::reclaim() {
  std::unique_lock lock(mutex_);
  const auto dead = std::exchange(dead_, {});
  const auto again = Clock::now() >= retry_at_ ? std::exchange(undropped_, {}) : std::vector<std::uint64_t>{};
  const auto stragglers = dead.empty() ? sparse_slots() : std::vector<std::uint64_t>{};
  lock.unlock();
  bool some = false;
  for (const auto& epochs : {again, dead})
    for (const auto epoch : epochs) some |= drop_epoch(epoch);
  if (!stragglers.empty()) move(stragglers);
  return some || !stragglers.empty();
}

/// What is left in one epoch of which little is left. The slots stay the same when it is moved.
std::vector<std::uint64_t> SpillTier::sparse_slots() {
  const auto sparse = std::find_if(epochs_.begin(), epochs_.end(), [](const auto& each) {
    const auto& epoch = each.second;
    return !epoch.stuck && epoch.bytes < epoch.written / kSparseShare && epoch.bytes <= kMovedBytes;
  });
  std::vector<std::uint64_t> slots;
  if (sparse == epochs_.end()) return slots;
  sparse->second.stuck = true;
  for (const auto& [slot, place] : places_)
    if (place.epoch == sparse->first) slots.push_back(slot);
  return slots;
}

void SpillTier::move(const std::vector<std::uint64_t>& slots) {
  struct Straggler {
    std::uint64_t slot;
    Place place;
    std::vector<std::byte> bytes;
  };
  std::vector<Straggler> stragglers;
  std::unique_lock lock(mutex_);
  for (const auto slot : slots)
    if (const auto place = places_.find(slot); place != places_.end()) stragglers.push_back({slot, place->second, {}});
  lock.unlock();
  std::vector<SpillItem> items;
  for (auto& each : stragglers) {
    each.bytes.resize(each.place.bytes);
    if (!read_at(each.place, each.place.id, each.bytes)) return;  // whoever wants it is told why
    items.push_back({.id = each.place.id, .bytes = each.bytes});
  }
  auto number = write_epoch(*store_, items);
  if (!number) return log(LogLevel::kWarning, "spilled objects keep their disk space: " + number.error().message);
  lock.lock();
  Epoch moved;
  for (std::uint64_t index = 0; index < stragglers.size(); ++index) {
    moved.written += stragglers[index].place.bytes;
    const auto place = places_.find(stragglers[index].slot);
    if (place == places_.end()) continue;  // dropped meanwhile
    leave(place->second);
    place->second.epoch = *number;
    place->second.index = index;
    moved.bytes += place->second.bytes;
    ++moved.objects;
  }
  moved.objects > 0 ? static_cast<void>(epochs_.emplace(*number, moved)) : dead_.push_back(*number);
}

void SpillTier::close() {
  std::lock_guard lock(mutex_);
  store_.reset();
}

}  // namespace manta
