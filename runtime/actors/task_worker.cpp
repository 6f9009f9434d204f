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
  queue_.append(std::move(tasks));
  if (held_up_) return Append::kHeldUp;
  return std::exchange(awake_, true) ? Append::kQueued : Append::kWake;
}

std::optional<Work> TaskWorker::take_back(TaskId task) {
  std::lock_guard lock(mutex_);
  const auto queued = queue_.find(task);
  if (queued == queue_.end()) return std::nullopt;
  return queue_.take(queued);
}

TaskId TaskWorker::abandon(ProcessId owner) {
  WorkQueue dropped;  // user types: destroyed without the lock
  TaskId current;
  {
    std::lock_guard lock(mutex_);
    if (owner_ != owner) return {};
    dropped = std::exchange(queue_, {});
    current = current_;
  }
  if (current) cancel(current, true);
  return current;
}

TaskWorker::Next TaskWorker::next(Work& work) {
  if (due_) {
    work = std::exchange(due_, nullptr)->work();
    return Next::kWork;
  }
  if (queue_.empty() || coroutine_) return Next::kNothing;
  work = queue_.pop_front();
  running_ = true;
  current_ = work.id;
  return queue_.empty() && outcomes_.empty() ? Next::kWork : Next::kWorkBehind;
}

/// Reports when it is time.
TaskWorker::Next TaskWorker::end_and_next(Work& work, wire::Outcome outcome) {
  const bool local = is_local(owner_);
  std::unique_lock lock(mutex_);
  outcomes_.add(std::move(outcome), local);
  running_ = held_up_ = false;
  current_ = {};
  if (outcomes_.size() < kMaxOutcomes && !queue_.empty() && last_end() - reported_ <= kReportTime) return next(work);
  lock.unlock();
  report(false);
  reported_ = look_at_clock();
  lock.lock();
  return next(work);
}

void TaskWorker::report(bool held_up) {
  WorkQueue unstarted;  // user types: destroyed without the lock
  wire::TasksDone done;
  ProcessId owner;
  {
    std::lock_guard lock(mutex_);
    done.lease = lease_info_.id;
    owner = owner_;
    outcomes_.move_to(done);
    const bool told = held_up_;
    held_up_ = held_up && running_;
    done.held_up = held_up_ && !told;
    if (held_up_) unstarted = std::exchange(queue_, {});
  }
  for (const auto& work : unstarted) done.outcomes.push_back({.id = work.id, .result = wire::Unstarted{}});
  unstarted.clear();
  if (!done.outcomes.empty() || !done.ended.empty() || done.held_up) environment_.router->send(owner, std::move(done));
}

void TaskWorker::relieve() { report(true); }

void TaskWorker::cancel(TaskId id, bool recursive) {
  std::optional<Work> dropped;  // user types: destroyed without the lock
  {
    std::lock_guard lock(mutex_);
    const auto queued = queue_.find(id);
    if (queued != queue_.end()) {
      dropped = queue_.take(queued);
      outcomes_.add(cancelled_outcome(id), is_local(owner_));
      return;  // reported behind what runs
    }
  }
  running_work_.cancel(id, recursive);
  std::shared_ptr<RunningCoroutine> waiting;  // looked for last: one that begins meanwhile has met the cancel
  {
    std::lock_guard lock(mutex_);
    if (coroutine_ && coroutine_->id() == id) waiting = coroutine_;
  }
  if (waiting) waiting->interrupt(recursive);
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
  run_all();
  --host_.busy_;
}

void TaskWorker::run_all() {
  const Draining draining(*this);
  reported_ = last_end();
  Work work;
  auto locked_next = [&] {
    std::lock_guard lock(mutex_);
    return next(work);
  };
  while (true) {
    for (auto found = locked_next(); found != Next::kNothing;) {
      auto outcome = execute(work, nullptr, owner_, lease_info_, found == Next::kWorkBehind);
      work.encoded.reset();  // gives back what it refers to: not with the lock held
      found = outcome ? end_and_next(work, std::move(*outcome)) : locked_next();  // none: a coroutine that waits
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
    host_.free_workers_.push_back(shared_from_this());
    break;
  }
}

}  // namespace manta::detail
