#include "runtime/store/faulty_store.hpp"

namespace manta {

namespace {

std::vector<std::byte> with_flipped_bit(ByteView value, std::int64_t bit, std::size_t least_bytes) {
  std::vector<std::byte> copy(value.begin(), value.end());
  if (copy.empty() || copy.size() < least_bytes) return copy;
  const auto index = static_cast<std::uint64_t>(bit) % (copy.size() * 8);
  copy[index / 8] ^= std::byte{1} << (index % 8);
  return copy;
}

}  // namespace

void FaultyStore::fail_writes(std::uint64_t nth, ErrorCode code, std::uint64_t count) {
  std::lock_guard lock(mutex_);
  skip_ = nth - 1;
  failures_ = count;
  code_ = code;
}

void FaultyStore::heal() {
  std::lock_guard lock(mutex_);
  failures_ = 0;
}

Result<void> FaultyStore::next_write() {
  ++writes_;
  std::lock_guard lock(mutex_);
  if (failures_ == 0) return {};
  if (skip_ > 0) {
    --skip_;
    return {};
  }
  --failures_;
  return ErrorInfo{.code = code_, .message = name() + ": injected fault"};
}

Result<void> FaultyStore::write(const WriteBatch& batch, Sync sync) {
  if (auto fault = next_write(); !fault) return fault;
  return store_->write(batch, sync);
}

Result<void> FaultyStore::bulk_load(std::span<const Record> records) {
  if (auto fault = next_write(); !fault) return fault;
  return store_->bulk_load(records);
}

Result<void> FaultyStore::drop_range(std::string_view first, std::string_view end) {
  if (auto fault = next_write(); !fault) return fault;
  return store_->drop_range(first, end);
}

Result<void> FaultyStore::sync() {
  if (auto fault = next_write(); !fault) return fault;
  return store_->sync();
}

Result<void> FaultyStore::flush() {
  if (auto fault = next_write(); !fault) return fault;
  return store_->flush();
}

Result<bool> FaultyStore::read(std::string_view key, const Reader& reader) const {
  const auto bit = flipped_bit_.load();
  if (bit < 0) return store_->read(key, reader);
  return store_->read(key, [this, &reader, bit](ByteView value) { reader(with_flipped_bit(value, bit, least_bytes_)); });
}

Result<void> FaultyStore::scan(std::string_view first, const Visitor& visitor) const {
  const auto bit = flipped_bit_.load();
  if (bit < 0) return store_->scan(first, visitor);
  return store_->scan(first, [this, &visitor, bit](std::string_view key, ByteView value) {
    return visitor(key, with_flipped_bit(value, bit, least_bytes_));
  });
}

}  // namespace manta
