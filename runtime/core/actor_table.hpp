#pragma once
// ActorTable: an owner's decisions about its actors: when one is made, which calls may be sent, what happens when its
// process dies. A pure state machine: events go in by methods, what is to be done comes out in ActorEffects; no threads,
// no clock. Owned by the owner actor. States: docs/states.md.
//
// Calls of this owner reach an actor in the order in which they were made: one whose arguments are late holds back those
// behind it. In-flight calls are lost with the actor's process; each goes again, in order, as long as it has task
// retries and the actor restarts left. A call that may run again for an error of its own keeps those behind it until it is done,
// or they would overtake it. A place that runs one call at a time gives back one whose argument is lost, and those that it had been sent
// behind it (docs/design/0010-lineage.md).
#include <functional>
#include <map>
#include <vector>

#include "runtime/base/fifo.hpp"
#include "runtime/core/lease_table.hpp"

namespace manta::core {

enum class ActorState : std::uint8_t { kWaitingForArguments, kPending, kStarting, kAlive, kRestarting, kDead };

/// The part of a call that the table works on. The owner keeps it alive until it is finished or failed.
struct CallNode {
  TaskId id{};
  ActorId actor{};
  std::uint64_t sent = 0;  ///< which of the sends to its actor was its last one, from 1 on; 0: it has not been sent
  std::uint32_t unresolved = 0;
  int crashes = 0;
  std::uint32_t losses = 0;  ///< of calls there, as far as was known when it was sent: see came_back
  bool unwanted = false;  ///< its ref is settled without it: never runs again
  bool interleaves = false;  ///< a coroutine: while it waits, others run
  bool holds_back = false;   ///< may run again, in an actor that runs one call at a time: later ones are sent when it is done
};

enum class CallFailure : std::uint8_t { kActorDied, kUnavailable, kCreationFailed };

struct ActorEffects {
  struct Send {
    ActorId actor;
    LeaseId lease;
    CallNode* call;
  };
  struct Fail {
    CallNode* call;
    CallFailure why;
  };
  struct OnLease {
    ActorId actor;
    LeaseId lease;
  };
  std::vector<ActorId> want{};        ///< ask for a lease
  std::vector<ActorId> withdraw{};    ///< no longer
  std::vector<OnLease> create{};      ///< run the constructor there
  std::vector<Send> sends{};
  std::vector<Fail> failures{};
  struct Destroy {
    ActorId actor;
    LeaseId lease;
    bool busy = false;  ///< code of it may be running
  };
  std::vector<Destroy> destroy{};     ///< run the destructor there
  std::vector<LeaseId> give_back{};
  std::vector<ActorId> forgotten{};   ///< the actor needs no memory any more
  std::vector<ActorId> moved{};       ///< alive in a new place, without one, or dead: whoever follows it is told
  struct Deaths {
    ActorId actor;
    int deaths;
  };
  std::vector<Deaths> back_off{};     ///< died so often at its own cost: call restart_due when its time has come
  std::vector<Deaths> poisoned{};     ///< ended so many processes by its own doing, and is dead: `failures` are of that
  std::vector<ActorId> isolate{};     ///< died in company: has a process of its own from now on
};

/// How an actor's process ended.
struct ProcessLoss {
  bool own_doing = false;   ///< as TaskTable::Loss, like the next two
  bool shared = false;
  bool for_memory = false;
  bool unused = false;      ///< nothing of the actor had begun there: it is placed again, and that is no restart
};

class ActorTable {
 public:
  struct Limits {
    int max_restarts = 0;      ///< -1: without end
    int max_task_retries = 0;  ///< per call; -1: without end
    bool unordered = false;    ///< calls that are ready overtake those that wait for arguments
    bool of_task = false;      ///< runs a generator task: a lost process is charged and answered as TaskTable does it
    bool backs_off = false;    ///< of such a one: waits before each restart, as the owner's clock says
    bool own_process = false;  ///< of such a one: it shares its process with nobody
  };
  /// `unresolved`: arguments of the constructor that are not there yet.
  void create(ActorId actor, Limits limits, std::uint32_t unresolved, ActorEffects& effects);
  void constructor_argument_ready(ActorId actor, ActorEffects& effects);
  void constructor_argument_failed(ActorId actor, ActorEffects& effects);
  void call(CallNode& call, ActorEffects& effects);
  void argument_ready(CallNode& call, ActorEffects& effects);
  /// Takes out a call that will not run: an argument failed.
  void withdraw(CallNode& call, ActorEffects& effects);
  /// Nobody wants it any more. True when it had not been sent and is taken out; else its end is still to come.
  bool cancel(CallNode& call, ActorEffects& effects);
  void lease_granted(ActorId actor, LeaseId lease, ActorEffects& effects);
  void created(ActorId actor, LeaseId lease, ActorEffects& effects);
  void creation_failed(ActorId actor, LeaseId lease, ActorEffects& effects);
  /// Its constructor did not begin, as an argument is lost: it is placed again once its place has been emptied, which `destroyed` or
  /// lease_lost tell, and with `waits` constructor_argument_ready was called. No restart. False when it has ended or moved meanwhile.
  bool construct_again(ActorId actor, LeaseId lease, bool waits, ActorEffects& effects);
  void finished(CallNode& call, ActorEffects& effects);
  /// It is to run once more, or has not begun: it waits in the order in which they were sent, ahead of those that were not. False when it
  /// is not in flight, nobody wants it, or its actor has ended.
  bool again(CallNode& call, ActorEffects& effects);
  /// Its place, which runs one call at a time, has not begun it and gives back all that it was sent after it: none is sent before they
  /// are here, or it would overtake them. `losses`: those that the place has counted, to be told it with the next ones. `again` or
  /// `finished` follows.
  void came_back(const CallNode& call, std::uint32_t losses);
  /// Its process died. One of a task ends as poisoned with the third process that it ended by its own doing; one that died in company
  /// is not charged but isolated. An actor whose constructor ended its process twice in a row and more is restarted after a time.
  void lease_lost(LeaseId lease, ActorEffects& effects, ProcessLoss loss = {});
  /// The time before its restart is over.
  void restart_due(ActorId actor, ActorEffects& effects);
  /// No handle is left: ends once all calls are done.
  void dropped(ActorId actor, ActorEffects& effects);
  void kill(ActorId actor, ActorEffects& effects);
  /// Its destructor has run (or its process is gone).
  void destroyed(ActorId actor, ActorEffects& effects);
  /// It ended by itself, its destructor has run: calls that are not finished fail, no restart.
  void exited(ActorId actor, ActorEffects& effects);

