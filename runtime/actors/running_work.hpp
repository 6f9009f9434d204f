#pragma once
// RunningWork and CancelSlot: how work that runs is told that nobody wants it any more. Each executor has a RunningWork;
// each execution takes a slot of it, which costs a few nanoseconds, and is found there by its task's id.
//
// The running thread alone begins and ends; it sleeps, and so do threads that the work has started itself, each with a slot of its own
// that hears of the work's cancel (RunningWork::Helper); anybody may cancel. A cancel that comes between "taken from the queue" and
// "begun" is kept and meets the work when it begins.
#include <array>
#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "runtime/base/futex.hpp"
#include "runtime/base/ids.hpp"
#include "runtime/base/small_mutex.hpp"

namespace manta::detail {

class CancelSlot {
 public:
  /// The slot of the work that this thread runs or is a helper of; null elsewhere, and within a WithoutParent.
  static CancelSlot* current() noexcept;
  /// Whose children what this thread submits is. Null also in destructors that run as an exception leaves cancelled work: what they give back,
  /// a lock say, is to arrive.
  static CancelSlot* submitting() noexcept;

  TaskId id() const noexcept { return {id_.load(std::memory_order_relaxed)}; }
  /// The id of the task that was cancelled here last: the work in hand is meant only when it is its own.
  const std::atomic<std::uint64_t>& cancelled_id() const noexcept { return cancelled_id_; }
  bool cancelled() const noexcept { return is_own(cancelled_id_); }
  /// What it submits from now on is not wanted either.
  bool cancelled_with_children() const noexcept { return is_own(recursive_id_); }
  /// Throws Cancelled when the work that this thread runs has been cancelled.
  static void check();
  /// The work that this thread runs has its result. When its Scope says that it ends with that, no cancel meets it from now on, and this is
  /// true. On its own thread.
  static bool end_running() noexcept;

  /// While it lives this thread may sleep on `word` as long as that holds `value`: a cancel changes the word and wakes it.
  class Sleep {
   public:
    Sleep(std::atomic<std::uint32_t>& word, std::uint32_t value);
    ~Sleep();
    Sleep(const Sleep&) = delete;
    Sleep& operator=(const Sleep&) = delete;

   private:
    CancelSlot* slot_;
  };

  /// While it lives, no cancel reaches what this thread does outside of a Scope that begins after it.
  class Outside {
   public:
    Outside() noexcept;
    ~Outside();
    Outside(const Outside&) = delete;
    Outside& operator=(const Outside&) = delete;

   private:
    CancelSlot* before_;
  };

 private:
  friend class RunningWork;
  bool is_own(const std::atomic<std::uint64_t>& id) const noexcept {
    const auto seen = id.load(std::memory_order_acquire);
    return seen != 0 && seen == id_.load(std::memory_order_relaxed);
  }
  void cancel(TaskId id, bool recursive);
  bool tell(TaskId id, bool recursive);  // with mutex_ held, as wake
  void wake();

  std::atomic<bool> taken_{false};
  std::atomic<std::uint64_t> id_{0};
  std::atomic<std::uint64_t> cancelled_id_{0};
  std::atomic<std::uint64_t> recursive_id_{0};
  bool ends_with_result_ = false;    // its own thread's
  std::atomic<bool> helped_{false};  // since this work began somebody looked whether it may have a helper
  SmallMutex mutex_;  // guards what follows
  CancelSlot* next_ = nullptr;  // of the work's slot: its first helper's; of that: the next one's
  std::atomic<std::uint32_t>* word_ = nullptr;
  std::uint32_t value_ = 0;
};

class RunningWork {
 public:
  /// One execution by this thread.
  class Scope {
   public:
    /// `ends_with_result`: who waits for the result has it at once, before this ends (result_is_made).
    Scope(RunningWork& all, TaskId id, bool ends_with_result = false);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
    const CancelSlot& slot() const { return *slot_; }

   private:
    RunningWork& all_;
    CancelSlot* slot_;
    CancelSlot* before_;
  };
  /// While it lives this thread, which the running work has started itself, belongs to that work: a cancel reaches it, and what it
  /// submits is the work's child. When the work has ended, it is as one that nobody cancels. `all` must outlive it.
  class Helper {
   public:
    explicit Helper(RunningWork& all);
    ~Helper();
    Helper(const Helper&) = delete;
    Helper& operator=(const Helper&) = delete;
    bool belongs() const noexcept { return belongs_; }  ///< false: nothing runs

   private:
    RunningWork& all_;
    CancelSlot slot_{};
    bool belongs_;
  };
  /// Whether the execution that has just ended had helpers, or may have had; once. For the running thread.
  bool take_helped() noexcept { return std::exchange(helped_, false); }
  void cancel(TaskId id, bool recursive);
  /// Only what runs now: of no effect on what begins.
  void cancel_now(TaskId id, bool recursive);
  bool runs(TaskId id);
  /// All that runs, and all that begins from now on, with what it submits. The ids of what runs and has no result yet.
  std::vector<TaskId> cancel_all();

 private:
  static constexpr std::size_t kMaxEarly = 256;  ///< cancels that are kept for work that has not begun
  static constexpr int kMaxUnmet = 64;           ///< beginnings after which they were for work that had ended
  struct Early {
    TaskId id;
    bool recursive;
  };
  CancelSlot& take();
  bool add(CancelSlot& helper);
  bool cancel_running(TaskId id, bool recursive);
  template <class F>
  bool any_slot(F&& f);
  void meet_early(CancelSlot& slot);

  struct Rare {
    std::deque<CancelSlot> more{};  ///< of actors that run several calls at once
    std::deque<Early> early{};
    int unmet = 0;
  };
  Rare& rare();

  CancelSlot first_;                  // nearly always the only one
  SmallMutex mutex_;                  // guards what follows
  std::unique_ptr<Rare> rare_;        // null until it is needed: most actors never do
  std::atomic<bool> any_early_{false};  // or all_
  bool all_ = false;                  // nothing is wanted any more
  bool helped_ = false;               // the running thread's only
};

}  // namespace manta::detail
