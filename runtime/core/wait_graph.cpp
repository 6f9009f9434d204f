#include "runtime/core/wait_graph.hpp"

#include <algorithm>

namespace manta::core {

std::vector<ActorId> WaitGraph::wait(ActorId waiter, std::string what, ActorId target, ProcessId host) {
  end_rounds_of(waiter);
  waits_[waiter] = {std::move(what), target, host};
  std::vector<ActorId> path{waiter};
  for (auto at = target; at != waiter; at = waits_.at(at).target) {
    if (!waits_.contains(at) || path.size() > waits_.size()) return {};
    path.push_back(at);
  }
  return path;
}

void WaitGraph::done(ActorId waiter) {
  waits_.erase(waiter);
  end_rounds_of(waiter);
}

std::uint64_t WaitGraph::ask(std::vector<ActorId> cycle) {
  std::set<ActorId> silent(cycle.begin(), cycle.end());
  rounds_[++last_round_] = {std::move(cycle), std::move(silent)};
  return last_round_;
}

std::vector<ActorId> WaitGraph::confirm(ActorId member, std::uint64_t round) {
  const auto it = rounds_.find(round);
  if (it == rounds_.end()) return {};
  it->second.silent.erase(member);
  if (!it->second.silent.empty()) return {};
  auto cycle = std::move(it->second.cycle);
  rounds_.erase(it);
  return cycle;
}

void WaitGraph::end_rounds_of(ActorId waiter) {
  std::erase_if(rounds_, [waiter](const auto& each) {
    const auto& cycle = each.second.cycle;
    return std::find(cycle.begin(), cycle.end(), waiter) != cycle.end();
  });
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
  std::erase_if(waits_, [owner, this](const auto& each) {
    const bool gone = maker_of(each.first.value) == owner || (owner && each.second.host == owner);
    if (gone) end_rounds_of(each.first);
    return gone;
  });
}

std::string WaitGraph::what(ActorId waiter) const {
  const auto it = waits_.find(waiter);
  return it == waits_.end() ? std::string() : it->second.what;
}

ProcessId WaitGraph::host(ActorId waiter) const {
  const auto it = waits_.find(waiter);
  return it == waits_.end() ? ProcessId{} : it->second.host;
}

}  // namespace manta::core
