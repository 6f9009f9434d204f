#pragma once
// What a handle to an actor holds: the way to the actor through this process's owner, and the checks that can be made
// before a call is. Shared by all copies of a handle; thread-safe.
#include "runtime/actors/pending_calls.hpp"
#include "runtime/engine.hpp"
#include "runtime/wire/messages.hpp"

namespace manta::detail {

class Owner;

/// "actor Counter #12", for messages.
std::string describe_actor(const std::string& name, ActorId id);
/// Throws InvalidArgument for options, other than resources, that can never work. `what`: the actor, for the message.
void check_actor(const ActorOptions& options, const std::string& what);
/// Throws InvalidArgument for options of one call that can never work; null: the usual ones. `knows_group`: the actor has the
/// concurrency group that they name. The caller looks that up, so that no names are copied for a call that is right.
void check_call(const CallOptions* options, bool knows_group, const ActorLink& actor);
/// True when later calls must wait until this one is done, retries included. `serial`: the actor runs one call at a time.
bool holds_back(const CallOptions* options, bool serial);
wire::Concurrency concurrency_of(const ActorOptions& options);

/// The last one to go tells the owner.
class OwnedActorLink final : public ActorLink {
 public:
  OwnedActorLink(std::weak_ptr<Owner> owner, ActorId id, std::shared_ptr<const std::string> name, bool portable,
                 std::shared_ptr<const ActorOptions> options);
  ~OwnedActorLink() override;
  void call(std::shared_ptr<TaskRecord> record, std::shared_ptr<const CallOptions> options) override;
  void kill() override;
  std::string description() const override;
  CallRules rules() const override;
  std::uint64_t id() const noexcept override { return id_.value; }
  std::shared_ptr<Engine> engine() const override;

 private:
  bool serial() const;  ///< it runs one call at a time
  const std::weak_ptr<Owner> owner_;
  const ActorId id_;
  const std::shared_ptr<const std::string> name_;
  const bool portable_;
  const std::shared_ptr<const ActorOptions> options_;
  std::unique_ptr<PendingCalls> pending_;  // null: no limit
};

}  // namespace manta::detail
