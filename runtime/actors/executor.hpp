#pragma once
// Executor: runs one piece of work after another and reports the outcomes in groups. The common part of TaskWorker
// (tasks under a lease) and HostedActor (calls of one user actor). Each is a job of the pool (PoolJob), scheduled when there is work;
// the work itself lies in a queue of its own, so that a batch is scheduled once.
//
// Work runs on the pool's threads, one thread at a time. Outcomes go to the owner when the queue is empty, kMaxOutcomes
// are there, or kReportTime has passed; before the running work blocks; and when it takes long (Watchdog), so that no
// finished result and no unstarted task waits behind it.
#include <algorithm>
#include <atomic>
#include <deque>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "runtime/actors/control.hpp"
#include "runtime/actors/reference_keeper.hpp"
#include "runtime/actors/router.hpp"
#include "runtime/actors/running_work.hpp"
#include "runtime/actors/store_access.hpp"
#include "runtime/context.hpp"

namespace manta::detail {

class ContextEngine;
class RunningCoroutine;
class CoroutineWaits;
class Watchdog;

/// What all executors of a process share.
struct HostEnvironment {
  Router* router = nullptr;
  StoreAccess* store = nullptr;
  ReferenceKeeper* references = nullptr;
  std::weak_ptr<Engine> engine{};
  std::uint64_t inline_bytes = 0;
  std::atomic<bool> stopping{false};
  std::atomic<bool> abandoned{false};  ///< and the time for that is over: all that still waits is cancelled
  Watchdog* watchdog = nullptr;
  CoroutineWaits* coroutine_waits = nullptr;
  ElasticScheduler* scheduler = nullptr;
};

/// A piece of work: typed by this process, or as it came over the wire and not yet decoded.
struct Work {
  TaskId id{};
  std::shared_ptr<const std::string> name{};
  int attempt = 1;
  ProcessId caller = 0;  ///< of a method: the process that gets the outcome
  std::shared_ptr<TaskRecord> record{};
  std::unique_ptr<wire::Task> encoded{};  ///< as it came; null for a typed one without a group
  const FunctionEntry* retry_on = nullptr;  ///< of a typed one
  std::shared_ptr<RunningCoroutine> coroutine{};  ///< not null: it has begun, and goes on
  Amount joined_cpus{};  ///< of a joined task (joined_task.hpp): what it asked for
};

/// Coroutines that have begun, by their tasks.
using BegunCoroutines = std::unordered_map<TaskId, std::shared_ptr<RunningCoroutine>>;
inline std::shared_ptr<RunningCoroutine> find_begun(const BegunCoroutines& begun, TaskId id) {
  const auto found = begun.find(id);
  return found == begun.end() ? nullptr : found->second;
}

/// Work that waits its turn. Ids of one caller grow, so among its own one is found at once, or known not to be there. Where those of several
/// callers lie between each other, or some come a second time, it takes a look at all.
class WorkQueue : private Fifo<Work> {  // privately, so that nothing is put into it as into another Fifo
 public:
  using Fifo::begin, Fifo::clear, Fifo::empty, Fifo::end, Fifo::front, Fifo::iterator, Fifo::pop_front, Fifo::size, Fifo::take;
  void push_back(Work work) {
    if (empty()) last_ = 0;
    note(work);
    Fifo::push_back(std::move(work));
  }
  void append(std::vector<Work> works) {
    if (empty()) last_ = 0;
    for (const auto& work : works) note(work);
    Fifo::append(std::move(works));
  }
  /// Whether all are in the order of their ids.
  bool knows_order() const noexcept { return last_ != kMixed; }
  /// Where it waits, when they are; else perhaps the end.
  iterator find_in_order(TaskId id) {
    auto first = begin(), last = end();
    while (first != last) {
      const auto middle = first + (last - first) / 2;
      if (middle->id == id) return middle;
      middle->id < id ? first = middle + 1 : last = middle;
    }
    return end();
  }
  /// Where it waits; the end when it does not.
  iterator find(TaskId id) {
    const auto found = find_in_order(id);
    if (found != end() || knows_order()) return found;
    return std::find_if(begin(), end(), [id](const Work& work) { return work.id == id; });
  }

