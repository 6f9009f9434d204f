#include "runtime/actors/worker_host.hpp"

#include <pthread.h>

#include "runtime/actors/hosted_actor.hpp"
#include "runtime/actors/task_worker.hpp"
#include "runtime/actors/threaded_actor.hpp"

namespace manta::detail {

Watchdog::Watchdog()
    : thread_([this] {
        ::pthread_setname_np(::pthread_self(), "manta-watchdog");
        loop();
      }) {}

Watchdog::~Watchdog() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wanted_.notify_one();
  thread_.join();
}

void Watchdog::watch(const std::shared_ptr<Executor>& executor) {
  if (executor->watched_.exchange(true)) return;
  {
    std::lock_guard lock(mutex_);
    watched_.push_back(executor);
    if (watched_.size() > 1) return;
  }
  wanted_.notify_one();
}

void Watchdog::loop() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (watched_.empty()) {
      wanted_.wait(lock);
      continue;
    }
    wanted_.wait_for(lock, Executor::kLongTime, [this] { return stopping_; });
    auto looked_at = std::exchange(watched_, {});
    lock.unlock();
    const auto now = SteadyClock::now().time_since_epoch().count();
    const auto limit = std::chrono::duration_cast<SteadyClock::duration>(Executor::kLongTime).count();
    std::vector<std::shared_ptr<Executor>> stay;
    for (auto& executor : looked_at) {
      const auto since = executor->running_since();
      const bool overdue = since != 0 && now - since > limit;
      if (since == 0 || overdue) executor->watched_ = false;
      // One that has begun meanwhile may have found itself watched still: it looks after it has said that it begins.
      const bool begun = since == 0 && executor->running_since() != 0 && !executor->watched_.exchange(true);
      if (begun || (since != 0 && !overdue)) stay.push_back(executor);
      if (overdue) executor->relieve();
    }
    looked_at.clear();
    lock.lock();
    for (auto& executor : stay) watched_.push_back(std::move(executor));
  }
}

WorkerHost::WorkerHost(caf::actor_system& system, HostEnvironment& environment)
    : environment_(environment) {
  environment_.scheduler = dynamic_cast<ElasticScheduler*>(&system.scheduler());  // null on a test's own scheduler, where nothing runs
  environment_.watchdog = &watchdog_;
}

void WorkerHost::run(ProcessId owner, const wire::LeaseInfo& lease, std::vector<Work> tasks) {
  std::shared_ptr<TaskWorker> worker;
  auto appended = TaskWorker::Append::kQueued;
  {
    std::lock_guard lock(mutex_);
    auto& slot = workers_[lease.id];
    if (!slot) {
      if (free_workers_.empty()) {
        slot = std::make_shared<TaskWorker>(*this, environment_);
      } else {
        slot = std::move(free_workers_.back());
        free_workers_.pop_back();
      }
      slot->bind(owner, lease);
    }
    worker = slot;
    appended = worker->append(std::move(tasks));
  }
  if (appended == TaskWorker::Append::kWake) worker->wake();
  if (appended == TaskWorker::Append::kQueued) watchdog_.watch(worker);  // it waits behind what runs
  if (appended == TaskWorker::Append::kHeldUp) worker->relieve();
}

bool WorkerHost::take_back(LeaseId lease, TaskId task) {
  std::shared_ptr<TaskWorker> worker;
  {
    std::lock_guard lock(mutex_);
    const auto it = workers_.find(lease);
    if (it == workers_.end()) return false;
    worker = it->second;
  }
  return worker->take_back(task).has_value();
}

void WorkerHost::create(ProcessId owner, ActorId actor, const wire::LeaseInfo& lease, Work constructor,
                        wire::Concurrency concurrency) {
  std::shared_ptr<Hosted> hosted;
  if (concurrency.serial())
    hosted = std::make_shared<HostedActor>(*this, environment_, owner, actor, lease, concurrency.coroutines);
  else
    hosted = std::make_shared<ThreadedActor>(*this, environment_, owner, actor, lease, std::move(concurrency));
  {
    std::lock_guard lock(mutex_);
    if (!actors_.emplace(actor, hosted).second) return;
  }
  hosted->start(std::move(constructor));
}

void WorkerHost::call(ActorId actor, std::vector<Work> calls) {
  std::shared_ptr<Hosted> hosted;
  {
    std::lock_guard lock(mutex_);
    auto it = actors_.find(actor);
    if (it == actors_.end()) return;
    hosted = it->second;
  }
  hosted->call(std::move(calls));
}

std::vector<TaskId> WorkerHost::destroy(ActorId actor, bool kill) {
  std::shared_ptr<Hosted> hosted;
  {
    std::lock_guard lock(mutex_);
    auto it = actors_.find(actor);
    if (it == actors_.end()) return {};
    hosted = it->second;
  }
  return hosted->destroy(kill);
}

void WorkerHost::cancel(ProcessId owner, const wire::CancelWork& what) {
  std::shared_ptr<TaskWorker> worker;
  std::shared_ptr<Hosted> actor;
  {
    std::lock_guard lock(mutex_);
    if (auto it = workers_.find(what.lease); it != workers_.end() && it->second->owner() == owner) worker = it->second;
    if (auto it = actors_.find(what.actor); it != actors_.end()) actor = it->second;
  }
  for (auto id : what.tasks) {
    if (worker) worker->cancel(id, what.recursive);
    if (actor && maker_of(id.value) == owner) actor->cancel(id, what.recursive);
  }
}

std::vector<TaskId> WorkerHost::drop_owner(ProcessId owner) {
  std::vector<std::shared_ptr<TaskWorker>> workers;
  std::vector<std::shared_ptr<Hosted>> orphans, others;
  {
    std::lock_guard lock(mutex_);
    for (auto& [lease, worker] : workers_)
      if (worker->owner() == owner) workers.push_back(worker);
    for (auto& [id, actor] : actors_) (actor->owner() == owner ? orphans : others).push_back(actor);
  }
  std::vector<TaskId> running;
  for (auto& worker : workers)
    if (const auto task = worker->abandon(owner)) running.push_back(task);
  for (auto& actor : orphans)
    for (const auto task : actor->destroy(true)) running.push_back(task);
  for (auto& actor : others) actor->caller_gone(owner);
  return running;
}

bool WorkerHost::idle() const {
  std::lock_guard lock(mutex_);
  return busy_ == 0 && workers_.empty() && actors_.empty();
}

}  // namespace manta::detail
