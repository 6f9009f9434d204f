#include "runtime/actors/borrowed_link.hpp"

#include <algorithm>

#include "runtime/actors/owner.hpp"

namespace manta::detail {

BorrowedLink::BorrowedLink(std::weak_ptr<Owner> owner, const wire::Reference& reference, std::shared_ptr<ReferenceKeeper::Borrow> borrow)
    : owner_(std::move(owner)), id_{reference.id}, description_(reference.name),
      rules_{.max_pending_calls = reference.max_pending_calls, .serial = reference.serial, .groups = reference.groups},
      borrow_(std::move(borrow)) {
  if (rules_.max_pending_calls > 0 && !borrow_->pending_calls) borrow_->pending_calls = std::make_unique<PendingCalls>(rules_.max_pending_calls);
}

BorrowedLink::~BorrowedLink() {
  if (!used_) return;  // nobody but the borrow knows of it
  if (auto owner = owner_.lock())
    if (const UseGate::Use use(owner->gate()); use) owner->dropped(id_);
}

void BorrowedLink::call(std::shared_ptr<TaskRecord> record, std::shared_ptr<const CallOptions> options) {
  auto owner = owner_.lock();
  if (!owner) throw RuntimeStopped("call of " + description_ + ": the runtime has been shut down");
  const UseGate::Use use(owner->gate());
  use.need();
  const auto knows = [&](const std::string& group) { return std::find(rules_.groups.begin(), rules_.groups.end(), group) != rules_.groups.end(); };
  check_call(options.get(), options && knows(options->concurrency_group), *this);
  if (borrow_->pending_calls && !(options && options->uncounted)) borrow_->pending_calls->admit(record->result, description_);
  std::call_once(used_once_, [&] {
    owner->borrow(id_, description_, borrow_);
    used_ = true;
  });
  const bool alone = holds_back(options.get(), rules_.serial);
  owner->call(id_, std::move(record), std::move(options), true, alone);
}

std::shared_ptr<Engine> BorrowedLink::engine() const {
  const auto owner = owner_.lock();
  if (!owner) throw RuntimeStopped("call of " + description_ + ": the runtime has been shut down");
  const UseGate::Use use(owner->gate());
  use.need();
  return owner->engine();
}

void BorrowedLink::kill() {
  if (auto owner = owner_.lock())
    if (const UseGate::Use use(owner->gate()); use) owner->kill_elsewhere(id_);
}

}  // namespace manta::detail
