#include "runtime/core/wait_graph.hpp"

#include <algorithm>

namespace manta::core {

std::vector<ActorId> WaitGraph::wait(ActorId waiter, std::string what, ActorId target, ProcessId host) {
  waits_[waiter] = {std::move(what), target, host};
  std::vector<ActorId> path{waiter};
  for (auto at = target; at != waiter; at = waits_.at(at).target) {
    if (!waits_.contains(at) || path.size() > waits_.size()) return {};
    path.push_back(at);
  }
  return path;
}

std::vector<ActorId> WaitGraph::chain(ActorId from, std::size_t most) const {
  std::vector<ActorId> path{from};
  for (auto it = waits_.find(from); it != waits_.end() && path.size() < most; it = waits_.find(path.back())) {
    const bool closed = std::find(path.begin(), path.end(), it->second.target) != path.end();
    path.push_back(it->second.target);
    if (closed) break;
  }
  return path;
}

void WaitGraph::drop_owner(ProcessId owner) {
  std::erase_if(waits_, [owner](const auto& each) { return maker_of(each.first.value) == owner || (owner && each.second.host == owner); });
}

std::string WaitGraph::what(ActorId waiter) const {
  const auto it = waits_.find(waiter);
  return it == waits_.end() ? std::string() : it->second.what;
}

}  // namespace manta::core
