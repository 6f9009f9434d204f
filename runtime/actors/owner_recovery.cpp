// What the owner does about objects in the store that are lost: results come with a recipe, and a task whose argument could not
// be read waits until it has been made again.
#include "runtime/actors/owner.hpp"

namespace manta::detail {

/// Puts what was made again in the lost object's place, then lets the task or call go on.
class Owner::RebuildWaiter final : public Cell::Waiter {
 public:
  RebuildWaiter(std::weak_ptr<Owner> owner, std::shared_ptr<OwnedWork> work, std::size_t index, std::shared_ptr<Rebuildable> lost,
                std::weak_ptr<Cell> made)
      : owner_(std::move(owner)), work_(std::move(work)), index_(index), lost_(std::move(lost)), made_(std::move(made)) {}
  void settled() override {
    auto owner = owner_.lock();
    auto made = made_.lock();
    if (!owner || !made) return;
    const UseGate::Use use(owner->gate());
    if (!use) return;
    auto adopted = lost_->adopt(*made);
    auto error = adopted ? nullptr : std::make_shared<const ErrorInfo>(adopted.error());
    owner->actor_->tell(ArgumentSettled{work_, std::move(error), index_});
  }

 private:
  std::weak_ptr<Owner> owner_;
  std::shared_ptr<OwnedWork> work_;
  std::size_t index_;
  std::shared_ptr<Rebuildable> lost_;
  std::weak_ptr<Cell> made_;
};

/// What a task that makes lost objects again gives, on its way to who waits for it.
class Owner::Remade final : public Cell::Waiter {
 public:
  Remade(std::weak_ptr<Owner> owner, std::shared_ptr<Recipe> recipe, std::size_t output, std::weak_ptr<Cell> made, std::shared_ptr<Cell> result)
      : owner_(std::move(owner)), recipe_(std::move(recipe)), output_(output), made_(std::move(made)), result_(std::move(result)) {}
  void settled() override {
    const auto owner = owner_.lock();
    auto made = made_.lock();
    if (made && made->failed()) result_->set_error(made->error());
    if (!owner || !made || made->failed()) return;
    const UseGate::Use use(owner->gate());
    if (!use) return;
    if (!made->needs_encoding(owner->options_.inline_bytes, &owner->store_)) return owner->hand_on(recipe_, output_, *made, *result_);
    owner->lane_.post([owner, recipe = recipe_, output = output_, made = std::move(made), result = result_] {
      owner->hand_on(recipe, output, *made, *result);
    });
  }

