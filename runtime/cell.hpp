#pragma once
// The cell behind an ObjectRef: one value that will be set once, or the error that took its place. Internal; users see
// ObjectRef (object_ref.hpp).
//
// A cell is shared by every ref to the object. It is settled exactly once, by whoever makes the value: the first call of
// set_* wins, later ones return false. A value set by this process is kept as it is and serialised only when it leaves
// the process; one that arrived as bytes is turned into a T at the first look. Thread-safe.
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "runtime/base/copy.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/futex.hpp"
#include "runtime/base/object_pool.hpp"
#include "runtime/base/result.hpp"
#include "runtime/base/small_mutex.hpp"
#include "runtime/codec.hpp"

namespace manta::detail {

class StoreAccess;

/// Values of these types hold no refs, and what they hold holds none.
template <class T>
inline constexpr bool kHoldsNoRefs = std::is_trivially_destructible_v<T> || std::is_same_v<T, std::string> || std::is_same_v<T, Buffer>;
template <class T>
inline constexpr bool kHoldsNoRefs<std::vector<T>> = kHoldsNoRefs<T>;

/// What can be done with a value of a type that was forgotten.
struct TypeOps {
  bool may_hold_refs;
  const std::type_info* type;
  std::string (*name)();
  void (*encode)(const void* value, OutputArchive& archive);
  std::shared_ptr<const void> (*decode)(const Buffer& bytes, const SharedReferences& references);
};

template <class T>
const TypeOps& type_ops() {
  static constexpr TypeOps ops{
      .may_hold_refs = !kHoldsNoRefs<T>,
      .type = &typeid(T),
      .name = [] { return demangle(typeid(T).name()); },
      .encode = [](const void* value, OutputArchive& archive) { write_value(archive, *static_cast<const T*>(value)); },
      .decode = [](const Buffer& bytes, const SharedReferences& references) -> std::shared_ptr<const void> {
        return make_pooled<const T>(manta::decode<T>(bytes, references));
      },
  };
  return ops;
}

/// Of a cell that comes from another process, until somebody reads what refers to it.
struct Unknown {};

/// Bytes of a value that lie in the node's object store. The destructor gives them back.
class StoredObject {
 public:
  virtual ~StoredObject() = default;
  virtual std::uint64_t id() const noexcept = 0;
  virtual std::uint64_t size() const noexcept = 0;
  /// The bytes in place; they stay readable as long as the Buffer. May block while a spilled object is read back, and until the deadline,
  /// which gives Timeout, while a lost one is made again.
  virtual Result<Buffer> open(Deadline deadline) = 0;
  /// The store that it lies in: each Runtime of this process has its own. Null: the one that it is asked for.
  virtual const StoreAccess* home() const noexcept { return nullptr; }

 private:
  friend class Cell;
  std::shared_ptr<StoredObject> elsewhere_{};  ///< the same value in the store of another Runtime; guarded by its cell
};

/// A value on its way to another process: bytes, or a place in the store; and what it refers to, kept alive.
struct EncodedValue {
  Buffer bytes{};
  std::shared_ptr<StoredObject> stored{};
  SharedReferences references{};
};

/// What is said, once, of an error that nobody has asked for. Not of what was wanted, and not of too many at once.
void log_unseen_failure(const ErrorInfo& error) noexcept;

class Cell {
 public:
  /// Asks for the value of a cell whose object belongs to another process.
  using Fetch = void (*)(Cell& cell);
  explicit Cell(const TypeOps& ops, Fetch fetch = nullptr);
  Cell(const Cell&) = delete;
  Cell& operator=(const Cell&) = delete;
  /// A failed task or call whose error nobody has asked for is logged.
  ~Cell() {
    if (state_.load(std::memory_order_relaxed) == kFailed) end_failed();
    if (rare_ || ops().may_hold_refs) let_go();
  }

  // Settling. The first call wins.
  bool set_value(std::shared_ptr<const void> value);
  bool set_bytes(Buffer bytes, SharedReferences references = nullptr);
  bool set_stored(std::shared_ptr<StoredObject> stored, SharedReferences references = nullptr);
  bool set_error(std::shared_ptr<const ErrorInfo> error);
  /// If this one has failed: the others do too, with its error, which is seen when it is seen in one of them.
  void fail_together(const std::vector<std::shared_ptr<Cell>>& others);

  bool settled() const noexcept { return state_.load(std::memory_order_acquire) >= kReady; }
  bool failed() const noexcept {
    if (state_.load(std::memory_order_acquire) != kFailed) return false;
    need_not_be_seen();
    return true;
  }
  /// Should it fail and nobody ask, that is no news.
  void need_not_be_seen() const noexcept { failure_known_.store(true, std::memory_order_relaxed); }
  /// Somebody looks: what belongs to another process is asked for, once.
  void demand() {
    if (to_fetch_.load(std::memory_order_relaxed)) fetch();
  }

