#pragma once
// ActorWaits: how a method that waits for another call learns that the wait can never end. The methods of actors that run one
// call at a time, and that have waited for kLongWait without a deadline, are told to the node, which sees the cycles of all processes, and
// says who waits for whom. Before it calls a cycle one, it asks every member whether its wait stands: a process that was paused may not have
// seen yet that its own is over. One per process; thread-safe.
#include <functional>
#include <map>
#include <mutex>

#include "runtime/actors/owner.hpp"
#include "runtime/core/wait_graph.hpp"

namespace manta::detail {

class ActorWaits {
 public:
  static constexpr std::chrono::milliseconds kLongWait{200};

  explicit ActorWaits(Router& router) : router_(router) {}
  /// While it lives, a method of `waiter` that bears that name waits for a call of `target`. An actor has one at a time. `is_over` says that
  /// the wait is, though the thread that waits may not have run since: asked on any thread, with a lock of this held.
  class Wait {
   public:
    Wait(ActorWaits& waits, ActorId waiter, const std::string& method, ActorId target, std::function<bool()> is_over);
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
  /// The node asks whether the wait stands: to be delivered when all that had come before it has been taken in.
  static bool is_question(const wire::DeadlockFound& found) { return found.round && found.error.message.empty(); }
  /// From the node.
  void deliver(const wire::DeadlockFound& found);

 private:
  struct Alarm {
    std::shared_ptr<Cell> cell;
    std::function<bool()> is_over{};  ///< none: a question
    std::uint64_t confirmed = 0;  ///< the last round in which it was said that the wait stands
  };
  /// The cell fails with what the node says to it.
  std::shared_ptr<Cell> tell(wire::ActorWaiting waiting, std::function<bool()> is_over);
  void forget(ActorId waiter);
  void confirm(ActorId waiter, std::uint64_t round);
  Router& router_;
  std::mutex mutex_;
  std::map<ActorId, Alarm> alarms_;  // guarded by mutex_
};

/// As errors name it: "actor #3".
std::string number_of(ActorId actor);

/// The node's graph, told by all processes.
class SharedWaitGraph {
 public:
  using Letters = std::vector<std::pair<ProcessId, wire::DeadlockFound>>;
  /// What is to be sent now, and to whom: questions to a cycle's members; the error for the wait that closed it, when all of them have said
  /// that theirs stand; to a question about an actor, the chain as the message of one.
  Letters told(const wire::ActorWaiting& waiting, ProcessId from);
  void drop_owner(ProcessId owner);

 private:
  std::string chain_in_words(ActorId from) const;  // with mutex_ held
  ErrorInfo error_of(const std::vector<ActorId>& cycle) const;  // likewise
  std::mutex mutex_;
  core::WaitGraph graph_;  // guarded by mutex_
};

}  // namespace manta::detail