 private:
  static constexpr std::uint64_t kMixed = UINT64_MAX;
  void note(const Work& work) { last_ = last_ < work.id.value ? work.id.value : kMixed; }
  std::uint64_t last_ = 0;  ///< id; kMixed: they do not grow
};

/// What came of work that has ended and is not reported yet.
class Outcomes {
 public:
  /// `local`: the owner is in this process.
  void add(wire::Outcome outcome, bool local) {
    if (!local || !std::holds_alternative<wire::Value>(outcome.result)) return outcomes_.push_back(std::move(outcome));
    constexpr std::size_t kFew = 8;
    if (ended_.capacity() == 0) ended_.reserve(kFew);
    ended_.push_back({outcome.id, outcome.nanoseconds, outcome.joined_nanoseconds});
  }
  std::size_t size() const { return ended_.size() + outcomes_.size(); }
  bool empty() const { return size() == 0; }
  /// Message: wire::TasksDone or wire::ActorDone.
  template <class Message>
  void move_to(Message& done) {
    done.ended.swap(ended_);
    done.outcomes.swap(outcomes_);
  }

 private:
  std::vector<wire::Ended> ended_{};
  std::vector<wire::Outcome> outcomes_{};
};

/// Of work that was cancelled before it began.
inline wire::Outcome cancelled_outcome(TaskId id) {
  return {.id = id, .result = ErrorInfo{.code = ErrorCode::kCancelled, .message = "it was cancelled before it began"}};
}

class Executor {
 public:
  static constexpr std::size_t kMaxOutcomes = 64;
  static constexpr std::int64_t kReportTime = 200'000;  ///< nanoseconds
  static constexpr std::chrono::milliseconds kLongTime{2};

  explicit Executor(HostEnvironment& environment) : environment_(environment) {}
  virtual ~Executor() = default;

  /// The executor whose work this thread is running; null elsewhere.
  static Executor* current() noexcept;
  /// This thread's work is about to wait, or goes on: results leave, the lease's CPUs go to others meanwhile.
  void set_blocked(bool blocked);
  /// One more thread of its work waits (1), or goes on (-1). The CPUs are lent while at least one does. Thread-safe.
  void change_waiting(int change);
  /// The lease that this thread's work runs under; on its own thread.
  virtual const wire::LeaseInfo& held() const noexcept { return *lease_; }
  /// Sends away what should not wait for the running work. Thread-safe.
  virtual void relieve() = 0;
  virtual std::weak_ptr<Executor> self() = 0;
  /// Nobody wants it any more: it does not start, or is told so while it runs. No effect when it is done. Thread-safe.
  virtual void cancel(TaskId id, bool recursive) = 0;
  /// What a coroutine of this executor awaited is there: it goes on as soon as it is its turn. Thread-safe.
  virtual void resume_later(std::shared_ptr<RunningCoroutine> coroutine) = 0;
  /// Whose calls it runs, one at a time; 0 for tasks and for actors that run several.
  virtual ActorId serial_actor() const noexcept { return {}; }
  /// The running work ran a task itself that it waited for; on its own thread.
  void joined(std::int64_t nanoseconds) { joined_ += nanoseconds; }
  /// The work in hand, for messages; on its own thread.
  std::string running_name() const { return running_name_ ? *running_name_ : std::string(); }
  /// Since when the running work runs, or between two pieces the last one did; 0: its thread has nothing to do.
  std::int64_t running_since() const noexcept { return since_.load(std::memory_order_seq_cst); }

  /// One operation of a thread that the running work has started itself: while it lives, it is a thread of that work. Keeps the executor.
  class HelperThread {
   public:
    /// `executor`: null for none; then, and when nothing runs there, it does nothing.
    explicit HelperThread(std::shared_ptr<Executor> executor);
    ~HelperThread();
    HelperThread(const HelperThread&) = delete;
    HelperThread& operator=(const HelperThread&) = delete;
    /// This thread's; null elsewhere.
    static HelperThread* current() noexcept;
    /// This thread is about to wait, or goes on. Of no effect once the work has ended.
    void set_blocked(bool blocked);

