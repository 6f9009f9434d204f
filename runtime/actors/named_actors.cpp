#include "runtime/actors/named_actors.hpp"

#include <thread>

namespace manta::detail {

namespace {

constexpr std::chrono::seconds kEndingTime{5};  // how long a name may still be held by an actor that ends

core::ActorClass class_of(const FunctionEntry& type) {
  const auto key = function_key(type);
  return {key.module, key.offset, type.name()};
}

std::string quoted(const std::string& name) { return "\"" + name + "\""; }

}  // namespace

std::shared_ptr<ActorLink> NamedActors::spawn(std::shared_ptr<TaskRecord> constructor, std::shared_ptr<const ActorOptions> options,
                                              const FunctionEntry& type) {
  const auto& name = options->name;
  const auto give_up = SteadyClock::now() + kEndingTime;
  while (true) {
    const auto actor = ids_.next<ActorId>();
    const auto reply = ask_({.operation = wire::NameOperation::kClaim, .name = name, .actor = actor, .type = class_of(type)});
    if (reply.error) throw_error(*reply.error);
    if (reply.actor == actor) {
      try {
        auto link = owner_.spawn(std::move(constructor), options, actor);
        std::lock_guard lock(mutex_);
        std::erase_if(own_, [](const auto& each) { return each.second.expired(); });
        own_[actor] = link;
        return link;
      } catch (...) {
        router_.send(kNodeProcess, wire::NameRequest{.operation = wire::NameOperation::kRelease, .name = name, .actor = actor});
        throw;
      }
    }
    if (auto link = link_to(reply.actor)) {
      if (options->get_if_exists) return link;
      throw InvalidArgument("an actor named " + quoted(name) + " exists: take it by find_actor or .get_if_exists = true, or give "
                            "this one another name (.label is for messages only)");
    }
    if (SteadyClock::now() > give_up)
      throw ResourceExhausted("the actor named " + quoted(name) + " has no handle left but has not ended yet: try again");
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

std::shared_ptr<ActorLink> NamedActors::find(const std::string& name, const FunctionEntry& type) {
  const auto reply = ask_({.operation = wire::NameOperation::kFind, .name = name, .type = class_of(type)});
  if (reply.error) throw_error(*reply.error);
  if (auto link = link_to(reply.actor)) return link;
  throw NotFound("the actor named " + quoted(name) + " is ending: its last handle has gone");
}

std::shared_ptr<ActorLink> NamedActors::own_link(ActorId actor) {
  std::lock_guard lock(mutex_);
  const auto it = own_.find(actor);
  return it == own_.end() ? nullptr : it->second.lock();
}

std::shared_ptr<ActorLink> NamedActors::link_to(ActorId actor) {
  const auto owner = maker_of(actor.value);
  if (owner == router_.self()) return own_link(actor);
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
  wait_(pending->done);
  return pending->link;
}

void NamedActors::lend(ProcessId to, const wire::ActorRequest& request) {
  wire::ActorLent lent{.request = request.request};
  if (auto link = own_link(request.actor)) {
    References references{{ReferenceKind::kActor, std::move(link)}};
    lent.value = references_.outgoing(EncodedValue{.references = std::make_shared<const References>(std::move(references))}, to);
  }
  router_.send(to, std::move(lent));
}

void NamedActors::settle(Pending& pending) { pending.done.set_value(std::make_shared<const Void>()); }

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
  settle(*pending);
}

void NamedActors::process_gone(ProcessId process) {
  std::vector<std::shared_ptr<Pending>> lost;
  {
    std::lock_guard lock(mutex_);
    std::erase_if(pending_, [&](auto& each) { return each.second->asked == process && (lost.push_back(each.second), true); });
  }
  for (auto& each : lost) settle(*each);
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
