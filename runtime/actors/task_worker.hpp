#pragma once
// TaskWorker: runs the tasks that come under one lease, in order. While it has no work it belongs to no lease and waits in
// the host's free list. See Executor for how it reports.
#include "runtime/actors/pool_job.hpp"
#include "runtime/actors/worker_host.hpp"
#include "runtime/base/fifo.hpp"

namespace manta::detail {

class TaskWorker final : public Executor, public PoolJob, public std::enable_shared_from_this<TaskWorker> {
 public:
  TaskWorker(WorkerHost& host, HostEnvironment& environment) : Executor(environment), host_(host) {}
  // Under the host's lock.
  void bind(ProcessId owner, const wire::LeaseInfo& lease);
  enum class Append { kWake, kQueued, kHeldUp };
  /// kWake: the actor must be woken. kHeldUp: call relieve(), the tasks cannot start soon.
  Append append(std::vector<Work> tasks);
  /// Takes it out unless it has begun; it is the caller's to destroy, without a lock.
  std::optional<Work> take_back(TaskId task);
  ProcessId owner() const { return owner_; }
  /// `owner` is gone: nothing more of it begins, and what runs is told. The id of that; 0: none, or it serves another owner by now.
  TaskId abandon(ProcessId owner);

  void wake() { schedule(*environment_.scheduler); }
  /// Hands unstarted tasks back and sends the outcomes that are there.
  void relieve() override;
  void cancel(TaskId id, bool recursive) override;
  void resume_later(std::shared_ptr<RunningCoroutine> coroutine) override;

 private:
  std::weak_ptr<Executor> self() override { return weak_from_this(); }
  void hold(const std::shared_ptr<RunningCoroutine>& coroutine) override;
  void release(const std::shared_ptr<RunningCoroutine>& coroutine) override;
  void suspended(bool waits) override { set_blocked(waits); }
  void drain() override;
  void run_all();
  std::shared_ptr<PoolJob> shared_job() override { return shared_from_this(); }
  enum class Next : std::uint8_t { kNothing, kWork, kWorkBehind };  // kWorkBehind: something waits for its end
  Next next(Work& work);                // with mutex_ held
  Next end_and_next(Work& work, wire::Outcome outcome);
  void report(bool held_up);

  WorkerHost& host_;
  ProcessId owner_ = 0;
  wire::LeaseInfo lease_info_{};
  SmallMutex mutex_;
  WorkQueue queue_;                       // guarded by mutex_
  Outcomes outcomes_;                     // guarded by mutex_
  bool awake_ = false;                    // guarded by mutex_
  bool running_ = false;                  // guarded by mutex_
  TaskId current_{};                      // guarded by mutex_: the task that runs, or is about to
  bool held_up_ = false;                  // guarded by mutex_: the running task waits or takes long
  std::shared_ptr<RunningCoroutine> coroutine_;  // guarded by mutex_: has begun under this lease; nothing else runs till its end
  std::shared_ptr<RunningCoroutine> due_;        // guarded by mutex_: the same, when it can go on
  std::int64_t reported_ = 0;             // when; the draining thread only
};

}  // namespace manta::detail
