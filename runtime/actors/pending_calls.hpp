#pragma once
// PendingCalls: counts the calls of an actor that are not finished, for max_pending_calls. Shared; thread-safe.
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace manta::detail {

class Cell;

/// Counts by the calls' cells: they are settled before anybody can know that a call is over.
class PendingCalls {
 public:
  explicit PendingCalls(int limit) : limit_(static_cast<std::size_t>(limit)) {}
  /// Throws ResourceExhausted when as many calls as the limit allows are not finished. `who`: the actor.
  void admit(const std::shared_ptr<Cell>& call, const std::string& who);

 private:
  const std::size_t limit_;
  std::mutex mutex_;
  std::vector<std::weak_ptr<Cell>> calls_;  // guarded by mutex_; finished ones go when there is no more room
};

}  // namespace manta::detail
