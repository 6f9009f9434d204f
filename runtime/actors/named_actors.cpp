#include "runtime/actors/named_actors.hpp"

#include <algorithm>

namespace manta::detail {

namespace {

constexpr std::chrono::seconds kEndingTime{5};  // how long a name may still be held by an actor that ends
constexpr std::chrono::minutes kMakingTime{2};  // how long one is waited for whose arguments are serialised, or wait for room
constexpr std::chrono::milliseconds kMaxPause{20};

core::ActorClass class_of(const FunctionEntry& type) {
  const auto key = function_key(type);
  return {key.module, key.offset, type.name()};
}

std::string quoted(const std::string& name) { return "\"" + name + "\""; }

[[noreturn]] void throw_still_making(const std::string& name, bool elsewhere) {
  throw Timeout("the actor named " + quoted(name) + " has not been made within " + std::to_string(kMakingTime.count()) + " minutes: " +
                (elsewhere ? "the process that spawns it" : "its spawn") + " still serialises its constructor's arguments, or waits for room for "
                "them" + (elsewhere ? ", or does not answer" : "") + ". Try again later, or pass what is large as an ObjectRef");
}

}  // namespace

std::shared_ptr<ActorLink> NamedActors::spawn(std::shared_ptr<TaskRecord> constructor, std::shared_ptr<const ActorOptions> options,
                                              const FunctionEntry& type) {
  const auto& name = options->name;
  const auto latest = SteadyClock::now() + kMakingTime;
  auto give_up = latest;
  ActorId ending;
  for (std::chrono::milliseconds pause{1};; pause = std::min(2 * pause, kMaxPause)) {
    ActorId holder;
    if (auto link = claim(constructor, options, type, holder)) return link;
    if (auto link = link_to(holder, name, latest)) {
      if (options->get_if_exists) return link;
      throw InvalidArgument("an actor named " + quoted(name) + " exists: take it by find_actor or .get_if_exists = true, or give "
                            "this one another name (.label is for messages only)");
    }
    const auto now = SteadyClock::now();
    if (std::exchange(ending, holder) != holder) give_up = std::min(now + kEndingTime, latest);
    if (now > give_up)
      throw ResourceExhausted("the actor named " + quoted(name) + " has no handle left but has not ended yet: try again");
    rest(pause);
  }
}

/// The new actor; null when another one has the name, `holder`.
std::shared_ptr<ActorLink> NamedActors::claim(const std::shared_ptr<TaskRecord>& constructor, const std::shared_ptr<const ActorOptions>& options,
                                              const FunctionEntry& type, ActorId& holder) {
  if (const auto* work = CancelSlot::submitting(); work && work->cancelled_with_children()) CancelSlot::check();
  const auto actor = ids_.next<ActorId>();
  begin_making(actor);  // ahead of the claim: as soon as the node has heard that, others may ask for the actor
  try {
    const auto reply = ask_({.operation = wire::NameOperation::kClaim, .name = options->name, .actor = actor, .type = class_of(type)});
    if (reply.error) throw_error(*reply.error);
    holder = reply.actor;
    auto link = holder == actor ? owner_.spawn(constructor, options, actor) : nullptr;
    end_making(actor, link);
    return link;
  } catch (...) {
    // Perhaps nobody waited for the answer to the claim. The node hears this behind it, and lets go only a name that is this actor's.
    router_.send(kNodeProcess, wire::NameRequest{.operation = wire::NameOperation::kRelease, .name = options->name, .actor = actor});
    end_making(actor, nullptr);
    throw;
  }
}

void NamedActors::begin_making(ActorId actor) {
  auto making = std::make_shared<Making>();
  std::lock_guard lock(mutex_);
  making_.emplace(actor, std::move(making));
}

/// Null: it is not made, and has no name any more.
void NamedActors::end_making(ActorId actor, const std::shared_ptr<ActorLink>& link) {
  std::shared_ptr<Making> making;
  std::vector<Making::Asker> askers;
  {
    std::lock_guard lock(mutex_);
    const auto it = making_.find(actor);
    if (it == making_.end()) return;
    if (link) note_own(actor, link);
    making = std::move(it->second);
    making_.erase(it);
    askers.swap(making->askers);
  }
  settle(making->over);
  for (const auto& each : askers) answer(each.process, each.request, link);
}

/// Looks for those that have gone each time that there are twice as many as were left the last time: each is looked at twice on average.
void NamedActors::note_own(ActorId actor, const std::shared_ptr<ActorLink>& link) {
  if (own_.size() >= look_at_) {
    std::erase_if(own_, [](const auto& each) { return each.second.expired(); });
    look_at_ = std::max(kFew, 2 * own_.size());
  }
  own_[actor] = link;
}

std::shared_ptr<ActorLink> NamedActors::find(const std::string& name, const FunctionEntry& type) {
  const auto latest = SteadyClock::now() + kMakingTime;
  for (ActorId before;;) {
    const auto reply = ask_({.operation = wire::NameOperation::kFind, .name = name, .type = class_of(type)});
    if (reply.error) throw_error(*reply.error);
    if (auto link = link_to(reply.actor, name, latest)) return link;
    if (std::exchange(before, reply.actor) == reply.actor)  // else it may not have been made, and the name is another one's or free
      throw NotFound("the actor named " + quoted(name) + " is ending: its last handle has gone");
  }
}

std::shared_ptr<ActorLink> NamedActors::known_link(ActorId actor) const {
  const auto it = own_.find(actor);
  return it == own_.end() ? nullptr : it->second.lock();
}

std::shared_ptr<ActorLink> NamedActors::own_link(ActorId actor, const std::string& name, SteadyClock::time_point latest) {
  std::shared_ptr<Making> making;
  {
    std::lock_guard lock(mutex_);
    const auto it = making_.find(actor);
    if (it == making_.end()) return known_link(actor);
    making = it->second;
  }
  if (!wait_(making->over, latest)) throw_still_making(name, false);
  std::lock_guard lock(mutex_);
  return known_link(actor);
}

/// Waits until it has been made; null when it has not, or has no handle left.
std::shared_ptr<ActorLink> NamedActors::link_to(ActorId actor, const std::string& name, SteadyClock::time_point latest) {
  const auto owner = maker_of(actor.value);
  if (owner == router_.self()) return own_link(actor, name, latest);
  auto pending = std::make_shared<Pending>();
  pending->asked = owner;
  wire::ActorRequest request{.actor = actor, .operation = wire::ActorOperation::kLend};
  {
    std::lock_guard lock(mutex_);
    request.request = next_request_++;
    pending_[request.request] = pending;
  }
  if (references_.is_gone(owner))
    process_gone(owner);
  else
    router_.send(owner, request);
  if (!wait_(pending->done, latest)) throw_still_making(name, true);  // the answer, when it comes, is dropped
  return pending->link;
}

/// Hears a cancel, as every wait.
void NamedActors::rest(std::chrono::milliseconds time) {
  Cell never(type_ops<Void>());
  wait_(never, SteadyClock::now() + time);
}

void NamedActors::lend(ProcessId to, const wire::ActorRequest& request) {
  std::shared_ptr<ActorLink> link;
  {
    std::lock_guard lock(mutex_);
    if (const auto it = making_.find(request.actor); it != making_.end()) return it->second->askers.push_back({to, request.request});
    link = known_link(request.actor);
  }
  answer(to, request.request, std::move(link));
}

void NamedActors::answer(ProcessId to, std::uint64_t request, std::shared_ptr<ActorLink> link) {
  wire::ActorLent lent{.request = request};
  if (link) {
    References references{{ReferenceKind::kActor, std::move(link)}};
    lent.value = references_.outgoing(EncodedValue{.references = std::make_shared<const References>(std::move(references))}, to);
  }
  router_.send(to, std::move(lent));
}

void NamedActors::settle(Cell& cell) { cell.set_value(std::make_shared<const Void>()); }

void NamedActors::deliver(ProcessId from, wire::ActorLent lent) {
  references_.incoming(lent.value, from);
  std::shared_ptr<Pending> pending;
  {
    std::lock_guard lock(mutex_);
    const auto it = pending_.find(lent.request);
    if (it == pending_.end() || it->second->asked != from) return;
    pending = std::move(it->second);
    pending_.erase(it);
  }
  const auto references = ReferenceKeeper::of(lent.value);
  if (references && references->size() == 1 && references->front().kind == ReferenceKind::kActor)
    pending->link = std::static_pointer_cast<ActorLink>(references->front().target);
  settle(pending->done);
}

void NamedActors::process_gone(ProcessId process) {
  std::vector<std::shared_ptr<Pending>> lost;
  {
    std::lock_guard lock(mutex_);
    std::erase_if(pending_, [&](auto& each) { return each.second->asked == process && (lost.push_back(each.second), true); });
    for (auto& [actor, making] : making_) std::erase_if(making->askers, [&](const auto& each) { return each.process == process; });
  }
  for (auto& each : lost) settle(each->done);
}

wire::NameReply SharedActorDirectory::answer(const wire::NameRequest& request) {
  constexpr std::size_t kMaxNames = 20;
  wire::NameReply reply{.request = request.request, .actor = request.actor};
  std::lock_guard lock(mutex_);
  if (request.operation == wire::NameOperation::kRelease) return directory_.release(request.name, request.actor), reply;
  const bool claim = request.operation == wire::NameOperation::kClaim;
  const auto* known = claim ? directory_.claim(request.name, {request.actor, request.type}) : directory_.find(request.name);
  if (known && !(known->type == request.type)) {
    reply.error = ErrorInfo{.code = ErrorCode::kInvalidArgument,
                            .message = "the actor named " + quoted(request.name) + " is a " + known->type.name + ", not a " +
                                       request.type.name + ": find it as that" + (claim ? ", or give this one another name" : "")};
  } else if (known) {
    reply.actor = known->actor;
  } else if (!claim) {
    std::string names;
    for (const auto& each : directory_.names(kMaxNames)) names += (names.empty() ? "" : ", ") + quoted(each);
    if (directory_.size() > kMaxNames) names += ", and " + std::to_string(directory_.size() - kMaxNames) + " more";
    reply.error = ErrorInfo{.code = ErrorCode::kNotFound,
                            .message = "no actor is named " + quoted(request.name) + "; there " +
                                       (names.empty() ? "is none with a name" : "is " + names)};
  }
  return reply;
}

void SharedActorDirectory::drop_owner(ProcessId owner) {
  std::lock_guard lock(mutex_);
  directory_.drop_owner(owner);
}

}  // namespace manta::detail