   private:
    const std::shared_ptr<Executor> executor_;
    const std::uint32_t works_ended_;  // when it began
    std::optional<RunningWork::Helper> helper_{};
  };

 protected:
  friend class Watchdog;
  /// The lease's CPUs go to others, or are wanted again. Called only for a lease that has CPUs.
  virtual void lend(bool blocked);
  /// The first of its work's threads waits, or none does any more.
  virtual void some_wait(bool some);
  /// While it lives its thread runs work, one piece after another: what each needs is made once. There must be one around execute().
  class Draining {
   public:
    explicit Draining(Executor& executor);
    ~Draining();
    Draining(const Draining&) = delete;

   private:
    friend class Executor;
    Context& context();  // throws RuntimeStopped
    Executor& executor_;
    std::shared_ptr<ContextEngine> engine_{};
    Invocation invocation_{};  // of the running work, unless that is a coroutine
    std::optional<Context> context_{};
  };
  /// Runs it and says what came of it. A value for an owner in this process is in its cell then; for another one it is in
  /// the outcome. A coroutine that waits has none yet: resume_later brings it back.
  /// `behind`: others wait for it, so it is watched.
  std::optional<wire::Outcome> execute(Work& work, ActorObject* instance, ProcessId owner, const wire::LeaseInfo& lease, bool behind);
  bool is_local(ProcessId owner) const { return owner == environment_.router->self(); }
  /// The time when the last work ended.
  std::int64_t last_end() const noexcept { return last_end_; }
  /// Something else was done since: the next work's time begins now.
  std::int64_t look_at_clock() noexcept;

  /// A coroutine begins, and is to be kept until it has ended.
  virtual void hold(const std::shared_ptr<RunningCoroutine>& coroutine) = 0;
  virtual void release(const std::shared_ptr<RunningCoroutine>& coroutine) = 0;
  /// It waits, or goes on: on the executor's thread, in this order.
  virtual void suspended(bool) {}
  /// The work that has just ended asked for the end of its actor.
  virtual void exit_wanted() {}

  HostEnvironment& environment_;
  RunningWork running_work_{};
  std::atomic<bool> watched_{false};
  bool in_actor_ = false;  ///< what runs is a method
  ActorStreams* streams_ = nullptr;  ///< of the actor

 private:
  std::shared_ptr<TaskRecord> decoded(Work& work);
  void add_results(const Work& work, TaskRecord& record, ProcessId owner, wire::Outcome& outcome);
  static void keep_references(const TaskRecord& record, wire::Outcome& outcome);
  void note_failure(const Work& work, bool began, wire::Outcome& outcome);
  TaskRecord* run(Work& work, ActorObject* instance, const wire::LeaseInfo& lease, const CancelSlot& slot, std::shared_ptr<TaskRecord>& record, bool& began);
  Invocation invocation_of(const Work& work, const wire::LeaseInfo& lease, const CancelSlot& slot) const;
  using HeldValues = std::vector<std::shared_ptr<const void>>;
  /// Reads the stored arguments of work that came over the wire, for the call; throws LostArgument.
  static HeldValues read_arguments(const Work& work, const TaskRecord& record);
  std::atomic<std::int64_t> since_{0};
  std::shared_ptr<const std::string> running_name_{};
  const wire::LeaseInfo* lease_ = nullptr;  ///< of the running work
  std::int64_t joined_ = 0;                 ///< nanoseconds of it
  std::int64_t last_end_ = 0;
  Draining* draining_ = nullptr;

  void forget_helpers();
  std::uint32_t works_ended();
  void count_waiting(int change);  // with waiting_mutex_ held
  SmallMutex waiting_mutex_;       // held while the node is told, so that it hears it in order
  int waiting_ = 0;                // guarded by waiting_mutex_, as what follows: threads of the running work that wait
  int waiting_helpers_ = 0;        // among them
  std::uint32_t works_ended_ = 0;  // of those that had helpers
};

}  // namespace manta::detail