  /// Blocks until settled or the deadline; false at the deadline. Spins for a few microseconds first.
  bool wait(Deadline deadline) noexcept;

  /// Is called once, when settled: at once by this thread, or later by the settling one. Must not block or throw.
  class Waiter {
   public:
    virtual ~Waiter() = default;
    virtual void settled() = 0;
    /// Who waits by it: what forget() is given.
    virtual const void* whose() const noexcept { return this; }
  };
  void on_settled(std::shared_ptr<Waiter> waiter);
  /// Takes back what waits for `whose`; of no effect when it has been called or is being called. Every wait that ends before the
  /// value is there calls it, or a cell that is never settled would remember all who ever waited.
  void forget(const void* whose);
  std::size_t waiters() const;

  /// Gets what comes to a cell that has failed before, say by a cancel that the value did not hear of: at most once, in a cell of
  /// its own, on the thread that brings it. Must not block or throw.
  class LateTaker {
   public:
    virtual ~LateTaker() = default;
    virtual void came_late(std::shared_ptr<Cell> value) = 0;
  };
  /// Before the cell is shared.
  void on_late(std::shared_ptr<LateTaker> taker);

  /// Who makes the value, for those who cancel. Set before the cell is shared.
  enum class Producer : std::uint8_t { kNone, kTask, kOwnProcessTask, kCall };
  void set_producer(Producer kind, std::uint64_t task) noexcept { producer_kind_ = kind, producer_ = task; }
  Producer producer_kind() const noexcept { return producer_kind_; }
  std::uint64_t producer() const noexcept { return producer_; }

  // After settling.
  const std::shared_ptr<const ErrorInfo>& error() const noexcept;  ///< null unless failed()
  /// The value as a shared T. Throws the error, ProtocolError for damaged bytes, or Timeout when it is lost and not made again in time.
  std::shared_ptr<const void> value(Deadline deadline = {});
  /// Why value() did not find it in the store any more, the last time; null when it did, or when it has been made again since.
  std::shared_ptr<const ErrorInfo> lost() const noexcept;
  /// The value where it stays as long as the cell does; null when it may move, or has to be made of bytes.
  const void* kept_value() const noexcept { return state_.load(std::memory_order_acquire) == kKept ? value_.get() : nullptr; }
  /// The value for another process: bytes of up to `inline_limit`, else put into the store by `store`. Throws what the value's own
  /// save threw, as an Error, and then keeps nothing of it. Both may take long, so they run without the lock: of several who come
  /// meanwhile one does the work and the others sleep, but no other operation waits for it. `home`: where `store` puts it; what lies
  /// in the store of another Runtime is read there and put here too. Null: wherever it lies will do.
  template <class Store>
  Result<EncodedValue> encoded(std::uint64_t inline_limit, Store&& store, const StoreAccess* home = nullptr);
  /// Keeps no copy in this process's own memory of a value that lies in the store; whoever looks at it reads it there. Before
  /// the cell is shared.
  void leave_to_store();
  /// True for a value that has not been serialised yet, or is being so: `encoded` would do work, perhaps block.
  bool needs_encoding(std::uint64_t inline_limit, const StoreAccess* home = nullptr);
  /// The bytes and references that it was sent as within a message; none when it has not been, but perhaps put into the store.
  std::optional<EncodedValue> sent() const;
  /// Where it lies in the store; null when it does not, or not yet.
  std::shared_ptr<StoredObject> stored() const;
  /// The copy in the store is lost: true when there is another one in this process, which then counts.
  bool forget_stored(std::uint64_t id);
  const TypeOps& ops() const noexcept { return *ops_.load(std::memory_order_relaxed); }
  /// For a cell that may be of a type not known yet. False when it is of another one.
  bool use_ops(const TypeOps& ops) noexcept;

