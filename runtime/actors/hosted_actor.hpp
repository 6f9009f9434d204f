#pragma once
// HostedActor: a user's actor where it lives. Constructs the object, runs its calls in the order of arrival, destroys it. A call whose
// argument is lost goes back to its caller with those of that caller behind it (docs/design/0010-lineage.md).
// An idle one is a few hundred bytes, no thread. See Executor for how it reports.
#include "runtime/actor_streams.hpp"
#include "runtime/actors/pool_job.hpp"
#include "runtime/actors/worker_host.hpp"
#include "runtime/base/fifo.hpp"

namespace manta::detail {

class HostedActor final : public Executor, public Hosted, public PoolJob, public std::enable_shared_from_this<HostedActor> {
 public:
  HostedActor(WorkerHost& host, HostEnvironment& environment, ProcessId owner, ActorId id, wire::LeaseInfo lease,
              std::size_t max_coroutines)
      : Executor(environment), host_(host), owner_(owner), id_(id), lease_info_(std::move(lease)), max_coroutines_(max_coroutines) {}
  void start(Work constructor) override;
  void call(std::vector<Work> calls) override;
  std::vector<TaskId> destroy(bool kill) override;
  ProcessId owner() const override { return owner_; }
  void relieve() override;
  ActorId serial_actor() const noexcept override { return id_; }
  void cancel(TaskId id, bool recursive) override;
  void caller_gone(ProcessId caller) override;
  void resume_later(std::shared_ptr<RunningCoroutine> coroutine) override;

 private:
  struct Coroutines {
    BegunCoroutines begun{};
    std::deque<std::shared_ptr<RunningCoroutine>> due{};  ///< what they awaited is there
  };
  /// Callers whose processes have ended, until their streams have.
  struct GoneCallers {
    std::vector<ProcessId> processes{};
    bool fresh = false;  ///< there are streams to end now; once the queue is empty, those that it opened
  };
  std::weak_ptr<Executor> self() override { return weak_from_this(); }
  void hold(const std::shared_ptr<RunningCoroutine>& coroutine) override;
  void release(const std::shared_ptr<RunningCoroutine>& coroutine) override;
  void exit_wanted() override;
  bool take(Work& work);
  void run(Work& work, bool behind);
  std::uint32_t losses_of(ProcessId caller) const;
  bool must_go_back(const Work& work) const;
  void give_back(ProcessId caller, wire::Outcome first);
  void run_all();
  void wake_if(bool needed);
  void drain() override;
  std::shared_ptr<PoolJob> shared_job() override { return shared_from_this(); }
  void construct();
  void end();
  void report();
  void lend_cpus(bool lend);
  void end_streams(bool last);

  WorkerHost& host_;
  const ProcessId owner_;
  const ActorId id_;
  const wire::LeaseInfo lease_info_;
  const std::size_t max_coroutines_;
  ActorObject object_;                    // the actor's own thread only
  ActorStreams open_streams_;             // its coroutines refer to the object; cleared once ended_ is set
  bool constructed_ = false;
  bool lent_ = false;                     // the draining thread only: its CPUs serve others
  SmallMutex relieving_;                  // held while the watchdog takes outcomes and tells them: the actor's end is told behind them
  SmallMutex mutex_;
  WorkQueue queue_;                       // guarded by mutex_, like what follows
  std::unique_ptr<Work> constructor_;     // null once it has begun
  Outcomes outcomes_;                     // all of calls from outcomes_to_
  ProcessId outcomes_to_ = 0;
  bool awake_ = false;
  bool destroying_ = false;
  bool killed_ = false;
  bool exiting_ = false;                  // by ctx.exit_actor()
  bool ended_ = false;
  std::unique_ptr<Coroutines> coroutines_;  // null: none has begun
  std::unique_ptr<GoneCallers> gone_;       // null: none
  std::unique_ptr<std::map<ProcessId, std::uint32_t>> losses_;  // calls whose argument was lost, of each caller; null: none; the draining thread only
  std::int64_t reported_ = 0;             // when; the draining thread only
};

}  // namespace manta::detail