 private:
  std::weak_ptr<Owner> owner_;
  std::shared_ptr<Recipe> recipe_;
  std::size_t output_;
  std::weak_ptr<Cell> made_;
  std::shared_ptr<Cell> result_;
};

/// Where this process itself runs the task, its results are there as they are: they go through the store like those of other processes,
/// as what was lost lay there. So the task has cells of its own.
void Owner::divert_results(OwnedTask& task) {
  auto divert = [this, &task](std::shared_ptr<Cell>& cell, std::size_t output) {
    auto made = std::make_shared<Cell>(cell->ops());
    made->on_settled(std::make_shared<Remade>(weak_from_this(), task.encoded->recipe, output, made, std::exchange(cell, made)));
  };
  divert(task.record->result, 0);
  if (!task.record->more) return;  // of several, what fails the first one fails the others where they go
  for (std::size_t i = 0; i < task.record->more->size(); ++i) divert((*task.record->more)[i], i + 1);
}

/// May block where `made` needs encoding.
void Owner::hand_on(const std::shared_ptr<Recipe>& recipe, std::size_t output, Cell& made, Cell& result) {
  auto value = encode_cell(made);
  if (!value)
    result.set_error(std::make_shared<const ErrorInfo>(value.error()));
  else if (!value->stored)
    result.set_bytes(std::move(value->bytes), std::move(value->references));
  else if (std::dynamic_pointer_cast<RecoverableObject>(value->stored))
    result.set_stored(std::move(value->stored), std::move(value->references));
  else
    result.set_stored(lineage_.keep(recipe, output, std::move(value->stored)), std::move(value->references));
}

void Owner::resubmit(std::shared_ptr<OwnedTask> task) {
  divert_results(*task);
  task->portable = true;
  task->nested = true;  // somebody waits for it
  task->id = ids_.next<TaskId>();
  task->max_retries = task->options->max_retries;
  task->backs_off = task->options->backoff.initial > std::chrono::nanoseconds(0);
  if (fail_at_once(*task)) return;
  const auto pending = pending_arguments(*task, false);  // this may be the owner's actor, which must not wait, nor throw
  task->unresolved = static_cast<std::uint32_t>(pending.size());
  counts_.submitted();
  actor_->tell(Submitted{task});
  if (task->options->deadline > std::chrono::nanoseconds(0))
    if (const auto deadline = deadline_in(task->options->deadline))
      timer_.at(*deadline, [this, id = task->id] { actor_->tell(DeadlinePassed{id}); }, until_done(std::weak_ptr<const OwnedWork>(task)));
  watch_arguments(task, pending);
}

void Owner::wait_again(OwnedTask& task, std::int64_t nanoseconds) {
  task_table_.finished(task, nanoseconds, task_effects_);
  task.unresolved = 1;
  task_table_.submit(task, task_effects_);
}

bool Owner::recover(const std::shared_ptr<OwnedTask>& task, wire::Outcome& outcome) {
  if (!task->may_run()) return true;  // its process was lost since: it is to be tried again, and comes back if the argument is lost still
  return recover(task, outcome, [this, &task, &outcome](bool waits) {
    waits ? wait_again(*task, outcome.nanoseconds) : task_table_.returned(*task, task_effects_);
    return true;
  });
}

bool Owner::recover(const std::shared_ptr<OwnedCall>& call, wire::Outcome& outcome) {
  return recover(call, outcome, [this, &call](bool waits) {  // it had not begun, so this is no second time
    call->unresolved = waits ? 1 : 0;
    return actor_table_.again(*call, actor_effects_);
  });
}

bool Owner::recover(const std::shared_ptr<OwnedConstructor>& constructor, LeaseId lease, wire::Outcome& outcome) {
  return recover(constructor, outcome, [this, &constructor, lease](bool waits) {
    if (!actor_table_.construct_again(constructor->actor, lease, waits, actor_effects_)) return false;
    --constructor->starts;
    empty_place(constructor->actor, lease);
    return true;
  });
}

bool Owner::recover(const std::shared_ptr<OwnedWork>& work, wire::Outcome& outcome, const std::function<bool(bool waits)>& run_again) {
  if (const auto* own = work->encoded ? work->encoded->arguments.stored.get() : nullptr; own && own->id() == outcome.lost.value) {
    if (!run_again(true)) return false;
    place_arguments_again(work);
    return true;
  }
  const auto& refs = work->record->refs;
  std::size_t index = 0;
  std::shared_ptr<StoredObject> lost;
  std::optional<std::size_t> unencoded;  // its copy was given up for another work's sake
  for (; index < refs.size() && !lost; ++index) {
    if (needs_encoding(*refs[index]))
      unencoded = index;  // by the user's code, and into the store, which may block: not here
    else if (auto encoded = encode_cell(*refs[index]); encoded && encoded->stored && encoded->stored->id() == outcome.lost.value)
      lost = encoded->stored;
  }
  if (!lost && unencoded) {
    if (!run_again(true)) return false;
    argument_settled(work, *unencoded, refs[*unencoded]);
    return true;
  }
  if (!lost) return !refs.empty() && run_again(false);  // made again meanwhile, for somebody else
  if (const auto cell = refs[index - 1]; cell->forget_stored(outcome.lost.value)) {
    if (!run_again(true)) return false;
    argument_settled(work, index - 1, cell);
    return true;
  }
  const auto object = std::dynamic_pointer_cast<Rebuildable>(lost);  // its own, or borrowed: then the owner is asked
  if (!object) return false;
  auto made = object->rebuild(outcome.lost.value);
  if (!made) {
    auto error = made.error();
    error.did_not_run = true;
    outcome.result = std::move(error);
    return false;
  }
  if (!run_again(true)) return false;
  (*made)->on_settled(std::make_shared<RebuildWaiter>(weak_from_this(), work, index - 1, object, *made));
  return true;
}

/// The record has them still. They are turned into bytes once more, which may be the user's code, and placed, which may block: on the lane.
void Owner::place_arguments_again(const std::shared_ptr<OwnedWork>& work) {
  work->placing_arguments = true;
  lane_.post([self = shared_from_this(), work] {
    ArgumentSettled done{.work = work, .error = nullptr, .index = kByValue};
    try {
      done.placed = std::make_shared<const EncodedValue>(self->encode_arguments(*work));
    } catch (...) {
      done.error = std::make_shared<const ErrorInfo>(current_exception_info());
    }
    self->actor_->tell(std::move(done));
  });
}

/// The work may have ended meanwhile.
void Owner::take_placed(const ArgumentSettled& event) {
  auto& work = *event.work;
  work.placing_arguments = false;
  if (work.needs_none)
    throw_away_arguments(work);
  else if (event.placed && work.encoded)
    work.encoded->arguments = *event.placed;
}

}  // namespace manta::detail
