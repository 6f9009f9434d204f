// Tasks that are run by the thread that waits for them: see joined_task.hpp.
#include <algorithm>

#include "runtime/actors/owner.hpp"

namespace manta::detail {

void Owner::join(TaskId task, std::shared_ptr<JoinedTask> joined) { actor_->tell(JoinAsked{task, JoinQuestion(std::move(joined))}); }

/// A task that could run beside the one that waits may run inside it when the waiting one's lease holds all that it needs, and
/// nothing could be asked of it that the waiting thread is then too busy for: a deadline, or an end by force.
bool Owner::may_join(const OwnedTask& task, const JoinedTask& joined) const {
  const auto& options = *task.options;
  const bool more_than_cpus = options.num_gpus > Amount(0) || options.memory_bytes > 0 || options.placement.group ||
                              std::any_of(options.resources.begin(), options.resources.end(),
                                          [](const auto& each) { return each.second > Amount(0); });
  const bool may_lose_arguments = task.portable && !task.record->refs.empty();  // a worker says so, and gets others
  const bool known_short = task.estimate && task.estimate->own >= 0 && task.estimate->own <= core::TaskTable::kBatchTime;
  return (known_short || joined.choice() == JoinedTask::Choice::kAny) && !more_than_cpus && options.num_cpus <= joined.held().cpus && options.deadline == std::chrono::nanoseconds(0) &&
         !may_lose_arguments && !task.unwanted && !task.suspect && task.crashes == 0 && !task_table_.shape(task.shape).own_process &&
         !task.record->asynchronous();
}

void Owner::on(JoinAsked& event) {
  const auto it = tasks_.find(event.task);
  if (it == tasks_.end()) return;
  auto& task = *it->second;
  if (!may_join(task, event.question.joined())) return;
  if (task.state == core::TaskState::kAssigned && !host_.take_back(task.lease, task.id)) return;
  if (!task_table_.join(task, event.question.joined().held().id)) return;
  task.sent_at = SteadyClock::now();
  uncharge_arguments(task);
  auto joined = event.question.take();
  joined_.emplace(task.id, joined);
  auto work = typed_work(task, task.id, task.crashes + task.failures + 1);
  work.joined_cpus = task.options->num_cpus;
  joined->give(std::move(work));
}

/// The task that submitted this one will wait for it, so nothing goes behind that one, nor behind whoever it runs inside of. False when
/// that has been cancelled with all that it submits: it may not have heard of it.
bool Owner::note_parent(const OwnedWork& work) {
  has_children_ = true;
  if (const auto parent = tasks_.find(work.parent); parent != tasks_.end()) {
    parent->second->has_children = true;
    if (work.kind == OwnedWork::Kind::kTask && parent->second->may_run()) task_table_.spawns(parent->second->lease);
    return !parent->second->cancelled_with_children;
  }
  const auto call = calls_.find(work.parent);
  if (call == calls_.end()) return true;
  call->second->has_children = true;
  return !call->second->cancelled_with_children;
}

}  // namespace manta::detail
