#pragma once
// SpillTier: where objects go when the arena is full: a disposable KeyValueStore, opened at the first spill.
//
// Each batch of objects is one epoch with keys of its own, written as one table file; when the last of its objects is
// dropped, the whole epoch goes and its disk space comes back. When little of an epoch is left, what is left is written to
// a new one, so that one small object does not keep the space of many. Owned by the ObjectStore. Thread-safe; write, read and
// reclaim block on the disk. Closing deletes everything.
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/store/key_value_store.hpp"

namespace manta {

/// Opens the store for spilled objects; called at most once, by the first spill that succeeds.
using SpillFactory = std::function<Result<std::unique_ptr<KeyValueStore>>()>;

struct SpillItem {
  std::uint64_t id{};
  ByteView bytes{};
};

/// A spilled object, wherever it lies by now.
struct SpillSlot {
  std::uint64_t number{};
};

class SpillTier {
 public:
  using Clock = std::chrono::steady_clock;
  /// `retry`: the pause after a disk that did not give space back.
  SpillTier(SpillFactory factory, std::chrono::milliseconds retry) : factory_(std::move(factory)), retry_(retry) {}

  bool enabled() const noexcept { return factory_ != nullptr; }
  /// Writes all items or none, with checksums. OutOfDisk, IoError, and what the factory gives.
  Result<std::vector<SpillSlot>> write(std::span<const SpillItem> items);
  /// Reads an object back into `place`, which has its size. ObjectLost when the bytes are not those that were written;
  /// then, unlike after IoError, trying again is useless.
  Result<void> read(const SpillSlot& slot, std::uint64_t id, std::span<std::byte> place) const;
  /// Forgets an object. Its space comes back with the last object of its epoch, at the next reclaim.
  void drop(const SpillSlot& slot);
  /// Gives the space of dead epochs back, and moves what is left of one sparse epoch. True when something came of it. An epoch that
  /// the disk does not let go is tried again by the first call after the pause.
  bool reclaim();
  /// When a reclaim has something to try again.
  std::optional<Clock::time_point> next_try() const;
  /// Closes and deletes the store, if it was ever opened.
  void close();

 private:
  struct Place {
    std::uint64_t epoch{};
    std::uint64_t index{};
    std::uint64_t id{};     // of the object
    std::uint64_t bytes{};
  };
  struct Epoch {
    std::uint64_t objects{};  // still there
    std::uint64_t bytes{};    // … of them
    std::uint64_t written{};  // bytes on disk
    bool stuck{};             // could not be moved: not tried again
  };
  Result<KeyValueStore*> open();
  Result<std::uint64_t> write_epoch(KeyValueStore& store, std::span<const SpillItem> items);
  Result<void> read_at(const Place& place, std::uint64_t id, std::span<std::byte> target) const;
  Place place_of(const SpillSlot& slot) const;
  void leave(const Place& place);
  std::vector<std::uint64_t> sparse_slots();
  void move(const std::vector<std::uint64_t>& slots);

  bool drop_epoch(std::uint64_t epoch);

  const SpillFactory factory_;
  const std::chrono::milliseconds retry_;
  mutable std::mutex mutex_;
  std::unique_ptr<KeyValueStore> store_;
  std::uint64_t next_epoch_{1};
  std::uint64_t next_slot_{1};
  std::map<std::uint64_t, Epoch> epochs_;
  std::unordered_map<std::uint64_t, Place> places_;  // by slot
  std::vector<std::uint64_t> dead_;
  std::vector<std::uint64_t> undropped_;  // dead too, but the disk would not let them go
  Clock::time_point retry_at_{};          // … and are not tried before
  bool complained_{};
};

}  // namespace manta
