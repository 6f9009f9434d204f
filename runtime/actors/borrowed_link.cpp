#include "runtime/actors/borrowed_link.hpp"

#include "runtime/actors/owner.hpp"

namespace manta::detail {

BorrowedLink::~BorrowedLink() {
  if (!used_) return;  // nobody but the borrow knows of it
  if (auto owner = owner_.lock()) owner->dropped(id_);
}

void BorrowedLink::call(std::shared_ptr<TaskRecord> record, std::shared_ptr<const CallOptions> options) {
  auto owner = owner_.lock();
  if (!owner) throw RuntimeStopped("call of " + description_ + ": the runtime has been shut down");
  std::call_once(used_once_, [&] {
    owner->borrow(id_, description_, borrow_);
    used_ = true;
  });
  owner->call(id_, std::move(record), std::move(options), true);
}

std::shared_ptr<Engine> BorrowedLink::engine() const {
  const auto owner = owner_.lock();
  if (!owner) throw RuntimeStopped("call of " + description_ + ": the runtime has been shut down");
  return owner->engine();
}

void BorrowedLink::kill() {
  if (auto owner = owner_.lock()) owner->kill_elsewhere(id_);
}

}  // namespace manta::detail
