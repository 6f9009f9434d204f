// What the owner does about objects in the store that are lost: results come with a recipe, and a task whose argument could not
// be read waits until it has been made again.
#include "runtime/actors/owner.hpp"

namespace manta::detail {

/// Puts what was made again in the lost object's place, then lets the task go on.
class Owner::RebuildWaiter final : public Cell::Waiter {
 public:
  RebuildWaiter(std::weak_ptr<Owner> owner, std::shared_ptr<OwnedTask> task, std::size_t index, std::shared_ptr<StoredObject> lost,
                std::weak_ptr<Cell> made)
      : owner_(std::move(owner)), task_(std::move(task)), index_(index), lost_(std::move(lost)), made_(std::move(made)) {}
  void settled() override {
    auto owner = owner_.lock();
    auto made = made_.lock();
    if (!owner || !made) return;
    auto adopted = static_cast<RecoverableObject&>(*lost_).adopt(*made);
    auto error = adopted ? nullptr : std::make_shared<const ErrorInfo>(adopted.error());
    owner->actor_->tell(ArgumentSettled{task_, std::move(error), index_});
  }

 private:
  std::weak_ptr<Owner> owner_;
  std::shared_ptr<OwnedTask> task_;
  std::size_t index_;
  std::shared_ptr<StoredObject> lost_;
  std::weak_ptr<Cell> made_;
};

std::shared_ptr<StoredObject> Owner::stored_result(OwnedWork& work, const wire::Value& value) {
  auto bytes = store_.owned(value.stored, value.stored_size);
  if (work.kind != OwnedWork::Kind::kTask) return bytes;
  auto recipe = lineage_.remember(static_cast<OwnedTask&>(work));
  if (!recipe) return bytes;
  return std::make_shared<RecoverableObject>(std::move(bytes), std::move(recipe));
}

void Owner::resubmit(std::shared_ptr<OwnedTask> task) {
  task->portable = true;
  task->nested = true;  // somebody waits for it
  task->id = ids_.next<TaskId>();
  task->max_retries = task->options->max_retries;
  if (fail_at_once(*task)) return;
  const auto pending = pending_arguments(*task);
  task->unresolved = static_cast<std::uint32_t>(pending.size());
  unfinished_.fetch_add(1, std::memory_order_acq_rel);
  actor_->tell(Submitted{task});
  watch_arguments(task, pending);
}

void Owner::wait_again(OwnedTask& task, std::int64_t nanoseconds) {
  task_table_.finished(task, nanoseconds, task_effects_);
  task.unresolved = 1;
  task_table_.submit(task, task_effects_);
}

bool Owner::recover(const std::shared_ptr<OwnedTask>& task, wire::Outcome& outcome) {
  const auto& refs = task->record->refs;
  std::size_t index = 0;
  std::shared_ptr<StoredObject> lost;
  for (; index < refs.size() && !lost; ++index)
    if (auto encoded = encode_cell(*refs[index]); encoded && encoded->stored && encoded->stored->id() == outcome.lost.value)
      lost = encoded->stored;
  if (!lost) {  // made again meanwhile, for somebody else
    if (refs.empty()) return false;
    task_table_.returned(*task, task_effects_);
    return true;
  }
  if (const auto cell = refs[index - 1]; cell->forget_stored(outcome.lost.value)) {
    wait_again(*task, outcome.nanoseconds);
    argument_settled(task, index - 1, cell);
    return true;
  }
  auto* object = dynamic_cast<RecoverableObject*>(lost.get());
  if (!object) return false;
  auto made = object->rebuild(outcome.lost.value);
  if (!made) {
    outcome.result = made.error();
    return false;
  }
  wait_again(*task, outcome.nanoseconds);
  (*made)->on_settled(std::make_shared<RebuildWaiter>(weak_from_this(), task, index - 1, lost, *made));
  return true;
}

}  // namespace manta::detail
