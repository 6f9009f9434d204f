#pragma once
// WorkerHost: the worker role of a process. Runs tasks that come under leases and hosts user actors, for owners in this
// process and in others. Shared by all threads of the process; every operation returns at once.
#include <condition_variable>
#include <map>
#include <thread>
#include <unordered_map>
#include <unordered_set>

#include "runtime/actors/executor.hpp"

namespace manta::detail {

class TaskWorker;

/// A user's actor where it lives. Every operation returns at once.
class Hosted {
 public:
  virtual ~Hosted() = default;
  virtual void start(Work constructor) = 0;
  virtual void call(std::vector<Work> calls) = 0;
  /// As WorkerHost::destroy.
  virtual std::vector<TaskId> destroy(bool kill) = 0;
  /// As Executor::cancel.
  virtual void cancel(TaskId id, bool recursive) = 0;
  virtual ProcessId owner() const = 0;
  /// A process that has called it has ended: its coroutines that wait are cancelled, its streams end behind its calls.
  virtual void caller_gone(ProcessId caller) = 0;
};

/// Looks every kLongTime at executors that hold back results or tasks behind work that takes long, and relieves them.
/// Its thread sleeps while there is nothing to look at.
class Watchdog {
 public:
  Watchdog();
  ~Watchdog();
  void watch(const std::shared_ptr<Executor>& executor);

 private:
  void loop();
  std::mutex mutex_;
  std::condition_variable wanted_;
  std::vector<std::shared_ptr<Executor>> watched_;
  bool stopping_ = false;
  std::thread thread_;
};

class WorkerHost {
 public:
  WorkerHost(caf::actor_system& system, HostEnvironment& environment);

  /// Runs tasks one after another under a lease.
  void run(ProcessId owner, const wire::LeaseInfo& lease, std::vector<Work> tasks);
  /// Takes a task back that has not begun; false when it has. For an owner in this process.
  bool take_back(LeaseId lease, TaskId task);
  void create(ProcessId owner, ActorId actor, const wire::LeaseInfo& lease, Work constructor,
              wire::Concurrency concurrency);
  void call(ActorId actor, std::vector<Work> calls);
  /// Runs the destructor after the calls that were made; with `kill` without the calls that have not begun, and those that run are
  /// told as by cancel: their ids, as nobody wants their children either. At the end of the runtime they are only told that.
  std::vector<TaskId> destroy(ActorId actor, bool kill);
  /// See wire::CancelWork; an owner can only cancel its own.
  void cancel(ProcessId owner, const wire::CancelWork& what);
  /// Its process is gone: its tasks that have not begun and its actors end, and what runs for it is told as by cancel. The ids of
  /// what runs, whose children nobody wants either.
  std::vector<TaskId> drop_owner(ProcessId owner);
  /// True when nothing runs any more.
  bool idle() const;

 private:
  friend class TaskWorker;
  friend class HostedActor;
  friend class ThreadedActor;
  HostEnvironment& environment_;
  Watchdog watchdog_;
  mutable std::mutex mutex_;  // guards the tables; never held while user code runs or a message is sent
  std::unordered_map<LeaseId, std::shared_ptr<TaskWorker>> workers_;
  std::vector<std::shared_ptr<TaskWorker>> free_workers_;
  std::unordered_map<ActorId, std::shared_ptr<Hosted>> actors_;
  std::atomic<int> busy_{0};
};

}  // namespace manta::detail
