#include "runtime/core/actor_table.hpp"

#include <algorithm>
#include <iterator>
#include <tuple>

#include "runtime/core/task_table.hpp"

namespace manta::core {

namespace {

/// What is in flight is in the order in which it was sent.
template <class Calls>
auto find_sent(Calls& calls, const CallNode& call) {
  const auto found = std::partition_point(calls.begin(), calls.end(), [&call](const CallNode* each) { return each->sent < call.sent; });
  return found != calls.end() && *found == &call ? found : calls.end();
}

/// What waits is in this order: what was sent as it was sent, then what was not, as it was made. But for calls of several threads: their
/// ids may have been given in another order.
template <class Calls>
auto find_waiting(Calls& calls, const CallNode& call) {
  const auto is_before = [&call](const CallNode* each) {
    if (each->sent == call.sent) return each->id < call.id;
    return each->sent != 0 && (call.sent == 0 || each->sent < call.sent);
  };
  const auto found = std::partition_point(calls.begin(), calls.end(), is_before);
  return found != calls.end() && *found == &call ? found : std::find(calls.begin(), calls.end(), &call);
}

}  // namespace

ActorTable::Entry* ActorTable::find(ActorId actor) {
  auto it = actors_.find(actor);
  return it == actors_.end() ? nullptr : &it->second;
}

ActorState ActorTable::state(ActorId actor) const {
  auto it = actors_.find(actor);
  return it == actors_.end() ? ActorState::kDead : it->second.state;
}

LeaseId ActorTable::lease_of(ActorId actor) const {
  auto it = actors_.find(actor);
  return it == actors_.end() ? LeaseId{} : it->second.lease;
}

ActorId ActorTable::actor_of(LeaseId lease) const {
  auto it = by_lease_.find(lease);
  return it == by_lease_.end() ? ActorId{} : it->second;
}

ActorTable::CallPlace ActorTable::place_of(const CallNode& call, const std::function<bool(const CallNode&)>& holds_up) const {
  const auto it = actors_.find(call.actor);
  if (it == actors_.end()) return {};
  const auto& [sent, waiting] = std::tie(it->second.in_flight, it->second.waiting);
  CallPlace place;
  auto count = [&place](const CallNode* each) {
    ++place.ahead;
    if (!place.first) place.first = each;
  };
  const auto found = find_sent(sent, call);
  place.sent = found != sent.end();
  for (auto each = sent.begin(); each != found; ++each)
    if ((*each)->interleaves)
      ++place.coroutines;
    else if (holds_up(**each))
      count(*each);
  if (!place.sent)
    for (auto each = waiting.begin(); each != waiting.end() && *each != &call; ++each) count(*each);
  return place;
}

bool ActorTable::has_calls_in_a_row(ActorId actor, std::size_t count) const {
  const auto it = actors_.find(actor);
  if (it == actors_.end() || it->second.in_flight.size() < count) return false;
  const auto first = it->second.in_flight.begin();
  return std::none_of(first, first + static_cast<std::ptrdiff_t>(count), [](const CallNode* call) { return call->interleaves; });
}

void ActorTable::create(ActorId actor, Limits limits, std::uint32_t unresolved, ActorEffects& effects) {
  auto [it, fresh] = actors_.try_emplace(actor, Entry{.limits = limits, .unresolved = unresolved});
  if (!fresh || unresolved) return;
  it->second.state = ActorState::kPending;
  effects.want.push_back(actor);
}

void ActorTable::constructor_argument_ready(ActorId actor, ActorEffects& effects) {
  auto* entry = find(actor);
  if (!entry || entry->state != ActorState::kWaitingForArguments || --entry->unresolved) return;
  entry->state = ActorState::kPending;
  effects.want.push_back(actor);
}

void ActorTable::constructor_argument_failed(ActorId actor, ActorEffects& effects) {
  auto* entry = find(actor);
  if (!entry || entry->state != ActorState::kWaitingForArguments) return;
  entry->creation_failed = true;
  end(actor, *entry, CallFailure::kCreationFailed, effects);
  forget_if_done(actor, effects);
}

void ActorTable::call(CallNode& call, ActorEffects& effects) {
  auto* entry = find(call.actor);
  if (!entry || entry->state == ActorState::kDead) {
    const bool failed = entry && entry->creation_failed;
    effects.failures.push_back({&call, failed ? CallFailure::kCreationFailed : CallFailure::kActorDied});
    return;
  }
  if (entry->limits.unordered && call.unresolved == 0 && entry->state == ActorState::kAlive && !entry->destroying)
    return send(call.actor, *entry, call, effects);
  entry->waiting.push_back(&call);
  if (call.unresolved == 0) flush(call.actor, *entry, effects);
}

void ActorTable::argument_ready(CallNode& call, ActorEffects& effects) {
  if (call.unresolved) --call.unresolved;
  auto* entry = find(call.actor);
  if (entry && call.unresolved == 0) flush_after(call, *entry, effects);
}

void ActorTable::withdraw(CallNode& call, ActorEffects& effects) {
  auto* entry = find(call.actor);
  if (!entry) return;
  stop_waiting(*entry, call);
  if (!entry->limits.unordered) flush(call.actor, *entry, effects);  // else it held up none
  destroy_if_done(call.actor, *entry, effects);
}

bool ActorTable::cancel(CallNode& call, ActorEffects& effects) {
  call.unwanted = true;
  auto* entry = find(call.actor);
  if (entry && find_sent(entry->in_flight, call) != entry->in_flight.end()) return false;
  withdraw(call, effects);
  return true;
}

/// What has changed is this call only: of an unordered actor no other can go for that, and there may be very many that wait.
void ActorTable::flush_after(CallNode& call, Entry& entry, ActorEffects& effects) {
  if (!entry.limits.unordered) return flush(call.actor, entry, effects);
  if (call.unresolved || entry.state != ActorState::kAlive || entry.destroying) return;
  if (stop_waiting(entry, call)) send(call.actor, entry, call, effects);
}

void ActorTable::flush(ActorId actor, Entry& entry, ActorEffects& effects) {
  if (entry.state != ActorState::kAlive || entry.destroying || awaits_returns(entry)) return;
  while (!entry.holding && !entry.waiting.empty() && entry.waiting.front()->unresolved == 0) {
    auto* call = entry.waiting.front();
    entry.waiting.pop_front();
    send(actor, entry, *call, effects);
  }
  if (!entry.limits.unordered || entry.waiting.empty()) return;
  entry.waiting.erase_if([&](CallNode* call) {
    if (call->unresolved) return false;
    send(actor, entry, *call, effects);
    return true;
  });
}

void ActorTable::send(ActorId actor, Entry& entry, CallNode& call, ActorEffects& effects) {
  entry.in_flight.push_back(&call);
  call.sent = ++entry.sends;
  call.losses = entry.losses;
  if (call.holds_back && !entry.limits.unordered) entry.holding = &call;
  effects.sends.push_back({actor, entry.lease, &call});
}

void ActorTable::lease_granted(ActorId actor, LeaseId lease, ActorEffects& effects) {
  auto* entry = find(actor);
  const bool wanted = entry && !entry->backing_off && (entry->state == ActorState::kPending || entry->state == ActorState::kRestarting);
  if (!wanted || entry->lease) {
    if (!entry || entry->lease != lease) effects.give_back.push_back(lease);
    return;
  }
  entry->lease = lease;
  entry->losses = 0;
  entry->returned = 0;
  by_lease_[lease] = actor;
  entry->state = ActorState::kStarting;
  effects.create.push_back({actor, lease});
}

void ActorTable::created(ActorId actor, LeaseId lease, ActorEffects& effects) {
  auto* entry = find(actor);
  if (!entry || entry->lease != lease || entry->state != ActorState::kStarting) return;
  entry->state = ActorState::kAlive;
  entry->deaths_while_starting = 0;
  effects.moved.push_back(actor);
  flush(actor, *entry, effects);
  destroy_if_done(actor, *entry, effects);
}

void ActorTable::creation_failed(ActorId actor, LeaseId lease, ActorEffects& effects) {
  auto* entry = find(actor);
  if (!entry || entry->lease != lease || entry->state != ActorState::kStarting) return;
  entry->creation_failed = true;
  by_lease_.erase(lease);
  entry->lease = {};
  effects.give_back.push_back(lease);
  end(actor, *entry, CallFailure::kCreationFailed, effects);
  forget_if_done(actor, effects);
}

bool ActorTable::construct_again(ActorId actor, LeaseId lease, bool waits, ActorEffects& effects) {
  auto* entry = find(actor);
  if (!entry || entry->lease != lease || entry->state != ActorState::kStarting) return false;
  entry->state = ActorState::kWaitingForArguments;
  entry->unresolved = waits ? 2 : 1;
  entry->emptying = true;
  destroy_if_done(actor, *entry, effects);
  return true;
}

/// The place where it was not constructed is free.
void ActorTable::emptied(ActorId actor, Entry& entry, ActorEffects& effects) {
  entry.emptying = false;
  if (entry.state == ActorState::kDead) return forget_if_done(actor, effects);
  constructor_argument_ready(actor, effects);
}

/// False when it was not in flight.
bool ActorTable::take_out(Entry& entry, const CallNode& call) {
  auto& calls = entry.in_flight;
  const auto found = find_sent(calls, call);
  if (found == calls.end()) return false;
  calls.erase(found);
  return true;
}

bool ActorTable::stop_waiting(Entry& entry, const CallNode& call) {
  const auto found = find_waiting(entry.waiting, call);
  if (found == entry.waiting.end()) return false;
  entry.waiting.erase(found);
  return true;
}

/// Those that wait are always in this order: what was sent as it was sent, then what was not.
void ActorTable::put_back(Entry& entry, CallNode& call) {
  auto& waiting = entry.waiting;
  const auto sent_before = [&call](const CallNode* each) { return each->sent != 0 && each->sent < call.sent; };
  waiting.insert(std::partition_point(waiting.begin(), waiting.end(), sent_before), &call);
}

bool ActorTable::awaits_returns(Entry& entry) {
  if (!entry.returned) return false;
  const auto& sent = entry.in_flight;
  if (!sent.empty() && (*std::prev(sent.end()))->sent > entry.returned) return true;
  entry.returned = 0;
  return false;
}

void ActorTable::came_back(const CallNode& call, std::uint32_t losses) {
  auto* entry = find(call.actor);
  if (!entry || find_sent(entry->in_flight, call) == entry->in_flight.end()) return;
  entry->losses = losses;
  if (!entry->returned && !entry->limits.unordered) entry->returned = call.sent;
}

void ActorTable::finished(CallNode& call, ActorEffects& effects) {
  auto* entry = find(call.actor);
  if (!entry) return;
  // What failed as it was sent may have been put back since, as its process was lost.
  bool held = !take_out(*entry, call) && stop_waiting(*entry, call);
  if (entry->holding == &call) entry->holding = nullptr, held = true;
  if (held || entry->returned) flush(call.actor, *entry, effects);
  destroy_if_done(call.actor, *entry, effects);
}

bool ActorTable::again(CallNode& call, ActorEffects& effects) {
  auto* entry = find(call.actor);
  if (!entry || call.unwanted || entry->state == ActorState::kDead || !take_out(*entry, call)) return false;
  put_back(*entry, call);
  if (entry->holding == &call) entry->holding = nullptr;
  flush_after(call, *entry, effects);
  return true;
}

void ActorTable::lease_lost(LeaseId lease, ActorEffects& effects, ProcessLoss loss) {
  auto it = by_lease_.find(lease);
  if (it == by_lease_.end()) return;
  const ActorId actor = it->second;
  by_lease_.erase(it);
  auto& entry = *find(actor);
  entry.lease = {};
  if (entry.emptying) return emptied(actor, entry, effects);
  if (entry.state == ActorState::kDead || entry.destroying) {
    end(actor, entry, CallFailure::kActorDied, effects);
    entry.destroying = false;
    forget_if_done(actor, effects);
    return;
  }
  const bool starting = entry.state == ActorState::kStarting;
  const bool unused = loss.unused && starting;
  const bool in_company = !unused && loss.shared && may_be_isolated(entry.limits);
  const bool charged = !unused && !in_company;
  if (charged && loss.own_doing && entry.limits.of_task) ++entry.own_deaths;
  const bool poisoned = entry.own_deaths >= TaskTable::kPoisonedAfter;
  if (poisoned || (charged && !has_restarts(entry))) {
    if (poisoned) effects.poisoned.push_back({actor, entry.own_deaths});
    end(actor, entry, CallFailure::kActorDied, effects);
    forget_if_done(actor, effects);
    return;
  }
  if (charged && !entry.limits.of_task) entry.deaths_while_starting = starting ? entry.deaths_while_starting + 1 : 0;
  restart(actor, entry, charged, effects);
  if (entry.dropped && entry.waiting.empty()) return destroy_if_done(actor, entry, effects);  // nobody can reach it any more
  if (in_company) {
    entry.limits.own_process = true;
    effects.isolate.push_back(actor);
  }
  const bool of_task = entry.limits.of_task;
  entry.backing_off = of_task ? !unused && (loss.for_memory || (charged && entry.limits.backs_off)) : !unused && entry.deaths_while_starting > 1;
  if (entry.backing_off)
    effects.back_off.push_back({actor, of_task ? entry.restarts : entry.deaths_while_starting - 1});
  else
    effects.want.push_back(actor);
}

/// `charged`: it is one of its restarts, and of the calls that were in flight each has lost a try.
void ActorTable::restart(ActorId actor, Entry& entry, bool charged, ActorEffects& effects) {
  if (charged) ++entry.restarts;
  entry.state = ActorState::kRestarting;
  effects.moved.push_back(actor);
  auto lost = std::move(entry.in_flight);
  entry.in_flight.clear();
  entry.holding = nullptr;
  for (auto* call : lost) {
    const bool again = !charged || entry.limits.max_task_retries < 0 || call->crashes < entry.limits.max_task_retries;
    if (again && !call->unwanted) {
      if (charged) ++call->crashes;
      put_back(entry, *call);
    } else {
      effects.failures.push_back({call, CallFailure::kUnavailable});
    }
  }
}

void ActorTable::restart_due(ActorId actor, ActorEffects& effects) {
  auto* entry = find(actor);
  if (!entry || !std::exchange(entry->backing_off, false) || entry->state != ActorState::kRestarting) return;
  effects.want.push_back(actor);
}

void ActorTable::end(ActorId actor, Entry& entry, CallFailure why, ActorEffects& effects) {
  if (entry.state == ActorState::kPending || entry.state == ActorState::kRestarting) effects.withdraw.push_back(actor);
  if (entry.state != ActorState::kDead) effects.moved.push_back(actor);
  entry.state = ActorState::kDead;
  for (auto* call : entry.in_flight) effects.failures.push_back({call, why});
  for (auto* call : entry.waiting) effects.failures.push_back({call, why});
  entry.in_flight.clear();
  entry.waiting.clear();
  entry.holding = nullptr;
}

void ActorTable::forget_if_done(ActorId actor, ActorEffects& effects) {
  auto* entry = find(actor);
  if (!entry || entry->state != ActorState::kDead || entry->lease || !entry->dropped) return;
  actors_.erase(actor);
  effects.forgotten.push_back(actor);
}

void ActorTable::destroy_if_done(ActorId actor, Entry& entry, ActorEffects& effects) {
  if (!entry.dropped || entry.destroying || !entry.waiting.empty() || !entry.in_flight.empty()) return;
  if (entry.state == ActorState::kAlive) {
    entry.destroying = true;
    effects.destroy.push_back({actor, entry.lease});
  } else if (entry.state != ActorState::kStarting) {
    end(actor, entry, CallFailure::kActorDied, effects);
    forget_if_done(actor, effects);
  }
}

void ActorTable::dropped(ActorId actor, ActorEffects& effects) {
  auto* entry = find(actor);
  if (!entry) return;
  entry->dropped = true;
  destroy_if_done(actor, *entry, effects);
}

void ActorTable::kill(ActorId actor, ActorEffects& effects) {
  auto* entry = find(actor);
  if (!entry || entry->state == ActorState::kDead || entry->destroying) return;
  const bool placed = entry->lease && !entry->emptying;
  const bool busy = entry->state == ActorState::kStarting || !entry->in_flight.empty();
  end(actor, *entry, CallFailure::kActorDied, effects);
  if (placed) {
    entry->destroying = true;
    effects.destroy.push_back({actor, entry->lease, busy});
  } else {
    forget_if_done(actor, effects);
  }
}

void ActorTable::destroyed(ActorId actor, ActorEffects& effects) {
  auto* entry = find(actor);
  if (entry && entry->emptying) {
    by_lease_.erase(entry->lease);
    effects.give_back.push_back(std::exchange(entry->lease, LeaseId{}));
    return emptied(actor, *entry, effects);
  }
  if (!entry || !entry->destroying) return;
  entry->destroying = false;
  end(actor, *entry, CallFailure::kActorDied, effects);
  by_lease_.erase(entry->lease);
  effects.give_back.push_back(std::exchange(entry->lease, LeaseId{}));
  forget_if_done(actor, effects);
}

void ActorTable::set_limits(ActorId actor, Limits limits) {
  if (auto* entry = find(actor)) entry->limits = limits;
}

void ActorTable::ended(ActorId actor, CallFailure why, ActorEffects& effects) {
  auto* entry = find(actor);
  if (!entry) return;
  entry->creation_failed |= why == CallFailure::kCreationFailed;
  entry->destroying = false;
  by_lease_.erase(std::exchange(entry->lease, LeaseId{}));
  end(actor, *entry, why, effects);
  forget_if_done(actor, effects);
}

void ActorTable::regained(ActorId actor) {
  if (auto* entry = find(actor)) entry->dropped = false;
}

bool ActorTable::failed_in_constructor(ActorId actor) const {
  auto it = actors_.find(actor);
  return it != actors_.end() && it->second.creation_failed;
}

int ActorTable::pauses_after(ActorId actor) const {
  const auto it = actors_.find(actor);
  return it == actors_.end() || !it->second.backing_off ? 0 : it->second.deaths_while_starting;
}

bool ActorTable::may_restart(ActorId actor) const {
  const auto it = actors_.find(actor);
  if (it == actors_.end()) return false;
  const auto& entry = it->second;
  return entry.state != ActorState::kDead && (has_restarts(entry) || may_be_isolated(entry.limits));
}

void ActorTable::exited(ActorId actor, ActorEffects& effects) {
  auto* entry = find(actor);
  if (!entry || !entry->lease) return;
  entry->destroying = true;
  destroyed(actor, effects);
}

}  // namespace manta::core
