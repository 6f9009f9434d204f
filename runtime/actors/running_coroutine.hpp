#pragma once
// RunningCoroutine: a task or call that is a coroutine (Async<T>) from its beginning to its end. Its executor runs it a
// stretch at a time and owns it meanwhile; what it awaits only knows it weakly, so that it can be destroyed while it
// waits.
#include <functional>
#include <mutex>

#include "runtime/actors/context_engine.hpp"
#include "runtime/actors/coroutine_waits.hpp"
#include "runtime/actors/executor.hpp"
#include "runtime/async.hpp"
#include "runtime/process/forks.hpp"

namespace manta::detail {

class RunningCoroutine final : public Resumer, public std::enable_shared_from_this<RunningCoroutine> {
 public:
  RunningCoroutine(std::weak_ptr<Executor> home, const Work& work, std::shared_ptr<TaskRecord> record,
                   std::shared_ptr<Engine> engine, Invocation invocation, CoroutineWaits* waits);
  ~RunningCoroutine() override;

  /// Calls the function, which makes the coroutine; runs nothing of it yet.
  void begin(ActorObject* instance);
  /// Runs it to its next wait or its end; true at its end, when its cell is settled. Throws what it threw. Tells
  /// `suspended` when it begins to wait (true) and when it goes on (false), in this order also when several threads take turns.
  /// `cancelled_id`: where a cancel of this stretch shows.
  bool advance(const std::atomic<std::uint64_t>& cancelled_id, const std::function<void(bool)>& suspended);
  /// Destroys its frame where it waits.
  void abandon();
  /// Nobody wants it any more: what it waits for, now or later, throws Cancelled unless it is there. `recursive`: nor what it submits
  /// from then on. Thread-safe.
  void interrupt(bool recursive = false);
  bool interrupted() const noexcept { return interrupted_; }
  /// Once interrupted() is true.
  bool interrupted_with_children() const noexcept { return recursive_; }
  /// It has returned or thrown, and its caller, in this process, may have what it gave. Seen by whoever has that.
  bool ended() const noexcept { return ended_; }
  TaskId id() const noexcept { return id_; }
  const std::shared_ptr<const std::string>& name() const noexcept { return name_; }
  /// The number of the wait that it is in; 0: none, or what ends it has come.
  std::uint64_t awaits() const noexcept { return awaited_; }
  /// What it waits for in that wait; null when that is over, or it cannot be said just now. Does not block.
  std::shared_ptr<Cell> awaited(std::uint64_t wait);
  ProcessId caller() const noexcept { return caller_; }
  void resume_when_settled(const std::shared_ptr<Cell>& cell, std::coroutine_handle<> coroutine) override;

  /// The work that brings it back.
  Work work();
  const std::shared_ptr<TaskRecord>& record() const { return record_; }
  bool wants_exit() const { return invocation_.exit; }
  ContextEngine& engine() const { return *engine_; }

 private:
  class Wakeup;
  void wake(std::uint64_t wait);
  void forget_wait();
  const int forks_ = count_forks();
  const std::weak_ptr<Executor> home_;
  const TaskId id_;
  const std::shared_ptr<const std::string> name_;
  const int attempt_;
  const ProcessId caller_;
  const FunctionEntry* const retry_on_;
  const std::shared_ptr<TaskRecord> record_;
  CoroutineWaits* const long_waits_;                 // null: nobody tells of them
  std::optional<CoroutineWaits::Place> place_{};     // there, from its first wait on; guarded by turn_
  Invocation invocation_;
  const std::shared_ptr<ContextEngine> engine_;
  Context context_;
  std::mutex turn_;                         // held while it runs: the next stretch may be due before this one has returned
  std::coroutine_handle<> next_{};          // guarded by turn_
  bool waits_ = false;                      // guarded by turn_
  std::uint64_t waits_begun_ = 0;           // likewise, as what follows
  std::shared_ptr<Cell> awaited_cell_{};    // with the wake-up that was left there; null unless it waits
  std::shared_ptr<Wakeup> wakeup_{};
  std::atomic<std::uint64_t> awaited_{0};   // number of the wait that it is in; 0: none, or what ends it has come
  std::atomic<bool> interrupted_{false};
  std::atomic<bool> recursive_{false};      // set ahead of that
  std::atomic<bool> ended_{false};
  std::unique_ptr<Coroutine> coroutine_{};  // destroyed first: its frame refers to all the rest
};

}  // namespace manta::detail
