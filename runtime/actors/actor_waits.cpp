#include "runtime/actors/actor_waits.hpp"

namespace manta::detail {

std::string number_of(ActorId actor) { return "actor #" + std::to_string(actor.value & 0xffffffffffull); }

ActorWaits::Wait::Wait(ActorWaits& waits, ActorId waiter, const std::string& method, ActorId target, std::function<bool()> is_over)
    : waits_(waits), waiter_(waiter),
      alarm_(waits.tell({.waiter = waiter, .target = target, .what = method + " of " + number_of(waiter)}, std::move(is_over))) {}

ActorWaits::Wait::~Wait() {
  waits_.forget(waiter_);
  waits_.router_.send(kNodeProcess, wire::ActorWaiting{.waiter = waiter_});
}

std::string ActorWaits::chain(ActorId question, ActorId actor, Deadline deadline) {
  const auto answer = tell({.waiter = question, .target = actor}, nullptr);
  const bool answered = answer->wait(deadline);
  forget(question);
  return answered ? answer->error()->message : std::string();
}

std::shared_ptr<Cell> ActorWaits::tell(wire::ActorWaiting waiting, std::function<bool()> is_over) {
  auto alarm = std::make_shared<Cell>(type_ops<Void>());
  {
    std::lock_guard lock(mutex_);
    alarms_[waiting.waiter] = {.cell = alarm, .is_over = std::move(is_over)};
  }
  router_.send(kNodeProcess, std::move(waiting));
  return alarm;
}

void ActorWaits::forget(ActorId waiter) {
  std::lock_guard lock(mutex_);
  alarms_.erase(waiter);
}

void ActorWaits::deliver(const wire::DeadlockFound& found) {
  if (is_question(found)) return confirm(found.waiter, found.round);
  std::shared_ptr<Cell> alarm;
  {
    std::lock_guard lock(mutex_);
    const auto it = alarms_.find(found.waiter);
    if (it != alarms_.end() && it->second.confirmed == found.round) alarm = it->second.cell;  // else it is of an earlier wait
  }
  if (alarm) alarm->set_error(std::make_shared<const ErrorInfo>(found.error));
}

void ActorWaits::confirm(ActorId waiter, std::uint64_t round) {
  {
    std::lock_guard lock(mutex_);
    const auto it = alarms_.find(waiter);
    if (it == alarms_.end() || !it->second.is_over || it->second.is_over()) return;  // the word of its end is on its way, or soon will be
    it->second.confirmed = round;
  }
  router_.send(kNodeProcess, wire::ActorWaiting{.waiter = waiter, .round = round});
}

SharedWaitGraph::Letters SharedWaitGraph::told(const wire::ActorWaiting& waiting, ProcessId from) {
  std::lock_guard lock(mutex_);
  if (waiting.round) {
    const auto cycle = graph_.confirm(waiting.waiter, waiting.round);
    if (cycle.empty()) return {};
    return {{graph_.host(cycle.front()), {.waiter = cycle.front(), .error = error_of(cycle), .round = waiting.round}}};
  }
  if (!waiting.target) return graph_.done(waiting.waiter), Letters{};
  if (waiting.what.empty())
    return {{from, {.waiter = waiting.waiter, .error = {.code = ErrorCode::kTimeout, .message = chain_in_words(waiting.target)}}}};
  auto cycle = graph_.wait(waiting.waiter, waiting.what, waiting.target, from);
  Letters questions;
  for (auto member : cycle) questions.push_back({graph_.host(member), {.waiter = member}});
  if (cycle.empty()) return questions;
  const auto round = graph_.ask(std::move(cycle));
  for (auto& [to, question] : questions) question.round = round;
  return questions;
}

ErrorInfo SharedWaitGraph::error_of(const std::vector<ActorId>& cycle) const {
  std::string text;
  for (auto actor : cycle) text += graph_.what(actor) + " waits for ";
  text += cycle.size() == 1 ? "its own actor" : graph_.what(cycle.front());
  return {.code = ErrorCode::kDeadlockDetected,
          .message = text + ": an actor that runs one call at a time cannot serve a call that its own waits for. Await it in a "
                            "coroutine (Async), return the ref, or raise max_concurrency",
          .where = graph_.what(cycle.front())};
}

std::string SharedWaitGraph::chain_in_words(ActorId from) const {
  constexpr std::size_t kShown = 16;
  const auto chain = graph_.chain(from, kShown);
  std::string text;
  for (std::size_t i = 0; i + 1 < chain.size(); ++i) text += graph_.what(chain[i]) + " waits for ";
  if (text.empty()) return text;
  const auto last = graph_.what(chain.back());
  return text + (last.empty() ? number_of(chain.back()) : last);
}

void SharedWaitGraph::drop_owner(ProcessId owner) {
  std::lock_guard lock(mutex_);
  graph_.drop_owner(owner);
}

}  // namespace manta::detail
