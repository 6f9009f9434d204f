#pragma once
// BorrowedLink: what a handle holds to an actor that another process owns. Calls go to the actor straight from this
// process's owner, which learns from the actor's owner where it lives. The borrow that keeps the actor alive is given back
// when the last handle of this process has gone and the last call of this process is done. It refuses what an OwnedActorLink
// does; max_pending_calls counts the calls of this process by themselves. Shared; thread-safe.
#include <mutex>

#include "runtime/actors/actor_link.hpp"
#include "runtime/actors/reference_keeper.hpp"

namespace manta::detail {

class Owner;

class BorrowedLink final : public ActorLink {
 public:
  BorrowedLink(std::weak_ptr<Owner> owner, const wire::Reference& reference, std::shared_ptr<ReferenceKeeper::Borrow> borrow);
  ~BorrowedLink() override;
  void call(std::shared_ptr<TaskRecord> record, std::shared_ptr<const CallOptions> options) override;
  void kill() override;
  std::string description() const override { return description_; }
  CallRules rules() const override { return rules_; }
  std::uint64_t id() const noexcept override { return id_.value; }
  std::shared_ptr<Engine> engine() const override;

 private:
  const std::weak_ptr<Owner> owner_;
  const ActorId id_;
  const std::string description_;
  const CallRules rules_;
  const std::shared_ptr<ReferenceKeeper::Borrow> borrow_;
  std::once_flag used_once_;
  std::atomic<bool> used_{false};
};

}  // namespace manta::detail
