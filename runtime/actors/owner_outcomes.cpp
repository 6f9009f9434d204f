// What an owner does with what came of its tasks and calls, and what it lets go then.
#include <algorithm>

#include "runtime/actors/owner.hpp"

namespace manta::detail {

namespace {
/// Takes back what works left that need nothing any more, in each cell once; cells where more than `most` wait stay in the list.
void forget_nobody_in(std::vector<std::shared_ptr<Cell>>& cells, std::size_t most = SIZE_MAX) {
  std::sort(cells.begin(), cells.end());
  cells.erase(std::unique(cells.begin(), cells.end()), cells.end());
  std::erase_if(cells, [most](const auto& cell) { return cell->waiters() <= most && (cell->forget(&kNobody), true); });
}

/// Whether its value's destructor is the standard library's, and lets no ref go.
bool is_plain(const Cell& cell) { return !cell.ops().may_hold_refs; }
}  // namespace

void Owner::settle(OwnedWork& work, wire::Outcome& outcome) {
  auto& cell = *work.record->result;
  if (auto* error = std::get_if<ErrorInfo>(&outcome.result)) {
    drop_result(outcome);  // of several results one could not be sent: the others came to be freed
    cell.set_error(std::make_shared<const ErrorInfo>(std::move(*error)));
  } else if (auto* value = std::get_if<wire::Value>(&outcome.result)) {
    auto set = [this, &work](Cell& target, wire::Value& from, std::size_t output) {
      if (from.stored)
        target.set_stored(lineage_.keep(work, output, store_.owned(from.stored, from.stored_size)), ReferenceKeeper::of(from));
      else
        target.set_bytes(std::move(from.bytes), ReferenceKeeper::of(from));  // of no effect where this process ran it: the value is there already
    };
    if (work.record->more)
      for (std::size_t i = 0; i < std::min(outcome.more.size(), work.record->more->size()); ++i) set(*(*work.record->more)[i], outcome.more[i], i + 1);
    set(cell, *value, 0);
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
  if (outcome.retry && !stopped_ && task_table_.failed(*task, outcome.nanoseconds, task_effects_)) return;
  if (outcome.lost && recover(task, outcome)) return;
  settle(*task, outcome);
  if (task->may_run())
    task_table_.finished(*task, outcome.nanoseconds, task_effects_, outcome.joined_nanoseconds);
  else
    task_table_.withdraw(*task);  // it failed as it was sent, and its process was lost before this was read: it was to be tried again
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
  const bool unstarted = std::holds_alternative<wire::Unstarted>(outcome.result);
  if (unstarted || outcome.losses) {
    actor_table_.came_back(*call, outcome.losses);
    call->sent_at = {};
  }
  if (unstarted && !call->unwanted) {
    actor_table_.again(*call, actor_effects_);  // of no effect when its actor has ended, which it is told
    return;
  }
  if (unstarted) outcome = cancelled_outcome(call->id);
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

/// It has been told to no actor, or taken back from it.
void Owner::forget_call(OwnedCall& call) {
  const auto it = calls_.find(call.id);
  let_go_arguments(call);
  settled_.push_back(std::move(it->second));
  calls_.erase(it);
  ++ends_;
}

/// Not while it may run.
void Owner::let_go_arguments(OwnedWork& work) {
  if (work.needs_none.exchange(true)) return;  // a constructor comes here for each end that it may have
  for (const auto& cell : work.record->refs)
    if (!cell->settled() && !stopped_ && (unwanted_at_.empty() || unwanted_at_.back() != cell)) unwanted_at_.push_back(cell);
  if (!work.placing_arguments) throw_away_arguments(work);  // else take_placed does
}

/// Values whose destructors are the user's, or have much to do, go on a thread of their own: they may wait for what only this actor can do.
void Owner::throw_away_arguments(OwnedWork& work) {
  const auto& refs = work.record->refs;
  const bool plain = std::all_of(refs.begin(), refs.end(), [](const auto& cell) { return is_plain(*cell); });
  if (plain && work.record->releases_quickly()) return work.record->release_arguments();
  let_go_.arguments.push_back(work.record);
  bin_.announce();
}

/// Of work that is forgotten with its arguments, which it may be using: whoever runs it has the record too, and nobody may look into it. If
/// nobody runs it, the last one goes as above.
void Owner::throw_away_record(const OwnedWork& work) {
  if (!work.record || work.needs_none) return;
  let_go_.records.push_back(work.record);
  bin_.announce();
}

/// The last ref to a result may be the one in here.
void Owner::throw_away_settled() {
  const auto before = let_go_.values.size();
  for (const auto& work : settled_) {
    if (!work->record) continue;
    throw_away_record(*work);
    if (const auto& result = work->record->result; result && !is_plain(*result)) let_go_.values.push_back(result);
    if (work->record->more) let_go_.values.insert(let_go_.values.end(), work->record->more->begin(), work->record->more->end());
  }
  bin_.announce(let_go_.values.size() - before);
  settled_.clear();
}

/// At the end, when nothing runs: the owner must not be the last to have it.
void Owner::throw_away_left(OwnedWork& work) {
  if (!work.record) return;
  settled_.push_back(std::shared_ptr<OwnedWork>(std::shared_ptr<void>(), &work));
  throw_away_settled();
  work.record.reset();
}

/// A hundred thousand works may wait for one ref, and end together or one by one. A look goes through all that wait there, so where
/// many wait, one look a while later serves all that have ended by then.
void Owner::take_back_waiters() {
  if (unwanted_at_.empty()) return;
  constexpr std::size_t kFewWaiters = 64;
  constexpr std::chrono::milliseconds kLater{10};
  auto cells = std::exchange(unwanted_at_, {});
  forget_nobody_in(cells, kFewWaiters);
  if (cells.empty()) return;
  {
    std::lock_guard lock(unwanted_mutex_);
    unwanted_later_.insert(unwanted_later_.end(), cells.begin(), cells.end());
    if (std::exchange(look_due_, true)) return;
  }
  take_back_in(kLater);
}

void Owner::take_back_in(std::chrono::nanoseconds time) {
  timer_.at(SteadyClock::now() + time, [this] {
    lane_.post([self = weak_from_this()] {
      if (const auto alive = self.lock()) alive->take_back_later();
    });
  });
}

/// On a thread of the lane. The looks take a fifth of the time at most, however many wait.
void Owner::take_back_later() {
  std::vector<std::shared_ptr<Cell>> cells;
  {
    std::lock_guard lock(unwanted_mutex_);
    cells.swap(unwanted_later_);
  }
  const auto begin = SteadyClock::now();
  forget_nobody_in(cells);
  const auto took = SteadyClock::now() - begin;
  {
    std::lock_guard lock(unwanted_mutex_);
    look_due_ = !unwanted_later_.empty();
    if (!look_due_) return;
  }
  take_back_in(std::max<SteadyClock::duration>(std::chrono::milliseconds(10), 4 * took));
}

void Owner::release(OwnedTask& task) {
  let_go_arguments(task);
  freed_bytes_ += std::exchange(task.charged_bytes, 0);
  task.encoded.reset();
}

/// It is handed out: what it takes is not queued any more. While it runs it may submit tasks itself, which are not to wait for its end.
void Owner::uncharge_arguments(OwnedTask& task) {
  if (task.charged_bytes <= OwnedTask::kBytes) return;
  freed_bytes_ += task.charged_bytes - OwnedTask::kBytes;
  task.charged_bytes = OwnedTask::kBytes;
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
