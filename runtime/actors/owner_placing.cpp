// What the owner does for its actors: places, constructs and ends them, and sends their calls.
#include "runtime/actors/actor_link.hpp"
#include "runtime/actors/owner.hpp"

namespace manta::detail {

namespace {

constexpr std::chrono::seconds kDestructorTime{2};  // of an actor that is killed, before its process is

std::shared_ptr<const ErrorInfo> share(ErrorInfo info) { return std::make_shared<const ErrorInfo>(std::move(info)); }

}  // namespace

bool Owner::has_own_process(const OwnedConstructor& actor) const {
  return actor.options->isolation == Isolation::kOwnProcess || actor.alone || (options_.portable && actor.options->num_gpus > Amount(0));
}

void Owner::perform_actors() {
  auto effects = std::exchange(actor_effects_, {});
  leave_borrowed_to_owner(effects);
  perform_deaths(effects);
  for (auto actor : effects.want) want_actor(actor, 1);
  for (auto actor : effects.withdraw) want_actor(actor, 0);
  for (const auto& [actor, lease] : effects.create) {
    if (!leases_.contains(lease) || !actors_.contains(actor)) continue;
    auto& constructor = *actors_.at(actor);
    auto& held = leases_.at(lease);
    held.info.lend_idle_cpus = !constructor.options->cpus_while_idle;
    const int attempt = ++constructor.starts;
    if (held.worker == router_.self())
      host_.create(router_.self(), actor, held.info, typed_work(constructor, constructor.id, attempt),
                   concurrency_of(*constructor.options));
    else
      create_elsewhere(constructor, held, attempt);
  }
  for (std::size_t i = 0; i < effects.sends.size();) {
    std::vector<OwnedCall*> group;
    const auto actor = effects.sends[i].actor;
    const auto lease = effects.sends[i].lease;
    for (; i < effects.sends.size() && effects.sends[i].actor == actor; ++i)
      group.push_back(static_cast<OwnedCall*>(effects.sends[i].call));
    send_calls(actor, lease, group);
  }
  release_names(effects.moved);  // first: who sees a call fail with ActorDied may give the name to another one
  for (const auto& [call, why] : effects.failures) fail_call(static_cast<OwnedCall&>(*call), why);
  for (const auto& [actor, lease, busy] : effects.destroy) {
    const auto it = actors_.find(actor);
    if (!leases_.contains(lease)) continue;
    const auto& held = leases_.at(lease);
    const bool kill = it != actors_.end() && it->second->killed;
    if (it != actors_.end() && it->second->unsent) {  // its place knows nothing of it
      deliver(wire::ActorDestroyed{.actor = actor});
      continue;
    }
    const bool at_once = kill && held.own_process && !it->second->ended_at_stop;
    if (at_once && busy) {
      end_process_of(actor, lease);
      continue;
    }
    if (at_once)  // its destructor may run, but not for long
      timer_.at(SteadyClock::now() + kDestructorTime, [this, actor = actor, lease = lease] { actor_->tell(KillDue{actor, lease}); });
    router_.send(held.worker, wire::DestroyActor{.actor = actor, .kill = kill});
  }
  for (auto lease : effects.give_back) {
    leases_.erase(lease);
    router_.send(kNodeProcess, wire::ReleaseLease{.lease = lease});
  }
  tell_followers(effects.moved);
  for (auto actor : effects.moved)
    if (const auto it = actors_.find(actor); it != actors_.end()) let_go_if_over(*it->second);
  for (auto actor : effects.forgotten) {
    const auto it = actors_.find(actor);
    if (it == actors_.end()) continue;
    log_if_unseen(*it->second);
    if (it->second->unresolved && it->second->starts == 0 && it->second->record) let_go_arguments(*it->second);
    throw_away_record(*it->second);
    actors_.erase(it);
    counts_.actor_ended();
  }
}

/// It was not constructed there: the host forgets it, the lease goes back.
void Owner::empty_place(ActorId actor, LeaseId lease) {
  if (const auto held = leases_.find(lease); held != leases_.end())
    router_.send(held->second.worker, wire::DestroyActor{.actor = actor, .kill = true});
}

void Owner::on_created(wire::ActorCreated& created) {
  auto it = actors_.find(created.actor);
  if (it == actors_.end() || it->second->borrow || !created.lease || actor_table_.lease_of(created.actor) != created.lease)
    return;  // that lease's loss has overtaken it, or it is a message of no sense
  if (const auto constructor = it->second; created.outcome.lost && recover(constructor, created.lease, created.outcome)) return;
  if (auto* error = std::get_if<ErrorInfo>(&created.outcome.result)) {
    it->second->last_error = share(std::move(*error));
    it->second->failed_unseen = !it->second->killed;
    if (!it->second->unsent) empty_place(created.actor, created.lease);
    actor_table_.creation_failed(created.actor, created.lease, actor_effects_);
  } else {
    actor_table_.created(created.actor, created.lease, actor_effects_);
  }
  if (actor_table_.may_restart(created.actor)) return;
  let_go_arguments(*it->second);  // it is constructed once, and has been
  it->second->encoded.reset();
}

void Owner::on_destroyed(const wire::ActorDestroyed& destroyed) {
  const auto actor = destroyed.actor;
  const auto it = actors_.find(actor);
  if (destroyed.exited && it != actors_.end() && !it->second->last_error)
    it->second->last_error = share({.code = ErrorCode::kActorDied, .message = "it ended itself by exit_actor()"});
  destroyed.exited ? actor_table_.exited(actor, actor_effects_) : actor_table_.destroyed(actor, actor_effects_);
  if (it != actors_.end()) let_go_if_over(*it->second);
}

/// Nothing constructs it any more.
void Owner::let_go_if_over(OwnedConstructor& actor) {
  if (actor.borrow || actor_table_.state(actor.actor) != core::ActorState::kDead || actor_table_.lease_of(actor.actor)) return;
  let_go_arguments(actor);
  actor.encoded.reset();
}

/// What becomes of generator tasks whose processes died: as of any task. Before they are placed anew, or their calls fail.
void Owner::perform_deaths(const core::ActorEffects& effects) {
  for (const auto actor : effects.isolate)
    if (const auto it = actors_.find(actor); it != actors_.end()) it->second->alone = true;
  for (const auto& [actor, restarts] : effects.back_off) arm_restart(actor, restarts);
  for (const auto& [actor, deaths] : effects.poisoned) {
    const auto it = actors_.find(actor);
    if (it == actors_.end()) continue;
    const auto last = std::exchange(it->second->last_error, nullptr);
    it->second->last_error = share({.code = ErrorCode::kTaskPoisoned,
                                    .message = "it ended " + std::to_string(deaths) + " worker processes by its own doing, the last one " +
                                               (last ? last->message : "was lost") +
                                               ": it is not tried again; fix the generator, the worker's output may say more",
                                    .where = *it->second->label});
  }
}

void Owner::arm_restart(ActorId actor, int restarts) {
  const auto it = actors_.find(actor);
  if (it == actors_.end()) return;
  const auto& own = it->second->options->backoff;
  const auto wait = time_before(restarts, own.initial > std::chrono::nanoseconds(0) ? own : kMemoryBackoff);
  if (const auto due = deadline_in(wait)) timer_.at(*due, [this, actor] { actor_->tell(RestartDue{actor}); }, until_done(it->second));
}

void Owner::on(RestartDue& event) { actor_table_.restart_due(event.actor, actor_effects_); }

void Owner::create_elsewhere(OwnedConstructor& constructor, const HeldLease& held, int attempt) {
  auto task = wire_task(constructor, constructor.id, attempt, held.worker);
  constructor.unsent = !task;
  if (!task)
    return actor_->tell(make_pooled<wire::ActorCreated>(
        wire::ActorCreated{.actor = constructor.actor, .lease = held.info.id, .outcome = {.id = constructor.id, .result = task.error()}}));
  router_.send(held.worker, wire::CreateActor{.owner = router_.self(), .actor = constructor.actor, .lease = held.info, .name = *constructor.label,
                                              .constructor = std::move(*task), .concurrency = concurrency_of(*constructor.options)});
}

void Owner::end_process_of(ActorId actor, LeaseId lease) {
  router_.send(kNodeProcess, wire::ReleaseLease{.lease = lease, .kill = true});
  deliver(wire::ActorDestroyed{.actor = actor});
}

void Owner::on(KillDue& event) {
  if (actor_table_.lease_of(event.actor) == event.lease) end_process_of(event.actor, event.lease);
}

/// As for a task's failure that nobody asks for: each call would have been told of this one.
void Owner::log_if_unseen(OwnedConstructor& actor) const {
  if (!std::exchange(actor.failed_unseen, false)) return;
  log_unseen_failure({.code = ErrorCode::kActorCreationFailed, .message = describe(actor) + " could not be constructed, and was never called",
                      .cause = actor.last_error});
}

void Owner::fail_call(OwnedCall& call, core::CallFailure why) {
  if (!calls_.contains(call.id)) return;  // its result came after all
  auto it = actors_.find(call.actor);
  ErrorInfo error{.where = *call.name()};
  const std::string who = it == actors_.end() ? "the actor" : describe(*it->second);
  if (it != actors_.end()) error.cause = it->second->last_error;
  switch (why) {
    case core::CallFailure::kActorDied:
      error.code = ErrorCode::kActorDied;
      error.message = who + " is gone; make a new one";
      if (error.cause) error.message += " (" + error.cause->message + ")";
      if (error.cause ? error.cause->code == ErrorCode::kRuntimeStopped : stopped_.load()) error.code = ErrorCode::kRuntimeStopped;
      break;
    case core::CallFailure::kUnavailable:
      error.code = ErrorCode::kActorUnavailable;
      error.message = who + " lost its process and is being restarted; this call may or may not have run: ask the actor, or "
                            "set max_task_retries for calls that may run twice";
      break;
    case core::CallFailure::kCreationFailed:
      error.code = ErrorCode::kActorCreationFailed;
      if (it != actors_.end()) it->second->failed_unseen = false;
      error.message = who + " could not be constructed";
      if (error.cause) error.message += ": " + error.cause->message;
      break;
  }
  // A generator task is no actor to its user: what ended it is the error, as for any task.
  const bool of_stream = it != actors_.end() && it->second->options && it->second->options->of_stream;
  if (of_stream && error.cause && why != core::CallFailure::kUnavailable && error.cause->code != ErrorCode::kActorDied) {
    if (error.code != ErrorCode::kRuntimeStopped) error = ErrorInfo(*error.cause);
    if (error.code == ErrorCode::kWorkerCrashed || error.code == ErrorCode::kOutOfMemory) {
      error.message = death_in_words(error.code, error.message, it->second->starts, it->second->starts);
      error.where = *it->second->label;
    }
    if (error.where.empty()) error.where = *call.name();
  }
  call.record->result->set_error(share(std::move(error)));
  call.unresolved ? let_go_arguments(call) : throw_away_record(call);  // it may be running, unless they have never been there
  counts_.ended(calls_.erase(call.id));
}

}  // namespace manta::detail
