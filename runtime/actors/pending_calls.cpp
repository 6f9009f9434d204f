#include "runtime/actors/pending_calls.hpp"

#include "runtime/cell.hpp"

namespace manta::detail {

void PendingCalls::admit(const std::shared_ptr<Cell>& call, const std::string& who) {
  std::vector<std::shared_ptr<Cell>> looked_at;  // perhaps their last refs: values of the user's go without the lock
  std::lock_guard lock(mutex_);
  if (calls_.size() >= limit_)
    std::erase_if(calls_, [&looked_at](const std::weak_ptr<Cell>& each) {
      auto cell = each.lock();
      if (!cell) return true;
      looked_at.push_back(std::move(cell));
      return looked_at.back()->settled();
    });
  if (calls_.size() >= limit_)
    throw_error({.code = ErrorCode::kResourceExhausted,
                 .message = std::to_string(limit_) + " calls are not finished, as many as max_pending_calls allows: get some of "
                            "their refs, then call again. To open a stream is a call, and each item that a stream waits for is a call",
                 .where = who});
  calls_.push_back(call);
}

}  // namespace manta::detail
