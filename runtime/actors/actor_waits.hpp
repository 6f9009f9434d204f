#pragma once
// ActorWaits: how a method that waits for another call learns that the wait can never end. The methods of actors that run one
// call at a time, and that have waited for kLongWait without a deadline, are told to the node, which sees the cycles of all processes, and
// says who waits for whom. One per process; thread-safe.
#include <map>
#include <mutex>

#include "runtime/actors/owner.hpp"
#include "runtime/core/wait_graph.hpp"

namespace manta::detail {

class ActorWaits {
 public:
  static constexpr std::chrono::milliseconds kLongWait{200};

  explicit ActorWaits(Router& router) : router_(router) {}
  /// While it lives, a method of `waiter` that bears that name waits for a call of `target`. An actor has one at a time.
  class Wait {
   public:
    Wait(ActorWaits& waits, ActorId waiter, const std::string& method, ActorId target);
    ~Wait();
    Wait(const Wait&) = delete;
    Wait& operator=(const Wait&) = delete;
    /// Fails with DeadlockDetected when this closes a cycle.
    const std::shared_ptr<Cell>& alarm() const { return alarm_; }

   private:
    ActorWaits& waits_;
    const ActorId waiter_;
    const std::shared_ptr<Cell> alarm_;
  };
  /// For whom `actor` waits, for whom that one, and so on, in words; empty when it does not wait, or the node has not said so by the deadline.
  /// `question`: an id that is new.
  std::string chain(ActorId question, ActorId actor, Deadline deadline);
  /// From the node.
  void deliver(const wire::DeadlockFound& found);

 private:
  /// The cell fails with what the node says to it.
  std::shared_ptr<Cell> tell(wire::ActorWaiting waiting);
  void forget(ActorId waiter);
  Router& router_;
  std::mutex mutex_;
  std::map<ActorId, std::shared_ptr<Cell>> alarms_;  // guarded by mutex_
};

/// As errors name it: "actor #3".
std::string number_of(ActorId actor);

/// The node's graph, told by all processes.
class SharedWaitGraph {
 public:
  /// The error for the waiter, when its wait closes a cycle; to a question, the chain as the message of one.
  std::optional<ErrorInfo> told(const wire::ActorWaiting& waiting, ProcessId from);
  void drop_owner(ProcessId owner);

 private:
  std::string chain_in_words(ActorId from) const;  // with mutex_ held
  std::mutex mutex_;
  core::WaitGraph graph_;  // guarded by mutex_
};

}  // namespace manta::detail
