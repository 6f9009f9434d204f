// What an owner does with what came of its tasks and calls, and what it lets go then.
#include <algorithm>

#include "runtime/actors/owner.hpp"

namespace manta::detail {

void Owner::settle(OwnedWork& work, wire::Outcome& outcome) {
  auto& cell = *work.record->result;
  if (auto* error = std::get_if<ErrorInfo>(&outcome.result)) {
    drop_result(outcome);  // of several results one could not be sent: the others came to be freed
    cell.set_error(std::make_shared<const ErrorInfo>(std::move(*error)));
  } else if (auto* value = std::get_if<wire::Value>(&outcome.result)) {
    auto set = [this, &cell, &work](Cell& target, wire::Value& from) {
      if (from.stored)
        target.set_stored(&target == &cell ? stored_result(work, from) : store_.owned(from.stored, from.stored_size), ReferenceKeeper::of(from));
      else
        target.set_bytes(std::move(from.bytes), ReferenceKeeper::of(from));  // of no effect where this process ran it: the value is there already
    };
    if (work.record->more)
      for (std::size_t i = 0; i < std::min(outcome.more.size(), work.record->more->size()); ++i) set(*(*work.record->more)[i], outcome.more[i]);
    set(cell, *value);
  }
}

void Owner::on_task_outcome(wire::Outcome& outcome) {
  auto it = tasks_.find(outcome.id);
  if (it == tasks_.end()) return drop_result(outcome);
  auto task = it->second;
  if (task->state == core::TaskState::kJoined) joined_.erase(task->id);
  if (task->unwanted) {
    drop_result(outcome);
    return forget_unwanted(*task);
  }
  if (std::holds_alternative<wire::Unstarted>(outcome.result)) return task_table_.returned(*task, task_effects_);
  if (outcome.retry && task_table_.failed(*task, outcome.nanoseconds, task_effects_)) return;
  if (outcome.lost && recover(task, outcome)) return;
  settle(*task, outcome);
  task_table_.finished(*task, outcome.nanoseconds, task_effects_, outcome.joined_nanoseconds);
  forget_task(*task);
  settled_.push_back(std::move(task));
}

void Owner::forget_unwanted(OwnedTask& task) {
  task_table_.withdraw(task);
  settled_.push_back(tasks_.find(task.id)->second);
  forget_task(task);
}

void Owner::on_task_ended(const wire::Ended& ended) {
  const auto it = tasks_.find(ended.id);
  if (it == tasks_.end()) return;
  auto& task = *it->second;
  if (task.state == core::TaskState::kJoined) joined_.erase(task.id);
  if (task.unwanted) return forget_unwanted(task);
  task_table_.finished(task, ended.nanoseconds, task_effects_, ended.joined_nanoseconds);
  release(task);
  settled_.push_back(std::move(it->second));
  tasks_.erase(it);
  ++ends_;
}

void Owner::on_call_ended(const wire::Ended& ended) {
  const auto it = calls_.find(ended.id);
  if (it == calls_.end()) return;
  auto& call = *it->second;
  settled_.push_back(std::move(it->second));
  calls_.erase(it);
  end_call(call);
}

void Owner::end_call(OwnedCall& call) {
  let_go_arguments(call);
  call.encoded.reset();
  actor_table_.finished(call, actor_effects_);
  ++ends_;
}

void Owner::on_call_outcome(wire::Outcome& outcome) {
  auto it = calls_.find(outcome.id);
  if (it == calls_.end()) return drop_result(outcome);
  auto call = it->second;
  if (outcome.retry && retry(*call)) return;
  if (outcome.lost && recover(call, outcome)) return;
  calls_.erase(it);
  settle(*call, outcome);
  end_call(*call);
  settled_.push_back(std::move(call));
}

void Owner::forget_task(OwnedTask& task) {
  release(task);
  ends_ += tasks_.erase(task.id);
}

/// Not while it may run.
void Owner::let_go_arguments(OwnedWork& work) {
  work.needs_none = true;
  for (const auto& cell : work.record->refs)
    if (!cell->settled() && !stopped_ && (unwanted_at_.empty() || unwanted_at_.back() != cell)) unwanted_at_.push_back(cell);
  work.record->release_arguments();
}

/// Once for each cell and group of events: a hundred thousand works may have waited for one ref, and end together.
void Owner::take_back_waiters() {
  if (unwanted_at_.empty()) return;
  auto cells = std::exchange(unwanted_at_, {});
  std::sort(cells.begin(), cells.end());
  cells.erase(std::unique(cells.begin(), cells.end()), cells.end());
  for (const auto& cell : cells) cell->forget(&kNobody);
}

void Owner::release(OwnedTask& task) {
  let_go_arguments(task);
  freed_bytes_ += std::exchange(task.charged_bytes, 0);
  task.encoded.reset();
}

/// What has ended in this group of events, at once: submitting threads write to the same counters.
void Owner::count_ends() {
  if (const auto freed = std::exchange(freed_bytes_, 0)) {
    const auto before = queued_bytes_.fetch_sub(freed, std::memory_order_relaxed);
    if (options_.max_queued_bytes && before >= options_.max_queued_bytes && before - freed < options_.max_queued_bytes) {
      room_word_.fetch_add(1, std::memory_order_release);
      futex_wake_all(room_word_);
    }
  }
  if (const auto ends = std::exchange(ends_, 0)) counts_.ended(ends);
}

}  // namespace manta::detail
