#include "runtime/actors/hosted_actor.hpp"

#include <algorithm>
#include "runtime/actors/running_coroutine.hpp"

namespace manta::detail {

void HostedActor::start(Work constructor) {
  auto work = std::make_unique<Work>(std::move(constructor));
  std::unique_lock lock(mutex_);
  if (ended_) return;  // its owner's end was quicker
  constructor_ = std::move(work);
  const bool needed = !std::exchange(awake_, true);
  lock.unlock();
  wake_if(needed);
}

void HostedActor::wake_if(bool needed) {
  if (needed) schedule(*environment_.scheduler);
}

void HostedActor::call(std::vector<Work> calls) {
  std::unique_lock lock(mutex_);
  if (ended_) return;
  queue_.append(std::move(calls));
  const bool needed = !std::exchange(awake_, true);
  lock.unlock();
  wake_if(needed);
}

std::vector<TaskId> HostedActor::destroy(bool kill) {
  WorkQueue dropped;  // user types: destroyed without the lock
  const bool tell = kill && (!environment_.stopping || environment_.abandoned);
  std::vector<TaskId> unwanted;
  std::unique_lock lock(mutex_);
  if (ended_) return {};
  destroying_ = true;
  killed_ |= kill;
  if (kill) dropped = std::exchange(queue_, {});
  if (tell && coroutines_)
    for (const auto& [id, each] : coroutines_->begun)
      if (!each->ended()) unwanted.push_back(id);
  const bool needed = !std::exchange(awake_, true);
  lock.unlock();
  if (tell)
    for (const auto id : running_work_.cancel_all()) unwanted.push_back(id);
  wake_if(needed);
  return unwanted;
}

void HostedActor::report() {
  wire::ActorDone done{.actor = id_};
  ProcessId to;
  {
    std::lock_guard lock(mutex_);
    outcomes_.move_to(done);
    to = outcomes_to_;
  }
  if (!done.outcomes.empty() || !done.ended.empty()) environment_.router->send(to, std::move(done));
}

void HostedActor::relieve() {
  std::lock_guard lock(relieving_);
  report();
}

void HostedActor::cancel(TaskId id, bool recursive) {
  std::shared_ptr<RunningCoroutine> waiting;
  {
    std::unique_lock lock(mutex_);
    if (coroutines_) waiting = find_begun(coroutines_->begun, id);
    const bool begun = waiting || running_work_.runs(id);  // else it would be looked for in all of a queue that may be long
    const auto queued = begun ? queue_.end() : queue_.find(id);
    if (queued != queue_.end()) {
      const Work dropped = queue_.take(queued);
      lock.unlock();
      return environment_.router->send(dropped.caller, wire::ActorDone{.actor = id_, .outcomes = {cancelled_outcome(id)}});
    }
  }
  if (waiting) {
    waiting->interrupt(recursive);  // first: what of it begins from now on sees that
    return running_work_.cancel_now(id, recursive);
  }
  running_work_.cancel(id, recursive);
  {  // looked for again: one that begins meanwhile has met the cancel
    std::lock_guard lock(mutex_);
    if (coroutines_) waiting = find_begun(coroutines_->begun, id);
  }
  if (waiting) waiting->interrupt(recursive);
}

void HostedActor::caller_gone(ProcessId caller) {
  const auto from_it = [caller](const Work& work) { return work.caller == caller; };
  std::vector<std::shared_ptr<RunningCoroutine>> waiting;
  bool needed = false;
  {
    std::lock_guard lock(mutex_);
    if (ended_) return;
    if (coroutines_)
      for (const auto& [id, each] : coroutines_->begun)
        if (each->caller() == caller) waiting.push_back(each);
    // The call that runs may be the one that opens a stream.
    if (open_streams_.has_of(caller) || running_since() != 0 || std::any_of(queue_.begin(), queue_.end(), from_it)) {
      if (!gone_) gone_ = std::make_unique<GoneCallers>();
      gone_->processes.push_back(caller);
      gone_->fresh = true;
      needed = !std::exchange(awake_, true);
    }
  }
  for (const auto& each : waiting) each->interrupt();
  wake_if(needed);
}

/// Ends the streams of callers that are gone, in the actor's turn. `last`: none of their calls is left.
void HostedActor::end_streams(bool last) {
  std::vector<ProcessId> gone;
  {
    std::lock_guard lock(mutex_);
    gone = gone_->processes;
    gone_->fresh = false;
    if (last) gone_.reset();
  }
  open_streams_.remove_of(gone);
}

void HostedActor::construct() {
  Work work = std::move(*constructor_);
  constructor_.reset();
  auto outcome = *execute(work, &object_, owner_, lease_info_, false);
  in_actor_ = true;
  streams_ = &open_streams_;
  constructed_ = std::holds_alternative<wire::Value>(outcome.result);
  environment_.router->send(owner_, wire::ActorCreated{.actor = id_, .lease = lease_info_.id, .outcome = std::move(outcome)});
}

void HostedActor::end() {
  report();
  BegunCoroutines waiting;
  {
    std::lock_guard lock(mutex_);
    ended_ = true;
    if (coroutines_) waiting = std::move(coroutines_->begun), coroutines_->due.clear();
  }
  for (const auto& [id, each] : waiting) each->abandon();  // before the object: their frames refer to it
  open_streams_.clear();
  object_ = {};
  {
    std::lock_guard lock(host_.mutex_);
    host_.actors_.erase(id_);
  }
  { std::lock_guard told(relieving_); }  // what the watchdog has taken goes ahead of what follows
  environment_.router->send(owner_, wire::ActorDestroyed{.actor = id_, .exited = exiting_});
}

void HostedActor::lend_cpus(bool lend) {
  if (lease_info_.cpus <= Amount(0) || std::exchange(lent_, lend) == lend) return;
  environment_.router->send(kNodeProcess, wire::SetBlocked{.lease = lease_info_.id, .blocked = lend});
}

void HostedActor::resume_later(std::shared_ptr<RunningCoroutine> coroutine) {
  std::unique_lock lock(mutex_);
  if (!coroutines_ || find_begun(coroutines_->begun, coroutine->id()) != coroutine) return;  // abandoned
  coroutines_->due.push_back(std::move(coroutine));
  const bool needed = !std::exchange(awake_, true);
  lock.unlock();
  wake_if(needed);
}

void HostedActor::hold(const std::shared_ptr<RunningCoroutine>& coroutine) {
  std::lock_guard lock(mutex_);
  if (!coroutines_) coroutines_ = std::make_unique<Coroutines>();
  coroutines_->begun.emplace(coroutine->id(), coroutine);
  if (gone_ && std::find(gone_->processes.begin(), gone_->processes.end(), coroutine->caller()) != gone_->processes.end())
    coroutine->interrupt();
}

void HostedActor::release(const std::shared_ptr<RunningCoroutine>& coroutine) {
  std::lock_guard lock(mutex_);
  coroutines_->begun.erase(coroutine->id());
}

void HostedActor::exit_wanted() {
  WorkQueue dropped;  // user types: destroyed without the lock
  std::lock_guard lock(mutex_);
  exiting_ = destroying_ = true;
  dropped = std::move(queue_);
}

/// The next work whose turn it is; false when there is none. With mutex_ held.
bool HostedActor::take(Work& work) {
  if (!constructed_ || killed_ || exiting_) return false;
  if (coroutines_ && !coroutines_->due.empty()) {
    work = coroutines_->due.front()->work();
    coroutines_->due.pop_front();
    return true;
  }
  if (queue_.empty() || (coroutines_ && coroutines_->begun.size() >= max_coroutines_)) return false;
  work = queue_.pop_front();
  return true;
}

std::uint32_t HostedActor::losses_of(ProcessId caller) const {
  if (!losses_) return 0;
  const auto found = losses_->find(caller);
  return found == losses_->end() ? 0 : found->second;
}

/// Whether it was sent before its caller knew of the last loss, behind the call that was lost. Typed ones lose no argument.
bool HostedActor::must_go_back(const Work& work) const {
  return work.encoded && !work.coroutine && work.encoded->losses != losses_of(work.caller);
}

/// Tells the caller of the call, and that those of it which wait here behind it have not begun: run now, they would overtake it. At once
/// and from this thread alone, as the caller relies on hearing of them in the order in which it sent them.
void HostedActor::give_back(ProcessId caller, wire::Outcome first) {
  report();  // what ended before them: so each that comes back is the first of those under way, which the caller finds at once
  wire::ActorDone done{.actor = id_};
  done.outcomes.push_back(std::move(first));
  WorkQueue returned;  // user types: destroyed without the lock
  {
    std::lock_guard lock(mutex_);
    for (auto& work : std::exchange(queue_, {}))
      (work.caller == caller && must_go_back(work) ? returned : queue_).push_back(std::move(work));
  }
  for (const auto& work : returned) done.outcomes.push_back({.id = work.id, .result = wire::Unstarted{}});
  for (auto& each : done.outcomes) each.losses = losses_of(caller);
  environment_.router->send(caller, std::move(done));
}

void HostedActor::run(Work& work, bool behind) {
  lend_cpus(false);
  const auto caller = work.caller;
  if (must_go_back(work)) return give_back(caller, {.id = work.id, .result = wire::Unstarted{}});
  if (behind && caller != outcomes_to_) report(), behind = false;
  auto outcome = execute(work, &object_, caller, lease_info_, behind);
  if (outcome && outcome->lost) {
    if (!losses_) losses_ = std::make_unique<std::map<ProcessId, std::uint32_t>>();
    ++(*losses_)[caller];
    return give_back(caller, std::move(*outcome));
  }
  std::unique_lock lock(mutex_);
  outcomes_to_ = caller;
  if (outcome) outcomes_.add(std::move(*outcome), is_local(caller));  // of a killed actor too: whoever gets it lets go of what it holds
  const bool full = outcomes_.size() >= kMaxOutcomes || queue_.empty();
  lock.unlock();
  if (!full && last_end() - reported_ <= kReportTime) return;
  report();
  reported_ = look_at_clock();
}

void HostedActor::drain() {
  lend_cpus(false);
  ++host_.busy_;
  run_all();
  --host_.busy_;
}

void HostedActor::run_all() {
  const Draining draining(*this);
  reported_ = last_end();
  Work work;
  while (true) {
    std::unique_lock lock(mutex_);
    if (constructor_ && !killed_) {
      lock.unlock();
      construct();
    } else if (gone_ && gone_->fresh) {
      lock.unlock();
      end_streams(false);
    } else if (take(work)) {
      const bool behind = !outcomes_.empty();
      lock.unlock();
      run(work, behind);
      work.encoded.reset();  // gives back what it refers to: not with the lock held
    } else if (destroying_) {
      lock.unlock();
      end();
      break;
    } else if (gone_ && queue_.empty()) {
      lock.unlock();
      end_streams(true);
    } else if (outcomes_.empty()) {
      const bool all_wait = coroutines_ && !coroutines_->begun.empty();
      awake_ = false;
      lock.unlock();
      if (all_wait || lease_info_.lend_idle_cpus) lend_cpus(true);
      break;
    } else {
      lock.unlock();
      report();
    }
  }
}

}  // namespace manta::detail
