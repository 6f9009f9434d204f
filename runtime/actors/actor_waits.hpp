#pragma once
// ActorWaits: how a method that waits for another call learns that the wait can never end. The methods of actors that run one
// call at a time, and that have waited for kLongWait, are told to the node, which sees the cycles of all processes. One per
// process; thread-safe.
#include <map>
#include <mutex>

#include "runtime/actors/owner.hpp"
#include "runtime/core/wait_graph.hpp"

namespace manta::detail {

class ActorWaits {
 public:
  static constexpr std::chrono::milliseconds kLongWait{200};

  explicit ActorWaits(Router& router) : router_(router) {}
  /// The method `what` of `waiter` waits for a call of `target`. The cell fails with DeadlockDetected when that closes a cycle.
  std::shared_ptr<Cell> begin(ActorId waiter, std::string what, ActorId target);
  void end(ActorId waiter);
  /// From the node.
  void deliver(const wire::DeadlockFound& found);

 private:
  Router& router_;
  std::mutex mutex_;
  std::map<ActorId, std::shared_ptr<Cell>> alarms_;  // guarded by mutex_
};

/// The node's graph, told by all processes.
class SharedWaitGraph {
 public:
  /// The error for the waiter, when its wait closes a cycle.
  std::optional<ErrorInfo> told(const wire::ActorWaiting& waiting, ProcessId from);
  void drop_owner(ProcessId owner);

 private:
  std::mutex mutex_;
  core::WaitGraph graph_;  // guarded by mutex_
};

}  // namespace manta::detail
