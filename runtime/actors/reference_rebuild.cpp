// A borrowed object whose bytes in the store are lost: who needs them asks the owner, who makes them again from their lineage.
#include "runtime/actors/lineage.hpp"
#include "runtime/actors/reference_keeper.hpp"

namespace manta::detail {

/// The owner's side: what was made again takes the lost object's place, then its borrower gets it.
class ReferenceKeeper::RebuildWaiter final : public Cell::Waiter {
 public:
  RebuildWaiter(std::weak_ptr<ReferenceKeeper> keeper, ProcessId to, core::ReferenceId id, std::shared_ptr<Cell> cell,
                std::shared_ptr<Rebuildable> lost, std::weak_ptr<Cell> made)
      : keeper_(std::move(keeper)), to_(to), id_(id), cell_(std::move(cell)), lost_(std::move(lost)), made_(std::move(made)) {}
  void settled() override {
    const auto keeper = keeper_.lock();
    const auto made = made_.lock();
    if (!keeper || !made || keeper->in_fork()) return;
    if (auto adopted = lost_->adopt(*made); !adopted)
      return keeper->router_.send(to_, wire::ObjectSettled{{.id = {id_}, .result = adopted.error()}});
    keeper->answer_when_encoded(to_, id_, cell_);
  }

 private:
  std::weak_ptr<ReferenceKeeper> keeper_;
  ProcessId to_;
  core::ReferenceId id_;
  std::shared_ptr<Cell> cell_;
  std::shared_ptr<Rebuildable> lost_;
  std::weak_ptr<Cell> made_;
};

/// What the answer will come to: one question serves all who ask meanwhile.
Result<std::shared_ptr<Cell>> ReferenceKeeper::ask_to_rebuild(core::ReferenceId id, ObjectId lost) {
  std::lock_guard lock(mutex_);
  if (closed_) return ErrorInfo{.code = ErrorCode::kRuntimeStopped, .message = "the runtime has been shut down"};
  if (table_.is_gone(maker_of(id))) return owner_gone(id);
  if (const auto asked = rebuilds_.find(id); asked != rebuilds_.end()) return asked->second;
  auto cell = std::make_shared<Cell>(type_ops<Void>());
  rebuilds_.emplace(id, cell);
  router_.send(maker_of(id), wire::ReferenceUpdates{{{core::ReferenceOperation::kRebuild, id, 0, static_cast<std::int64_t>(lost.value)}}});
  return cell;
}

/// For the owner's answer; a task's CPUs go to others meanwhile. False at the deadline.
bool ReferenceKeeper::await_rebuilt(Cell& cell, Deadline deadline) {
  const auto engine = router_.engine();
  return engine ? engine->wait(cell, deadline) : cell.wait(deadline);
}

void ReferenceKeeper::serve_rebuild(ProcessId to, core::ReferenceId id, ObjectId lost) {
  const auto refuse = [&](const ErrorInfo& error) { router_.send(to, wire::ObjectSettled{{.id = {id}, .result = error}}); };
  const auto cell = lent_object(id);
  if (!cell || !cell->settled())
    return refuse({.code = ErrorCode::kObjectLost, .message = "its copy was lost, and its owner does not know it any more"});
  const auto stored = stored_in(*cell);
  if (cell->forget_stored(lost.value) || !stored || stored->id() != lost.value) return answer_when_encoded(to, id, cell);
  if (auto checked = check({.stored = stored}); !checked) return refuse(checked.error());
  const auto object = std::dynamic_pointer_cast<Rebuildable>(stored);
  if (!object)
    return refuse({.code = ErrorCode::kObjectLost,
                   .message = "its only copy was lost, and it cannot be made again: it is not the result of a task"});
  auto made = object->rebuild(lost.value);
  if (!made) return refuse(made.error());
  (*made)->on_settled(std::make_shared<RebuildWaiter>(weak_from_this(), to, id, cell, object, *made));
}

std::vector<std::shared_ptr<Cell>> ReferenceKeeper::take_rebuilds(const std::function<bool(core::ReferenceId)>& which) {
  std::vector<std::shared_ptr<Cell>> taken;
  std::lock_guard lock(mutex_);
  std::erase_if(rebuilds_, [&](auto& each) {
    if (!which(each.first)) return false;
    taken.push_back(std::move(each.second));
    return true;
  });
  return taken;
}

}  // namespace manta::detail
