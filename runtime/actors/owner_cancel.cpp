// What an owner does about work that nobody wants any more, and about what failed: cancel, deadlines, back-off, workers and actors that died.
#include <algorithm>
#include <cmath>

#include "runtime/actors/owner.hpp"

namespace manta::detail {

namespace {

constexpr std::chrono::seconds kGrace{1};  // from "please stop" to SIGTERM, for a task in a process of its own

std::shared_ptr<const ErrorInfo> share(ErrorInfo info) { return std::make_shared<const ErrorInfo>(std::move(info)); }

std::string label(const OwnedWork& work, TaskId id) {
  return *work.name() + " #" + std::to_string(id.value & 0xffffffffffull);
}

ErrorInfo cancelled_error(bool running) {
  return {.code = ErrorCode::kCancelled,
          .message = running ? "it was cancelled while it ran; it is asked to stop" : "it was cancelled before it began"};
}

/// Whether it has begun there only the actor knows.
ErrorInfo cancelled_error(const OwnedCall& call) {
  if (call.sent_at == SteadyClock::time_point{}) return cancelled_error(false);
  return {.code = ErrorCode::kCancelled, .message = "it was cancelled when it had been sent to its actor; if it runs, it is asked to stop"};
}

std::string seconds_text(std::chrono::nanoseconds time) {
  const auto ms = std::chrono::duration<double, std::milli>(time).count();
  auto text = std::to_string(ms);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text + " ms";
}

std::string deaths_text(int deaths, int attempts) {
  if (attempts <= 1) return "in its only attempt,";
  return (deaths == attempts ? "in each of " : "in " + std::to_string(deaths) + " of ") + std::to_string(attempts) + " attempts, the last time";
}

const char* doing(core::TaskState state) {
  switch (state) {
    case core::TaskState::kWaitingForArguments: return "it was waiting for its arguments";
    case core::TaskState::kReady: return "it was waiting for a worker";
    case core::TaskState::kWaitingForRetry: return "it was waiting for its next attempt";
    default: return "it was running and is asked to stop";
  }
}

}  // namespace

ErrorInfo child_cancelled(const OwnedWork& work, TaskId id) {
  return {.code = ErrorCode::kCancelled,
          .message = "the task that submitted it was cancelled (#" + std::to_string(work.parent.value & 0xffffffffffull) + ")",
          .where = label(work, id)};
}

void Owner::cancel(Cell& cell, const CancelOptions& options) {
  const auto kind = cell.producer_kind();
  if (kind == Cell::Producer::kNone)
    throw InvalidArgument("this ref is not made by a task or call of this process: only who submitted it can cancel it");
  if (options.force && kind == Cell::Producer::kCall)
    throw InvalidArgument("force ends a process, and a call is not alone in its actor: cancel it without force, or kill() the actor");
  if (options.force && kind != Cell::Producer::kOwnProcessTask)
    throw InvalidArgument("force needs a process of the task's own: submit it with .isolation = manta::own_process, or cancel it "
                          "without force");
  // Also of a ref that is settled: what was cancelled before, or is past its deadline, may still run, and now more is wanted.
  actor_->tell(Cancel{{cell.producer()}, options});
}

void Owner::give_up(Cell& cell) { actor_->tell(Cancel{{cell.producer()}, {}, Settled::kByItsEnd}); }

void Owner::cancel_children(std::vector<TaskId> parents) { actor_->tell(CancelChildren{std::move(parents)}); }

void Owner::on(Cancel& event) {
  if (auto task = tasks_.find(event.id); task != tasks_.end()) {
    const bool running = task->second->may_run();
    abandon(std::shared_ptr(task->second), cancelled_error(running), event.options);
  } else if (auto found = calls_.find(event.id); found != calls_.end()) {
    const auto call = found->second;
    perform_actors();  // it may be about to leave for its actor
    abandon(call, cancelled_error(*call), event.options, event.settled);
  }
}

void Owner::on(CancelChildren& event) { cancelled_parents_.insert(event.parents.begin(), event.parents.end()); }

/// One look at all tasks and calls for all parents of a group of events, and for all that descends from them: of work that goes on to submit,
/// a look for each level would always be behind.
void Owner::perform_child_cancels() {
  auto parents = std::exchange(cancelled_parents_, {});
  if (!std::exchange(has_children_, false)) return;  // a program that cancels what it has submitted itself does not pay for looking
  std::vector<std::pair<TaskId, OwnedWork*>> children;
  bool deeper = false;
  const auto look = [&](auto& all) {
    for (const auto& [id, work] : all) {
      if (!work->parent) continue;
      children.emplace_back(id, work.get());
      deeper = deeper || (work->has_children && parents.contains(work->parent));
    }
  };
  look(tasks_);
  look(calls_);
  has_children_ = !children.empty();
  if (deeper) std::sort(children.begin(), children.end());  // what submits is older, and has the smaller id, than what it submits
  std::vector<std::shared_ptr<OwnedWork>> wanted;
  for (const auto& [id, work] : children) {
    if (!parents.contains(work->parent)) continue;
    wanted.push_back(work->kind == OwnedWork::Kind::kTask ? std::shared_ptr<OwnedWork>(tasks_.find(id)->second) : calls_.find(id)->second);
    if (work->has_children && (work->cancelled_with_children || !work->record->result->settled())) parents.insert(id);
  }
  for (const auto& work : wanted)
    work->kind == OwnedWork::Kind::kTask ? abandon(std::static_pointer_cast<OwnedTask>(work), child_cancelled(*work, {}), {})
                                         : abandon(std::static_pointer_cast<OwnedCall>(work), child_cancelled(*work, {}), {});
  perform();
}

void Owner::abandon(const std::shared_ptr<OwnedTask>& task, ErrorInfo why, const CancelOptions& options) {
  why.where = label(*task, task->id);
  const bool first = task->record->result->set_error(share(std::move(why)));
  if (!first && !task->unwanted) return;  // its value is there, or on the way
  task->cancelled_with_children = task->cancelled_with_children || options.recursive;
  if (!task->may_run()) {
    if (options.recursive && task->has_children) cancelled_parents_.insert(task->id);  // of an attempt before; looking for them is dear
    task_table_.withdraw(*task);
    forget_task(*task);
    settled_.push_back(task);
    return;
  }
  task->unwanted = true;
  if (const auto joined = joined_.find(task->id); joined != joined_.end()) {
    joined->second->cancel(task->id, options.recursive);
    if (options.recursive) cancel_children({task->id});  // behind what it has submitted before it was told
    return;
  }
  const auto lease = leases_.find(task->lease);
  if (lease == leases_.end()) return;
  if (options.force) return end_process_of(*task, {.lease = task->lease, .kill = true});
  router_.send(lease->second.worker, wire::CancelWork{.lease = task->lease, .tasks = {task->id}, .recursive = options.recursive});
}

void Owner::abandon(const std::shared_ptr<OwnedCall>& call, ErrorInfo why, const CancelOptions& options, Settled settled) {
  perform_actors();  // a call that is about to leave for its actor leaves ahead of its cancel
  if (!calls_.contains(call->id)) return;  // it was about to fail with its actor
  why.where = label(*call, call->id);
  const auto error = share(std::move(why));
  auto& result = *call->record->result;
  const bool first = settled == Settled::kAtOnce ? result.set_error(error) : !result.settled();
  if (!first && !call->unwanted) return;  // its value is there, or on the way
  call->cancelled_with_children = call->cancelled_with_children || options.recursive;
  if (actor_table_.cancel(*call, actor_effects_)) {
    result.set_error(error);  // if it was to be settled by its end: this is that
    if (options.recursive && call->has_children) cancelled_parents_.insert(call->id);  // as above
    forget_call(*call);
    return;
  }
  const auto lease = leases_.find(actor_table_.lease_of(call->actor));
  if (lease == leases_.end()) return;
  router_.send(lease->second.worker, wire::CancelWork{.actor = call->actor, .tasks = {call->id}, .recursive = options.recursive});
}

/// A placement group is gone, and with it whatever was placed in it.
void Owner::end_group(GroupId group, const ErrorInfo& error) {
  std::vector<std::shared_ptr<OwnedTask>> placed;
  for (const auto& [id, task] : tasks_)
    if (task->options->placement.group == group) placed.push_back(task);
  for (const auto& task : placed) {
    const auto lease = leases_.find(task->lease);
    abandon(task, error, {.force = lease != leases_.end() && lease->second.own_process});
  }
  for (const auto& [id, actor] : actors_) {
    if (actor->borrow || actor->options->placement.group != group || std::exchange(actor->killed, true)) continue;
    actor->last_error = share(error);
    actor_table_.kill(id, actor_effects_);
  }
}

void Owner::end_process_of(OwnedTask& task, const wire::ReleaseLease& how) {
  const auto lease = task.lease;
  router_.send(kNodeProcess, how);
  leases_.erase(lease);
  task_table_.lease_lost(lease, {}, task_effects_);
}

void Owner::on(DeadlinePassed& event) {
  if (const auto call = calls_.find(event.id); call != calls_.end())
    return abandon(std::shared_ptr(call->second),
                   {.code = ErrorCode::kTimeout,
                    .message = "it did not end within its deadline of " + seconds_text(call->second->options->deadline) +
                               "; if it runs, it is asked to stop"},
                   {});
  const auto it = tasks_.find(event.id);
  if (it == tasks_.end()) return;
  const auto task = it->second;
  abandon(task, {.code = ErrorCode::kTimeout,
                 .message = "it did not end within its deadline of " + seconds_text(task->options->deadline) + ": " + doing(task->state)},
          {});
  const auto lease = leases_.find(task->lease);
  if (!task->unwanted || lease == leases_.end() || !lease->second.own_process) return;
  timer_.at(SteadyClock::now() + kGrace, [this, id = task->id, held = task->lease] { actor_->tell(Overdue{id, held}); });
}

void Owner::on(Overdue& event) {
  const auto it = tasks_.find(event.id);
  if (it == tasks_.end() || it->second->lease != event.lease || !leases_.contains(event.lease)) return;
  end_process_of(*it->second, {.lease = event.lease, .terminate = true});
}

void Owner::isolate(OwnedTask& task) {
  auto shape = shape_of(task);
  shape.own_process = true;
  task_table_.run_in(shape_index(shape, task.options), task);
  if (task.short_of_memory) arm_retry(task);
}

void Owner::arm_retry(const OwnedTask& task) {
  const auto it = tasks_.find(task.id);
  if (it == tasks_.end()) return;
  const auto wait = time_before(task.crashes + task.failures, task.backs_off ? task.options->backoff : kMemoryBackoff);
  if (const auto due = deadline_in(wait))  // else beyond the clock's time: it waits until it is cancelled
    timer_.at(*due, [this, id = task.id] { actor_->tell(RetryDue{id}); }, until_done(it->second));
}

bool Owner::retry(OwnedCall& call) {
  const int most = call.options ? call.options->max_retries : 0;
  if ((most >= 0 && call.failures >= most) || !actor_table_.again(call, actor_effects_)) return false;
  ++call.failures;
  return true;
}

void Owner::on(RetryDue& event) {
  if (const auto it = tasks_.find(event.id); it != tasks_.end()) task_table_.retry_due(*it->second);
}

void Owner::settle_crashed(OwnedTask& task, ErrorCode code) {
  if (!tasks_.contains(task.id)) return;  // its result came after all
  const auto cause = lost_[task.lease];
  if (cause && cause->code == ErrorCode::kOutOfMemory) code = cause->code;
  const std::string last = cause ? cause->message : "was lost";
  const std::string message =
      code == ErrorCode::kTaskPoisoned
          ? "it ended " + std::to_string(task.own_deaths) + " worker processes by its own doing, the last one " + last +
                ": it is not tried again; fix the task, the worker's output may say more"
          : death_in_words(code, last, task.crashes, task.crashes + task.failures);
  task.record->result->set_error(share({.code = code, .message = message, .where = label(task, task.id)}));
  forget_task(task);
}

std::string death_in_words(ErrorCode code, const std::string& last, int deaths, int attempts) {
  if (code == ErrorCode::kOutOfMemory)
    return "its worker process " + last + " (attempt " + std::to_string(attempts) +
           ", the last): say what it needs by memory_bytes so that less runs beside it, run less at once, or make it smaller";
  return "its worker process died " + deaths_text(deaths, attempts) + " as it " + last + ": look at the worker's output";
}

/// What becomes of tasks whose workers died, or that failed and go again.
void Owner::perform_failures(const core::TaskEffects& effects) {
  for (auto* node : effects.crashed) settle_crashed(static_cast<OwnedTask&>(*node), ErrorCode::kWorkerCrashed);
  for (auto* node : effects.poisoned) settle_crashed(static_cast<OwnedTask&>(*node), ErrorCode::kTaskPoisoned);
  for (auto* node : effects.ended)
    if (auto it = tasks_.find(node->id); it != tasks_.end()) forget_task(*it->second);
  lost_.clear();
  for (auto* node : effects.isolate)
    if (tasks_.contains(node->id)) isolate(static_cast<OwnedTask&>(*node));
  for (auto* node : effects.back_off) arm_retry(static_cast<OwnedTask&>(*node));
}

}  // namespace manta::detail
