#include "runtime/core/task_table.hpp"

#include <algorithm>

#include "runtime/base/error.hpp"

namespace manta::core {

void ReadyQueue::push_front(TaskNode* task) {
  task->position = --first_;
  slots_.push_front(task);
  ++count_;
}

void ReadyQueue::push_back(TaskNode* task) {
  task->position = first_ + static_cast<std::int64_t>(slots_.size());
  slots_.push_back(task);
  ++count_;
}

void ReadyQueue::erase(TaskNode& task) {
  slots_[static_cast<std::size_t>(task.position - first_)] = nullptr;
  --count_;
  while (!slots_.empty() && !slots_.front()) slots_.pop_front(), ++first_;
  while (!slots_.empty() && !slots_.back()) slots_.pop_back();
  if (slots_.size() > kFewSlots && slots_.size() > 2 * count_) close_gaps();
}

/// While the first one waits for long, the gaps behind it would be kept as long.
void ReadyQueue::close_gaps() {
  std::erase(slots_, nullptr);
  for (std::size_t i = 0; i < slots_.size(); ++i) slots_[i]->position = first_ + static_cast<std::int64_t>(i);
}

std::size_t ReadyQueue::ahead_of(const TaskNode& task) const {
  const auto before = slots_.begin() + (task.position - first_);
  return static_cast<std::size_t>(std::count_if(slots_.begin(), before, [](const TaskNode* slot) { return slot != nullptr; }));
}

std::uint32_t TaskTable::shape_index(const TaskShape& shape) {
  if (const auto known = indices_.find(shape); known != indices_.end()) return known->second;
  if (indices_.size() >= look_at_) drop_unused_shapes();
  if (free_slots_.empty()) {
    MANTA_CHECK(shapes_.size() < (std::size_t{1} << kSlotBits));
    free_slots_.push_back(static_cast<std::uint32_t>(shapes_.size()));
    shapes_.emplace_back().index = free_slots_.back();
  }
  auto& queue = shapes_[free_slots_.back()];
  free_slots_.pop_back();
  queue.shape = shape;
  indices_.emplace(shape, queue.index);
  return queue.index;
}

/// Each time that there are twice as many as were left the last time, so that a shape is looked at twice on average.
void TaskTable::drop_unused_shapes() {
  std::erase_if(indices_, [this](const auto& each) {
    auto& queue = at(each.second);
    if (queue.tasks || queue.wanted || queue.dirty || queue.leases) return false;
    free_slots_.push_back(slot_of(each.second));
    ShapeQueue fresh;
    fresh.index = each.second + (1u << kSlotBits);
    queue = std::move(fresh);
    return true;
  });
  look_at_ = std::max(kFewShapes, 2 * indices_.size());
}

void TaskTable::mark(std::uint32_t shape) {
  if (!std::exchange(at(shape).dirty, true)) dirty_.push_back(shape);
}

void TaskTable::make_ready(TaskNode& task, bool front) {
  task.state = TaskState::kReady;
  auto& ready = at(task.shape).ready;
  front ? ready.push_front(&task) : ready.push_back(&task);
  mark(task.shape);
}

void TaskTable::submit(TaskNode& task, TaskEffects&) {
  ++unfinished_;
  ++at(task.shape).tasks;
  task.state = TaskState::kWaitingForArguments;
  if (task.unresolved == 0) make_ready(task, task.nested);
}

void TaskTable::argument_ready(TaskNode& task, TaskEffects&) {
  if (task.state != TaskState::kWaitingForArguments) return;
  if (--task.unresolved == 0) make_ready(task, task.nested);
}

void TaskTable::withdraw(TaskNode& task) {
  if (task.state == TaskState::kFinished) return;
  if (task.state == TaskState::kReady) at(task.shape).ready.erase(task);
  if (task.state == TaskState::kAssigned) unassign(task);
  finish(task);
  mark(task.shape);
}

void TaskTable::finish(TaskNode& task) {
  task.state = TaskState::kFinished;
  --unfinished_;
  --at(task.shape).tasks;
}

void TaskTable::lease_granted(std::uint32_t shape, LeaseId lease, TaskEffects& effects) {
  if (!has_shape(shape)) return effects.give_back.push_back(lease);  // nobody wants it any more
  auto& queue = at(shape);
  if (queue.wanted) --queue.wanted;
  if (!leases_.try_emplace(lease, HeldLease{.shape = shape}).second) return;
  ++queue.leases;
  queue.open.push_back(lease);
  mark(shape);
}

void TaskTable::unassign(TaskNode& task) {
  if (const auto it = leases_.find(task.lease); it != leases_.end()) take_off(it->second, task);
}

void TaskTable::take_off(HeldLease& held, TaskNode& task) {
  if (!held.assigned.empty() && held.assigned.front() == &task)
    held.assigned.pop_front(), held.spawns = false;
  else
    std::erase(held.assigned, &task);
  held.estimated -= task.estimate && task.estimate->nanoseconds > 0 ? task.estimate->nanoseconds : 0;
  if (held.assigned.empty()) held.estimated = 0, held.short_only = true, held.held_up = false;
  if (!held.open && !is_closed(held)) held.open = true, at(held.shape).open.push_back(task.lease);
  mark(task.shape);
}

bool TaskTable::join(TaskNode& task, LeaseId lease) {
  if (task.state == TaskState::kReady)
    at(task.shape).ready.erase(task);
  else if (task.state == TaskState::kAssigned)
    unassign(task);
  else
    return false;
  task.state = TaskState::kJoined;
  task.lease = lease;
  mark(task.shape);
  return true;
}

/// It ran. The time of a joined one is part of the time of whoever waits for it.
void TaskTable::leave(TaskNode& task, std::int64_t nanoseconds) {
  if (task.state != TaskState::kAssigned) return;
  const auto it = leases_.find(task.lease);
  if (it == leases_.end()) return;
  it->second.served += sound_time(nanoseconds);
  take_off(it->second, task);
}

void TaskTable::finished(TaskNode& task, std::int64_t nanoseconds, TaskEffects&, std::int64_t joined) {
  if (!task.may_run()) return;
  leave(task, nanoseconds);
  if (task.estimate) task.estimate->add(nanoseconds, joined);
  finish(task);
}

bool TaskTable::failed(TaskNode& task, std::int64_t nanoseconds, TaskEffects& effects) {
  if (!task.may_run() || task.unwanted || !may_retry(task)) return false;
  leave(task, nanoseconds);
  if (task.failures < UINT16_MAX)
    ++task.failures;
  else if (task.max_retries > 0)
    --task.max_retries;  // there is no room to count further
  retry(task, effects, task.nested);
  return true;
}

/// One of the task's own errors puts it behind what waits, or a task that fails for ever would keep all others of its shape from
/// running; but for one that somebody waits for under a CPU of its own (nested).
void TaskTable::retry(TaskNode& task, TaskEffects& effects, bool front) {
  if (!task.backs_off && !task.short_of_memory) return make_ready(task, front);
  task.state = TaskState::kWaitingForRetry;
  effects.back_off.push_back(&task);
}

void TaskTable::retry_due(TaskNode& task) {
  if (task.state != TaskState::kWaitingForRetry) return;
  task.short_of_memory = false;
  make_ready(task, true);
}

void TaskTable::returned(TaskNode& task, TaskEffects&) {
  if (task.state != TaskState::kAssigned) return;
  unassign(task);
  make_ready(task, true);
}

void TaskTable::held_up(LeaseId lease) {
  auto it = leases_.find(lease);
  if (it != leases_.end() && !it->second.assigned.empty()) it->second.held_up = true;
}

void TaskTable::spawns(LeaseId lease) {
  auto it = leases_.find(lease);
  if (it != leases_.end() && !it->second.assigned.empty()) it->second.spawns = true;
}

void TaskTable::run_in(std::uint32_t shape, TaskNode& task) {
  if (task.state != TaskState::kWaitingForRetry) return;
  --at(task.shape).tasks;
  ++at(shape).tasks;
  task.shape = shape;
  if (!task.short_of_memory) make_ready(task, true);
}

void TaskTable::crash(TaskNode& task, Loss loss, TaskEffects& effects) {
  const bool may_run_again = task.max_retries != 0;  // 0 promises at most once
  task.short_of_memory = loss.for_memory;
  if (loss.shared && may_run_again && !at(task.shape).shape.own_process) {
    task.state = TaskState::kWaitingForRetry;
    effects.isolate.push_back(&task);
    return;
  }
  const bool again = may_retry(task);
  ++task.crashes;
  if (loss.own_doing) ++task.own_deaths;
  if (task.own_deaths >= kPoisonedAfter) {
    finish(task);
    effects.poisoned.push_back(&task);
  } else if (!again) {
    finish(task);
    effects.crashed.push_back(&task);
  } else {
    retry(task, effects, true);
  }
}

void TaskTable::lease_lost(LeaseId lease, Loss loss, TaskEffects& effects) {
  auto it = leases_.find(lease);
  if (it == leases_.end()) return;
  auto lost = std::move(it->second);
  leases_.erase(it);
  --at(lost.shape).leases;
  if (lost.open) std::erase(at(lost.shape).open, lease);
  mark(lost.shape);
  const bool alone = lost.assigned.size() == 1;
  for (auto task = lost.assigned.rbegin(); task != lost.assigned.rend(); ++task) {
    (*task)->suspect |= !alone;
    if ((*task)->unwanted) {
      finish(**task);
      effects.ended.push_back(*task);
    } else if (alone) {
      crash(**task, loss, effects);
    } else {
      make_ready(**task, true);
    }
  }
}

TaskNode* TaskTable::refused(std::uint32_t shape) {
  if (!has_shape(shape)) return nullptr;
  auto& queue = at(shape);
  if (queue.wanted) --queue.wanted;
  mark(shape);
  if (queue.ready.empty()) return nullptr;
  auto* task = queue.ready.front();
  withdraw(*task);
  return task;
}

bool TaskTable::has_room(const HeldLease& lease, const TaskNode& task) const {
  if (at(lease.shape).shape.own_process) return !lease.used;
  if (lease.served >= kLeaseTime) return false;
  if (lease.assigned.empty()) return true;
  if (lease.held_up || lease.spawns || runs_alone(task) || runs_alone(*lease.assigned.front())) return false;
  const auto expected = task.estimate ? task.estimate->nanoseconds : -1;
  return lease.short_only && expected >= 0 && lease.estimated + expected <= kBatchTime && lease.assigned.size() < kMaxBatch;
}

void TaskTable::assign(HeldLease& held, LeaseId id, TaskNode& task, TaskEffects& effects) {
  const auto expected = task.estimate ? task.estimate->nanoseconds : -1;
  held.estimated += std::max<std::int64_t>(expected, 0);
  held.short_only &= expected >= 0 && expected <= kBatchTime;
  held.assigned.push_back(&task);
  held.used = true;
  task.lease = id;
  task.state = TaskState::kAssigned;
  effects.assigns.push_back({id, &task});
}

void TaskTable::hand_out(ShapeQueue& queue, TaskEffects& effects) {
  const auto sharers = std::max<std::size_t>(1, queue.leases + std::min<std::size_t>(queue.wanted, 1));
  const auto share = (queue.ready.size() + sharers - 1) / sharers;
  for (LeaseId id : queue.open) {
    if (queue.ready.empty()) return;
    auto& held = leases_[id];
    for (std::size_t n = 0; n < share && !queue.ready.empty() && has_room(held, *queue.ready.front()); ++n) {
      auto* task = queue.ready.front();
      queue.ready.pop_front();
      assign(held, id, *task, effects);
    }
  }
}

/// Every grant is followed by another look, so the number asked for need not be exact: what changes by little is not told.
bool TaskTable::worth_telling(std::uint32_t want, std::uint32_t wanted) {
  constexpr std::uint32_t kFew = 4;
  if (want > wanted) return want <= kFew || want == kMaxWanted || want >= 2 * wanted;
  return want < wanted && (want == 0 || 4 * want <= wanted);
}

void TaskTable::settle(TaskEffects& effects) {
  while (!dirty_.empty()) {
    const auto index = dirty_.back();
    dirty_.pop_back();
    auto& queue = at(index);
    queue.dirty = false;
    hand_out(queue, effects);
    const auto want = static_cast<std::uint32_t>(std::min<std::size_t>(queue.ready.size(), kMaxWanted));
    if (worth_telling(want, queue.wanted)) {
      queue.wanted = want;
      effects.wants.push_back({index, want});
    }
    std::erase_if(queue.open, [&](LeaseId id) {
      auto& held = leases_.at(id);
      if (!held.assigned.empty()) {
        held.open = !is_closed(held);
        return !held.open;
      }
      leases_.erase(id);
      --queue.leases;
      effects.give_back.push_back(id);
      return true;
    });
  }
}

std::size_t TaskTable::ahead_of(const TaskNode& task) const {
  if (task.state == TaskState::kReady) return at(task.shape).ready.ahead_of(task);
  const auto lease = task.state == TaskState::kAssigned ? leases_.find(task.lease) : leases_.end();
  if (lease == leases_.end()) return 0;
  const auto& assigned = lease->second.assigned;
  return static_cast<std::size_t>(std::find(assigned.begin(), assigned.end(), &task) - assigned.begin());
}

bool TaskTable::saturated(std::uint32_t shape) const {
  if (!has_shape(shape)) return false;
  const auto& queue = at(shape);
  if (queue.ready.size() >= kMaxWanted) return true;
  return std::any_of(queue.open.begin(), queue.open.end(), [this](LeaseId id) {
    const auto& held = leases_.at(id);
    return held.short_only && !is_closed(held) && held.assigned.size() >= kEnough;
  });
}

}  // namespace manta::core
