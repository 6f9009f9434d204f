#pragma once
// ObjectStore: the immutable objects of one node, in its arena while they fit and on disk when they do not.
//
// An object is created, filled in place, sealed, then pinned by readers for as long as they read. Sealed objects that
// nobody pins leave for the spill tier, least recently used first, when the arena passes 80 % of its budget, and come back
// when they are pinned again. What finds no room, because all is pinned or because it is larger than the budget, lies in a file
// that is mapped like the arena, where the arena may make files; it stays there until it is freed. Owned by the node. Every operation is thread-safe; create and pin may block (for a spill, a
// restore, or the grace period), try_create and try_pin never do. It ends with close or the destructor, which deletes the
// spilled files; a call that waits then ends with RuntimeStopped.
//
//   ObjectStore store(std::move(arena), [] { return open_rocksdb("/tmp/spill", {.kind = StoreKind::kSpill}); });
//   Block block = store.create(7, 1 << 20).value();
//   fill(store.arena().bytes(block));
//   store.seal(7).value();
//   Block again = store.pin(7).value();  …  store.unpin(7);
//
// States: Creating -> Sealed -> Spilling -> Spilled -> Restoring -> Sealed; a failed spill or restore goes back. A restored
// object keeps its copy on disk until it is freed, so that it can leave again at no cost.
#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/store/arena.hpp"
#include "runtime/store/spill_tier.hpp"

