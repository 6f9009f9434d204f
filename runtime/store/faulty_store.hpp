#pragma once
// FaultyStore: a store whose disk misbehaves on purpose, for tests and the simulator. Wraps another one and owns it.
// Thread-safe. A failed write leaves the store underneath as it was.
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

#include "runtime/store/key_value_store.hpp"

namespace manta {

class FaultyStore final : public KeyValueStore {
 public:
  explicit FaultyStore(std::unique_ptr<KeyValueStore> store) : store_(std::move(store)) {}

  /// The `nth` write from now on (1: the next one) fails, and `count - 1` after it, as OutOfDisk or IoError.
  void fail_writes(std::uint64_t nth, ErrorCode code, std::uint64_t count = 1);
  /// Every write succeeds again.
  void heal();
  /// From now on each value read that has at least `least_bytes` has this bit inverted (counted from its start, modulo its
  /// size); -1 stops it.
  void flip_bit_on_read(std::int64_t bit, std::size_t least_bytes = 1) noexcept {
    least_bytes_ = least_bytes;
    flipped_bit_ = bit;
  }
  std::uint64_t writes() const noexcept { return writes_; }

  const std::string& name() const noexcept override { return store_->name(); }
  Result<void> write(const WriteBatch& batch, Sync sync) override;
  Result<void> bulk_load(std::span<const Record> records) override;
  Result<void> drop_range(std::string_view first, std::string_view end) override;
  Result<bool> read(std::string_view key, const Reader& reader) const override;
  Result<void> scan(std::string_view first, const Visitor& visitor) const override;
  Result<std::vector<KeyRange>> ranges(std::string_view first, std::string_view end) const override { return store_->ranges(first, end); }
  Result<std::optional<std::string>> last_key() const override { return store_->last_key(); }
  Result<void> sync() override;
  Result<void> flush() override;

 private:
  Result<void> next_write();

  std::unique_ptr<KeyValueStore> store_;
  std::mutex mutex_;
  std::uint64_t skip_{};
  std::uint64_t failures_{};
  ErrorCode code_{ErrorCode::kIoError};
  std::atomic<std::uint64_t> writes_{};
  std::atomic<std::int64_t> flipped_bit_{-1};
  std::atomic<std::size_t> least_bytes_{1};
};

}  // namespace manta
