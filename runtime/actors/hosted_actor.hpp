#pragma once
// HostedActor: a user's actor where it lives. Constructs the object, runs its calls in the order of arrival, destroys it.
// An idle one is a CAF mailbox and a queue, no thread. See Executor for how it reports.
#include "runtime/actors/worker_host.hpp"

namespace manta::detail {

class HostedActor final : public Executor, public Hosted, public std::enable_shared_from_this<HostedActor> {
 public:
  HostedActor(WorkerHost& host, HostEnvironment& environment, ProcessId owner, ActorId id, wire::LeaseInfo lease)
      : Executor(environment), host_(host), owner_(owner), id_(id), lease_info_(std::move(lease)) {}
  void start(caf::actor_system& system, Work constructor) override;
  void call(std::vector<Work> calls) override;
  void destroy(bool kill) override;
  ProcessId owner() const override { return owner_; }
  void relieve() override;
  void cancel(TaskId id, bool recursive) override;

 private:
  void wake_if(bool needed);
  void drain();
  void construct();
  void end();
  void report();
  void lend_cpus(bool lend);

  WorkerHost& host_;
  const ProcessId owner_;
  const ActorId id_;
  const wire::LeaseInfo lease_info_;
  caf::actor actor_;
  std::shared_ptr<void> object_;          // the actor's own thread only
  bool constructed_ = false;
  bool lent_ = false;
  std::mutex mutex_;
  std::deque<Work> queue_;                // guarded by mutex_, like what follows
  std::optional<Work> constructor_;
  std::vector<wire::Outcome> outcomes_;
  bool awake_ = false;
  bool destroying_ = false;
  bool killed_ = false;
  SteadyClock::time_point reported_{};    // the draining thread only
};

}  // namespace manta::detail
