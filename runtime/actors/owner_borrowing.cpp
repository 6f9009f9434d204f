// The owner's part in actors whose handles are in several processes: those of others that this process calls, and who
// follows the places of its own.
#include <algorithm>

#include "runtime/actors/owner.hpp"

namespace manta::detail {

namespace {

std::shared_ptr<const ErrorInfo> share(ErrorInfo info) { return std::make_shared<const ErrorInfo>(std::move(info)); }

}  // namespace

void Owner::borrow(ActorId actor, std::string description, std::shared_ptr<void> borrow) {
  auto borrowed = std::make_shared<OwnedConstructor>();
  borrowed->actor = actor;
  borrowed->label = std::make_shared<const std::string>(std::move(description));
  borrowed->borrow = std::move(borrow);
  actor_->tell(Borrowed{std::move(borrowed)});
}

void Owner::kill_elsewhere(ActorId actor) {
  free_name(actor, {});
  router_.send(maker_of(actor.value), wire::ActorRequest{.actor = actor, .operation = wire::ActorOperation::kKill});
  actor_->tell(Killed{actor});  // this process's later calls would overtake the kill: they go straight to where it lives
}

/// Its owner is told to end it; whatever that says of it later, here it is dead.
void Owner::end_borrowed(ActorId actor) {
  perform();  // what was called before still goes to it; afterwards nothing may
  const auto it = actors_.find(actor);
  if (it == actors_.end()) return;
  leases_.erase(actor_table_.lease_of(actor));
  actor_table_.ended(actor, core::CallFailure::kActorDied, actor_effects_);
}

void Owner::deliver(ProcessId from, wire::ActorRequest request) { actor_->tell(Requested{from, request}); }

void Owner::deliver(ProcessId from, wire::ActorPlace place) { actor_->tell(Placed{from, std::make_unique<wire::ActorPlace>(std::move(place))}); }

void Owner::process_gone(ProcessId process) { actor_->tell(Gone{process}); }

void Owner::ask_target(TaskId call, std::shared_ptr<Promise<std::uint64_t>> told) { actor_->tell(TargetAsked{call, std::move(told)}); }

void Owner::on(TargetAsked& event) {
  const auto it = calls_.find(event.call);
  const bool ends_by_itself = it != calls_.end() && it->second->options && it->second->options->deadline.count() > 0;
  event.told->set(it == calls_.end() || ends_by_itself ? 0 : it->second->actor.value);
}

void Owner::on(Borrowed& event) {
  perform();  // what the last handle's going ended is forgotten first: this is then a fresh borrow
  const auto actor = event.actor->actor;
  if (const auto it = actors_.find(actor); it != actors_.end()) {
    // The last handle went, calls of it are still under way, and here is a new one.
    it->second->borrow = std::move(event.actor->borrow);
    ++it->second->links;
    return actor_table_.regained(actor);
  }
  counts_.actor_begun();
  actors_.emplace(actor, std::move(event.actor));
  actor_table_.create(actor, {.max_restarts = -1}, 0, actor_effects_);
  if (references_.is_gone(maker_of(actor.value))) return end_orphan(actor);  // nobody would answer
  router_.send(maker_of(actor.value), wire::ActorRequest{.actor = actor, .operation = wire::ActorOperation::kFollow});
}

void Owner::on(Requested& event) {
  perform();  // tells the other followers what has changed, and may forget actors
  const auto it = actors_.find(event.request.actor);
  const bool ours = it != actors_.end() && !it->second->borrow;
  if (event.request.operation == wire::ActorOperation::kKill) {
    Killed killed{event.request.actor};
    if (ours) on(killed);
  } else if (event.request.operation == wire::ActorOperation::kFollow) {
    if (ours && std::find(it->second->followers.begin(), it->second->followers.end(), event.from) == it->second->followers.end())
      it->second->followers.push_back(event.from);
    if (ours) it->second->failed_unseen = false;
    router_.send(event.from, place_of(event.request.actor));
  }
}

wire::ActorPlace Owner::place_of(ActorId actor) const {
  wire::ActorPlace place{.actor = actor, .state = actor_table_.state(actor)};
  const auto it = actors_.find(actor);
  if (it == actors_.end() || it->second->borrow) return place;
  place.error = it->second->last_error ? std::optional(*it->second->last_error) : std::nullopt;
  place.max_task_retries = it->second->options->max_task_retries;
  place.unordered = it->second->options->unordered;
  place.creation_failed = actor_table_.failed_in_constructor(actor);
  if (place.state != core::ActorState::kAlive) return place;
  place.lease = actor_table_.lease_of(actor);
  if (const auto lease = leases_.find(place.lease); lease != leases_.end()) place.worker = lease->second.worker;
  return place;
}

void Owner::release_name(OwnedConstructor& actor) {
  if (!std::exchange(actor.named, false)) return;
  free_name(actor.actor, actor.options->name);
}

/// The name of an actor, or with none given whatever name it has. The node answers those that ask later from this process after it.
void Owner::free_name(ActorId actor, const std::string& name) {
  if (stopped_) return;  // nobody asks any more, and the way to the node may be gone
  router_.send(kNodeProcess, wire::NameRequest{.operation = wire::NameOperation::kRelease, .name = name, .actor = actor});
}

void Owner::release_names(const std::vector<ActorId>& moved) {
  for (auto actor : moved)
    if (const auto it = actors_.find(actor); it != actors_.end() && !it->second->borrow && actor_table_.state(actor) == core::ActorState::kDead)
      release_name(*it->second);
}

void Owner::tell_followers(const std::vector<ActorId>& moved) {
  for (auto actor : moved) {
    const auto it = actors_.find(actor);
    if (it == actors_.end() || it->second->borrow) continue;
    if (!it->second->followers.empty()) it->second->failed_unseen = false;  // they have called it, and tell their calls
    for (auto follower : it->second->followers) router_.send(follower, place_of(actor));
  }
}

void Owner::on(Placed& event) {
  const auto& place = *event.place;
  if (maker_of(place.actor.value) != event.from) return;
  perform();  // what was decided before still goes to the old place; afterwards nothing may
  const auto it = actors_.find(place.actor);
  if (it == actors_.end() || !it->second->borrow || it->second->killed) return;
  it->second->told = place.state;
  if (place.error) it->second->last_error = share(*place.error);
  actor_table_.set_limits(place.actor, {.max_restarts = -1, .max_task_retries = place.max_task_retries, .unordered = place.unordered});
  if (place.state == core::ActorState::kDead) {
    leases_.erase(actor_table_.lease_of(place.actor));
    const auto why = place.creation_failed ? core::CallFailure::kCreationFailed : core::CallFailure::kActorDied;
    return actor_table_.ended(place.actor, why, actor_effects_);
  }
  const auto before = actor_table_.lease_of(place.actor);
  if (before && before != place.lease) {
    leases_.erase(before);
    actor_table_.lease_lost(before, actor_effects_);
  }
  if (place.state != core::ActorState::kAlive || before == place.lease) return;
  if (leases_.contains(place.lease)) return;  // another one's: a message of no sense
  leases_[place.lease] = {.info = {.id = place.lease}, .worker = place.worker};
  actor_table_.lease_granted(place.actor, place.lease, actor_effects_);
  actor_table_.created(place.actor, place.lease, actor_effects_);
}

void Owner::on(Gone& event) {
  for (auto& [id, actor] : actors_) {
    std::erase(actor->followers, event.process);
    if (actor->borrow && maker_of(id.value) == event.process) end_orphan(id);
  }
}

void Owner::end_orphan(ActorId actor) {
  actors_.at(actor)->last_error = share({.code = ErrorCode::kOwnerDied, .message = "the process that spawned it has ended, and the actor with it"});
  leases_.erase(actor_table_.lease_of(actor));
  actor_table_.ended(actor, core::CallFailure::kActorDied, actor_effects_);
}

/// Takes what concerns borrowed actors out of the effects: their owner does the rest.
void Owner::leave_borrowed_to_owner(core::ActorEffects& effects) {
  const auto borrowed = [this](ActorId actor) {
    const auto it = actors_.find(actor);
    return it != actors_.end() && it->second->borrow;
  };
  std::erase_if(effects.want, borrowed);
  std::erase_if(effects.withdraw, borrowed);
  std::erase_if(effects.create, [&](const auto& each) { return borrowed(each.actor); });
  std::vector<core::ActorEffects::Destroy> done;
  std::erase_if(effects.destroy, [&](const auto& each) {
    if (!borrowed(each.actor)) return false;
    done.push_back(each);
    return true;
  });
  for (const auto& [actor, lease, busy] : done) {
    leases_.erase(lease);
    core::ActorEffects more;
    actor_table_.destroyed(actor, more);
    effects.failures.insert(effects.failures.end(), more.failures.begin(), more.failures.end());
    effects.forgotten.insert(effects.forgotten.end(), more.forgotten.begin(), more.forgotten.end());
  }
}

}  // namespace manta::detail
