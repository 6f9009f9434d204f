#include "runtime/actors/task_worker.hpp"

#include <algorithm>
#include "runtime/actors/running_coroutine.hpp"

namespace manta::detail {

void TaskWorker::bind(ProcessId owner, const wire::LeaseInfo& lease) {
  std::lock_guard lock(mutex_);
  owner_ = owner;
  lease_info_ = lease;
}

TaskWorker::Append TaskWorker::append(std::vector<Work> tasks) {
  std::lock_guard lock(mutex_);
  for (auto& task : tasks) queue_.push_back(std::move(task));
  if (held_up_) return Append::kHeldUp;
  return std::exchange(awake_, true) ? Append::kQueued : Append::kWake;
}

bool TaskWorker::take_back(TaskId task) {
  std::lock_guard lock(mutex_);
  const auto queued = std::find_if(queue_.begin(), queue_.end(), [task](const Work& work) { return work.id == task; });
  if (queued == queue_.end()) return false;
  queue_.erase(queued);  // its owner has its record too: nothing of the user's is destroyed here
  return true;
}

TaskId TaskWorker::abandon() {
  std::deque<Work> dropped;  // user types: destroyed without the lock
  TaskId current;
  {
    std::lock_guard lock(mutex_);
    dropped.swap(queue_);
    current = current_;
  }
  if (current) cancel(current, true);
  return current;
}

bool TaskWorker::next(Work& work, bool& behind) {
  std::lock_guard lock(mutex_);
  if (due_) {
    work = std::exchange(due_, nullptr)->work();
    return true;
  }
  if (queue_.empty() || coroutine_) return false;
  work = std::move(queue_.front());
  queue_.pop_front();
  running_ = true;
  current_ = work.id;
  behind = !queue_.empty() || !outcomes_.empty();
  return true;
}

void TaskWorker::report(bool held_up) {
  wire::TasksDone done;
  ProcessId owner;
  {
    std::lock_guard lock(mutex_);
    done.lease = lease_info_.id;
    owner = owner_;
    done.outcomes.swap(outcomes_);
    const bool told = held_up_;
    held_up_ = held_up && running_;
    done.held_up = held_up_ && !told;
    if (held_up_)
      for (auto& work : std::exchange(queue_, {})) done.outcomes.push_back({.id = work.id, .result = wire::Unstarted{}});
  }
  if (!done.outcomes.empty() || done.held_up) environment_.router->send(owner, std::move(done));
}

void TaskWorker::relieve() { report(true); }

void TaskWorker::cancel(TaskId id, bool recursive) {
  std::shared_ptr<RunningCoroutine> waiting;
  {
    std::lock_guard lock(mutex_);
    const auto queued = std::find_if(queue_.begin(), queue_.end(), [id](const Work& work) { return work.id == id; });
    if (queued != queue_.end()) {
      queue_.erase(queued);
      outcomes_.push_back(cancelled_outcome(id));
      return;  // reported behind what runs
    }
    if (coroutine_ && coroutine_->id() == id) waiting = coroutine_;
  }
  if (waiting) waiting->interrupt();
  running_work_.cancel(id, recursive);
}

void TaskWorker::resume_later(std::shared_ptr<RunningCoroutine> coroutine) {
  {
    std::lock_guard lock(mutex_);
    due_ = std::move(coroutine);
    if (std::exchange(awake_, true)) return;
  }
  wake();
}

void TaskWorker::hold(const std::shared_ptr<RunningCoroutine>& coroutine) {
  std::lock_guard lock(mutex_);
  coroutine_ = coroutine;
}

void TaskWorker::release(const std::shared_ptr<RunningCoroutine>&) {
  std::lock_guard lock(mutex_);
  coroutine_.reset();
}

void TaskWorker::drain() {
  auto self = shared_from_this();
  ++host_.busy_;
  reported_ = SteadyClock::now();
  Work work;
  while (true) {
    bool behind = false;
    if (next(work, behind)) {
      auto outcome = execute(work, nullptr, owner_, lease_info_, behind ? self : nullptr);
      if (!outcome) continue;  // a coroutine that waits
      std::unique_lock lock(mutex_);
      outcomes_.push_back(std::move(*outcome));
      running_ = held_up_ = false;
      current_ = {};
      const bool full = outcomes_.size() >= kMaxOutcomes || queue_.empty();
      lock.unlock();
      if (full || SteadyClock::now() - reported_ > kReportTime) {
        report(false);
        reported_ = SteadyClock::now();
      }
      continue;
    }
    report(true);  // held up when a coroutine waits
    std::lock_guard host_lock(host_.mutex_);
    std::lock_guard lock(mutex_);
    if (due_) continue;
    if (coroutine_) {  // it keeps its place
      awake_ = false;
      break;
    }
    if (!queue_.empty() || !outcomes_.empty()) continue;
    awake_ = false;
    host_.workers_.erase(lease_info_.id);
    host_.free_workers_.push_back(std::move(self));
    break;
  }
  --host_.busy_;
}

}  // namespace manta::detail