namespace manta {

enum class ObjectState { kCreating, kSealed, kSpilling, kSpilled, kRestoring, kLost };
std::string_view to_string(ObjectState state) noexcept;

struct ObjectStoreOptions {
  double spill_threshold{0.8};                      ///< share of the budget above which objects are spilled
  std::uint64_t spill_batch_bytes{64ull << 20};     ///< objects are spilled together up to this sum
  std::size_t spill_batch_objects{2000};
  std::chrono::milliseconds full_grace{2000};       ///< create waits so long without progress before it fails
  std::chrono::milliseconds full_limit{60'000};     ///< … and so long in all
  std::chrono::milliseconds spill_retry{200};       ///< pause after a failed spill
  std::chrono::milliseconds extent_idle{10'000};    ///< an extent empty for so long goes back to the system
};

/// One object that takes room in the arena.
struct ArenaHolding {
  std::uint64_t id{};
  std::uint64_t bytes{};
  ObjectState state{};
  std::uint32_t pins{};
};

struct ObjectStoreStats {
  ArenaStats arena{};
  std::size_t objects{};
  std::size_t unsealed_objects{};
  std::size_t pinned_objects{};
  std::size_t spilled_objects{};       ///< on disk only
  std::uint64_t spilled_bytes{};       ///< on disk only
  std::uint64_t spill_bytes_written{};
  std::uint64_t restore_bytes_read{};
  std::uint64_t failed_spills{};
  std::uint64_t lost_objects{};
};

class ObjectStore {
 public:
  /// Without a factory nothing is spilled.
  ObjectStore(std::unique_ptr<Arena> arena, SpillFactory factory, ObjectStoreOptions options = {});
  ~ObjectStore();
  ObjectStore(const ObjectStore&) = delete;
  ObjectStore& operator=(const ObjectStore&) = delete;

  /// Makes room for an object of `bytes` that the caller fills and seals. Blocks while the arena is full, then takes a file.
  /// InvalidArgument when the id is taken, or it is larger than the budget and there are no files, ObjectStoreFull (lists the
  /// biggest holders), OutOfDisk when room is lacking because the disk is full.
  Result<Block> create(std::uint64_t id, std::uint64_t bytes);
  /// As create; nullopt where create would block. Room is being made then: try again, or call create elsewhere. Also nullopt where much
  /// memory has to be cleared first, which try_create_clearing does.
  Result<std::optional<Block>> try_create(std::uint64_t id, std::uint64_t bytes);
  /// Waits for no room, but takes the time to clear memory: 0.1 to 0.3 s for each GiB, in which others use the store.
  Result<std::optional<Block>> try_create_clearing(std::uint64_t id, std::uint64_t bytes);
  /// Makes a created object immutable and readable. InvalidArgument when it is not being created.
  Result<void> seal(std::uint64_t id);
  /// Gives a created object up. InvalidArgument when it is not being created.
  Result<void> abort(std::uint64_t id);

  /// Keeps a sealed object in the arena until unpin, once for each pin; brings it back from disk if need be. NotFound,
  /// InvalidArgument when not sealed yet, ObjectLost when its copy on disk is corrupt, ObjectStoreFull. A full arena
  /// that cannot be spilled stops creators only: what is read back goes beyond the budget then, up to a quarter of it, and
  /// then to a file.
  Result<Block> pin(std::uint64_t id);
  /// As pin; nullopt where pin would block.
  Result<std::optional<Block>> try_pin(std::uint64_t id);
  /// Requires a pin.
  void unpin(std::uint64_t id);
  /// Forgets an object, its bytes when the last pin goes or its creator seals or aborts. Nothing happens when unknown.
  void free(std::uint64_t id);

  /// Whether pin may succeed: sealed, not freed, not lost.
  bool contains(std::uint64_t id) const;
  ObjectStoreStats stats() const;
  /// All that takes room in the arena now.
  std::vector<ArenaHolding> holdings() const;
  Arena& arena() noexcept { return *arena_; }
  /// Ends the waits and the spilling, deletes spilled files. Objects in the arena stay readable. Twice is harmless.
  void close();

 private:
  using Clock = std::chrono::steady_clock;
  struct Object {
    ObjectState state{ObjectState::kCreating};
    std::uint64_t bytes{};
    std::optional<Block> block{};
    std::optional<SpillSlot> slot{};
    std::uint32_t pins{};
    bool freed{};
    bool beyond{};  // its block is not of the arena's budget
    std::uint64_t last_use{};
  };
  using Lock = std::unique_lock<std::mutex>;
  using Idle = std::map<std::uint64_t, std::uint64_t>;  // last use -> id

  Result<void> require_new(std::uint64_t id) const;
  Result<Object*> find_being_created(std::uint64_t id);
  Result<Object*> find_readable(std::uint64_t id);
  Result<Block> obtain(std::uint64_t bytes, Lock& lock);
  Result<Block> obtain_for_creating(std::uint64_t bytes, Lock& lock);
  Result<Block> obtain_for_reading(std::uint64_t bytes, Lock& lock);
  Result<Block> take_file(std::uint64_t bytes, Lock& lock, const ErrorInfo& otherwise);
  bool nothing_moves() const;
  Result<Block> wait_for_room(std::uint64_t bytes, Lock& lock);
  Result<std::optional<Block>> allocate(std::uint64_t bytes, Lock& lock);
  Result<Block> insert(std::uint64_t id, const Block& block);
  Block add_pin(Object& object);
  Result<Block> restore(std::uint64_t id, Object& object, Lock& lock);
  void settle(std::uint64_t id, Object& object);
  void leave_idle(Object& object);
  void drop_from_disk(const SpillSlot& slot);
  void release_block(Object& object);
  void give_to_arena(const Block& block);
  bool evict_one();
  ErrorInfo full_error(std::uint64_t bytes) const;
  std::string biggest_holders() const;

  void ask_for_room(std::uint64_t bytes);
  void wake_spiller();
  void run_spiller();
  void wait_for_work(Lock& lock, std::optional<Clock::time_point> until = {});
  std::uint64_t bytes_to_spill() const;
  std::vector<std::uint64_t> pick_batch();
  void spill(const std::vector<std::uint64_t>& batch, Lock& lock);
  void finish_spill(const std::vector<std::uint64_t>& batch, const Result<std::vector<SpillSlot>>& slots);

  const std::unique_ptr<Arena> arena_;
  const ObjectStoreOptions options_;
  SpillTier tier_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;  // room, a restore or a spill has ended, a caller has left
  std::condition_variable work_;     // for the spiller
  std::unordered_map<std::uint64_t, Object> objects_;
  Idle spillable_;   // sealed, not pinned, only in the arena
  Idle evictable_;   // sealed, not pinned, also on disk
  std::uint64_t evictable_bytes_{};
  std::uint64_t next_use_{1};
  std::uint64_t wanted_bytes_{};  // asked of the spiller since it last looked
  std::uint64_t rounds_{};        // spills that ended, well or not
  std::uint64_t drops_{};         // of slots, which the spiller may give back
  std::uint64_t progress_{};      // counts whatever made room
  std::optional<std::uint64_t> stuck_at_;  // progress when somebody had waited in vain
  std::size_t waiting_{};         // callers that close must wait for
  std::size_t waiting_for_room_{};
  bool spilling_{};
  bool closing_{};
  std::optional<ErrorInfo> spill_error_;  // of the last spill, if it failed
  Clock::time_point retry_at_{};
  Clock::time_point trim_at_{};
  bool trim_due_{};               // at trim_at_: there may be empty extents
  ObjectStoreStats counters_;
  std::thread spiller_;
};

}  // namespace manta
