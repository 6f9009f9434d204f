#pragma once
// NamedActors: how a process registers actors by name and finds those of others. The names lie in the node's directory;
// the handle to a found actor comes from the process that owns it, once that has made it: a name is taken before the arguments of the
// constructor are serialised, which may take long. One per process; thread-safe. spawn and find wait for answers as long as those
// processes live, but at most two minutes, then they throw Timeout; and Cancelled when the work that calls them is cancelled.
#include <functional>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "runtime/actors/owner.hpp"

namespace manta::detail {

class NamedActors {
 public:
  /// Asks the node's directory and waits for the answer.
  using Ask = std::function<wire::NameReply(wire::NameRequest request)>;
  /// Waits for a cell, false at the deadline; the calling task gives its CPU to others meanwhile. Throws Cancelled.
  using Wait = std::function<bool(Cell& cell, Deadline deadline)>;
  NamedActors(IdSource& ids, Router& router, Owner& owner, ReferenceKeeper& references, Ask ask, Wait wait)
      : ids_(ids), router_(router), owner_(owner), references_(references), ask_(std::move(ask)), wait_(std::move(wait)) {}

  /// The new actor, or the one that has the name when the options allow that.
  std::shared_ptr<ActorLink> spawn(std::shared_ptr<TaskRecord> constructor, std::shared_ptr<const ActorOptions> options,
                                   const FunctionEntry& type);
  std::shared_ptr<ActorLink> find(const std::string& name, const FunctionEntry& type);

  /// Another process asks for a handle to an actor of this one. It is answered at once, or when the actor has been made.
  void lend(ProcessId to, const wire::ActorRequest& request);
  void deliver(ProcessId from, wire::ActorLent lent);
  void process_gone(ProcessId process);

 private:
  struct Pending {
    ProcessId asked = 0;
    Cell done{type_ops<Void>()};
    std::shared_ptr<ActorLink> link{};
  };
  /// An actor of this process whose name may be taken already, but that nobody can have a handle to yet.
  struct Making {
    struct Asker {
      ProcessId process = 0;
      std::uint64_t request = 0;
    };
    Cell over{type_ops<Void>()};
    std::vector<Asker> askers{};  // guarded by mutex_
  };
  std::shared_ptr<ActorLink> claim(const std::shared_ptr<TaskRecord>& constructor, const std::shared_ptr<const ActorOptions>& options,
                                   const FunctionEntry& type, ActorId& holder);
  void begin_making(ActorId actor);
  void end_making(ActorId actor, const std::shared_ptr<ActorLink>& link);
  void answer(ProcessId to, std::uint64_t request, std::shared_ptr<ActorLink> link);
  std::shared_ptr<ActorLink> link_to(ActorId actor, const std::string& name, SteadyClock::time_point latest);
  std::shared_ptr<ActorLink> own_link(ActorId actor, const std::string& name, SteadyClock::time_point latest);
  void rest(std::chrono::milliseconds time);
  void note_own(ActorId actor, const std::shared_ptr<ActorLink>& link);  // with mutex_ held, as what follows
  std::shared_ptr<ActorLink> known_link(ActorId actor) const;
  static void settle(Cell& cell);

  IdSource& ids_;
  Router& router_;
  Owner& owner_;
  ReferenceKeeper& references_;
  const Ask ask_;
  const Wait wait_;
  std::mutex mutex_;  // guards what follows
  std::uint64_t next_request_ = 1;
  std::unordered_map<std::uint64_t, std::shared_ptr<Pending>> pending_;
  std::unordered_map<ActorId, std::shared_ptr<Making>> making_;
  static constexpr std::size_t kFew = 64;
  std::size_t look_at_ = kFew;  ///< links, before those that have gone are looked for
  std::unordered_map<ActorId, std::weak_ptr<ActorLink>> own_;  ///< of named actors
};

/// The node's directory, asked by all processes of the machine.
class SharedActorDirectory {
 public:
  wire::NameReply answer(const wire::NameRequest& request);
  void drop_owner(ProcessId owner);

 private:
  std::mutex mutex_;
  core::ActorDirectory directory_;  // guarded by mutex_
};

}  // namespace manta::detail