 private:
  // While it is pending, bits: threads sleep on the word; there are waiters. Then how it was settled; kKept: by a value that never moves.
  static constexpr std::uint32_t kPending = 0, kSleepers = 1, kWaiters = 2, kReady = 4, kFailed = 8, kKept = 16;
  static constexpr std::uint32_t kNobody = 0, kEncoding = 1, kAwaited = 2;
  enum class Claim : std::uint8_t { kNone, kByValue, kByError };
  bool claim(Claim by) noexcept {
    auto none = Claim::kNone;
    return claimed_.compare_exchange_strong(none, by, std::memory_order_acq_rel);
  }
  std::shared_ptr<LateTaker> take_late_taker() noexcept;
  template <class Set>
  bool come_late(Set&& set);
  void publish(std::uint32_t state) noexcept;
  void call_waiters(bool unused) noexcept;
  bool announce(std::uint32_t bit) noexcept;
  void end_failed() noexcept;
  void let_go() noexcept;
  void note_loss(const StoredObject& stored, const ErrorInfo* error);
  std::shared_ptr<StoredObject> stored_in(const StoreAccess* home) const;  // with mutex_ held
  class FailureGroup;
  void fetch();
  /// The turn to encode, from construction to publish or destruction, with what is needed for it; or what there is already.
  class Encoding {
   public:
    Encoding(Cell& cell, std::uint64_t inline_limit, const StoreAccess* home);
    ~Encoding() {
      if (mine_) cell_.end_encoding(nullptr);
    }
    Encoding(const Encoding&) = delete;
    EncodedValue publish(EncodedValue made) {
      cell_.end_encoding(&made);
      mine_ = false;
      return made;
    }

    /// Reads the bytes that lie in another Runtime's store. May block.
    Result<void> read_elsewhere();

    std::optional<EncodedValue> known{};  // then it is no turn
    const void* value = nullptr;          // stays where it is: only one that never moves has no bytes
    std::shared_ptr<StoredObject> elsewhere{};
    Buffer bytes{};                       // when there is no `value`
    SharedReferences references{};        // in `bytes`

   private:
    Cell& cell_;
    bool mine_ = true;
  };
  void end_encoding(const EncodedValue* made);
  /// What most cells never have: there are very many of them.
  struct Rare {
    std::vector<std::shared_ptr<Waiter>> waiters{};
    Fetch fetch = nullptr;
    std::weak_ptr<const void> decoded{};  // of a stored object: not kept alive, or memory would grow past the arena
    Buffer bytes{};
    bool has_bytes = false;
    std::shared_ptr<StoredObject> stored{};
    SharedReferences references{};  // in bytes or stored; kept alive with them
    std::shared_ptr<const ErrorInfo> error{};  // of one that is ready: why what was `stored` as `lost_id` is lost
    std::uint64_t lost_id = 0;
    std::shared_ptr<LateTaker> late{};
    std::shared_ptr<FailureGroup> together{};  // of those that failed by one error
  };
  Rare& rare() {  // with mutex_ held
    if (!rare_) rare_ = std::make_unique<Rare>();
    return *rare_;
  }

  std::atomic<std::uint32_t> state_{kPending};
  mutable SmallMutex mutex_{};  // guards rare_, and once settled, but for kKept, the value too: they are caches of one another
  std::atomic<Claim> claimed_{Claim::kNone};
  std::atomic<bool> to_fetch_;
  mutable std::atomic<bool> failure_known_{false};  ///< somebody has seen it
  Producer producer_kind_{Producer::kNone};
  std::atomic<std::uint32_t> encoding_{kNobody};  // changes with mutex_ held; here, as rare_ may go and come meanwhile
  std::uint64_t producer_ = 0;
  std::atomic<const TypeOps*> ops_;
  std::shared_ptr<const void> value_{};
  std::unique_ptr<Rare> rare_{};
};

template <class Store>
Result<EncodedValue> Cell::encoded(std::uint64_t inline_limit, Store&& store, const StoreAccess* home) {
  Encoding turn(*this, inline_limit, home);
  if (turn.known) return std::move(*turn.known);
  if (turn.elsewhere)
    if (auto read = turn.read_elsewhere(); !read) return read.error();
  if (!turn.value) {
    Result<std::shared_ptr<StoredObject>> placed = store(turn.bytes.size(), [&from = turn.bytes](std::span<std::byte> target) {
      copy_bytes(target.data(), from.data(), from.size());
    });
    if (!placed) return placed.error();
    return turn.publish({.stored = *placed, .references = turn.references});
  }
  OutputArchive count;
  ops().encode(turn.value, count);
  References found;
  auto write = [&](std::span<std::byte> target) {
    OutputArchive archive(target, &found);
    ops().encode(turn.value, archive);
    archive.finish();
  };
  EncodedValue made;
  if (count.size() <= inline_limit) {
    auto [buffer, target] = Buffer::allocate(count.size());
    write(target);
    made.bytes = std::move(buffer);
  } else {
    Result<std::shared_ptr<StoredObject>> placed = store(count.size(), write);
    if (!placed) return placed.error();
    made.stored = *placed;
  }
  if (!found.empty()) made.references = std::make_shared<const References>(std::move(found));
  return turn.publish(std::move(made));
}

}  // namespace manta::detail