  // An actor that another process owns, followed here so that calls reach it in order: its owner decides, these tell what.
  // Such an entry is made by `create`, placed by lease_granted and created, and moved by lease_lost.
  void set_limits(ActorId actor, Limits limits);
  void ended(ActorId actor, CallFailure why, ActorEffects& effects);
  /// There is a handle again, after `dropped`.
  void regained(ActorId actor);

  std::size_t size() const { return actors_.size(); }
  bool failed_in_constructor(ActorId actor) const;
  /// Whether it would be constructed again if its process died.
  bool may_restart(ActorId actor) const;
  ActorState state(ActorId actor) const;
  struct CallPlace {
    bool sent = false;                ///< it has left for the actor
    std::size_t ahead = 0;            ///< calls of this owner that were made before it, are not done and hold it up
    const CallNode* first = nullptr;  ///< the first of these; null: none
    std::size_t coroutines = 0;       ///< of those before it that have left for the actor
  };
  /// `holds_up`: whether one that has left for the actor keeps the call from its turn; a coroutine is not asked about.
  CallPlace place_of(const CallNode& call, const std::function<bool(const CallNode&)>& holds_up) const;
  ActorId actor_of(LeaseId lease) const;  ///< 0 when none lives under it
  /// Whether so many calls or more are in flight, and of the first that many none is a coroutine.
  bool has_calls_in_a_row(ActorId actor, std::size_t count) const;
  LeaseId lease_of(ActorId actor) const;  ///< 0 when it has no place
  int pauses_after(ActorId actor) const;  ///< how often in a row its process ended before its constructor had; 0 when no pause is on

 private:
  struct Entry {
    Limits limits{};
    ActorState state{ActorState::kWaitingForArguments};
    std::uint32_t unresolved = 0;
    int restarts = 0;
    bool dropped = false;
    bool destroying = false;
    bool creation_failed = false;
    bool emptying = false;  // of `lease`, where it was not constructed
    bool backing_off = false;  // asks for no lease until restart_due
    std::uint8_t own_deaths = 0;
    int deaths_while_starting = 0;  // of its process, in a row
    std::uint32_t losses = 0;       // as its place has told
    std::uint64_t sends = 0;
    std::uint64_t returned = 0;     // CallNode::sent of one that came back: what was sent after it does so too; 0: none
    LeaseId lease{};
    const CallNode* holding = nullptr;  // in flight, and nothing is sent behind it
    Fifo<CallNode*> waiting{};
    Fifo<CallNode*> in_flight{};
  };
  Entry* find(ActorId actor);
  static bool has_restarts(const Entry& entry) { return entry.limits.max_restarts < 0 || entry.restarts < entry.limits.max_restarts; }
  static bool may_be_isolated(const Limits& limits) { return limits.of_task && !limits.own_process && limits.max_restarts != 0; }
  void restart(ActorId actor, Entry& entry, bool charged, ActorEffects& effects);
  void emptied(ActorId actor, Entry& entry, ActorEffects& effects);
  static bool take_out(Entry& entry, const CallNode& call);
  static bool stop_waiting(Entry& entry, const CallNode& call);
  static void put_back(Entry& entry, CallNode& call);
  static bool awaits_returns(Entry& entry);
  void flush(ActorId actor, Entry& entry, ActorEffects& effects);
  void flush_after(CallNode& call, Entry& entry, ActorEffects& effects);
  void send(ActorId actor, Entry& entry, CallNode& call, ActorEffects& effects);
  void end(ActorId actor, Entry& entry, CallFailure why, ActorEffects& effects);
  void forget_if_done(ActorId actor, ActorEffects& effects);
  void destroy_if_done(ActorId actor, Entry& entry, ActorEffects& effects);

  std::map<ActorId, Entry> actors_{};
  std::map<LeaseId, ActorId> by_lease_{};
};

}  // namespace manta::core
