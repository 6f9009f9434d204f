#pragma once
// WaitGraph: which actor's running call waits for a call of which actor. A pure state machine without threads; owned by the
// node's process, which hears of waits that take long from all processes of the machine. Only actors that run one call at a
// time are told of, so each waits for one other at most, and a cycle can never end by itself.
#include <map>
#include <set>
#include <string>
#include <vector>

#include "runtime/base/ids.hpp"

namespace manta::core {

class WaitGraph {
 public:
  /// `host`: the process that the waiter runs in. The cycle that this wait closes, beginning with the waiter; empty when it closes none.
  std::vector<ActorId> wait(ActorId waiter, std::string what, ActorId target, ProcessId host = 0);
  void done(ActorId waiter);
  /// What the graph was told may be over, with the word of that still on its way. Begins to ask all members of a cycle whether their waits
  /// stand; the number of the round, never 0.
  std::uint64_t ask(std::vector<ActorId> cycle);
  /// Its wait stands, says a member. The cycle when it was the last one to say so: then all waited at the time of `ask`. Else empty; also when
  /// one has ended its wait meanwhile, which ends the round.
  std::vector<ActorId> confirm(ActorId member, std::uint64_t round);
  /// For whom `from` waits, for whom that one, and so on: beginning with `from`, up to one that does not wait or is in it already, or `most`.
  std::vector<ActorId> chain(ActorId from, std::size_t most) const;
  /// A process has ended, and with it the actors that it owned and the waits of those that it hosted.
  void drop_owner(ProcessId owner);
  /// What the waiter runs, in words: "Desk::ask of actor #3"; empty when it does not wait.
  std::string what(ActorId waiter) const;
  ProcessId host(ActorId waiter) const;  ///< the node's own when it does not wait
  std::size_t size() const { return waits_.size(); }

 private:
  struct Wait {
    std::string what{};
    ActorId target{};
    ProcessId host{};
  };
  struct Round {
    std::vector<ActorId> cycle{};
    std::set<ActorId> silent{};  // that have not said yet that their waits stand
  };
  void end_rounds_of(ActorId waiter);
  std::map<ActorId, Wait> waits_{};
  std::map<std::uint64_t, Round> rounds_{};  // one for each wait that closes a cycle, at most
  std::uint64_t last_round_ = 0;
};

}  // namespace manta::core
