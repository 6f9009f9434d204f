#include "runtime/actors/actor_waits.hpp"

namespace manta::detail {

std::string number_of(ActorId actor) { return "actor #" + std::to_string(actor.value & 0xffffffffffull); }

ActorWaits::Wait::Wait(ActorWaits& waits, ActorId waiter, const std::string& method, ActorId target)
    : waits_(waits), waiter_(waiter),
      alarm_(waits.tell({.waiter = waiter, .target = target, .what = method + " of " + number_of(waiter)})) {}

ActorWaits::Wait::~Wait() {
  waits_.forget(waiter_);
  waits_.router_.send(kNodeProcess, wire::ActorWaiting{.waiter = waiter_});
}

std::string ActorWaits::chain(ActorId question, ActorId actor, Deadline deadline) {
  const auto answer = tell({.waiter = question, .target = actor});
  const bool answered = answer->wait(deadline);
  forget(question);
  return answered ? answer->error()->message : std::string();
}

std::shared_ptr<Cell> ActorWaits::tell(wire::ActorWaiting waiting) {
  auto alarm = std::make_shared<Cell>(type_ops<Void>());
  {
    std::lock_guard lock(mutex_);
    alarms_[waiting.waiter] = alarm;
  }
  router_.send(kNodeProcess, std::move(waiting));
  return alarm;
}

void ActorWaits::forget(ActorId waiter) {
  std::lock_guard lock(mutex_);
  alarms_.erase(waiter);
}

void ActorWaits::deliver(const wire::DeadlockFound& found) {
  std::shared_ptr<Cell> alarm;
  {
    std::lock_guard lock(mutex_);
    if (const auto it = alarms_.find(found.waiter); it != alarms_.end()) alarm = it->second;
  }
  if (alarm) alarm->set_error(std::make_shared<const ErrorInfo>(found.error));
}

std::optional<ErrorInfo> SharedWaitGraph::told(const wire::ActorWaiting& waiting, ProcessId from) {
  std::lock_guard lock(mutex_);
  if (!waiting.target) return graph_.done(waiting.waiter), std::nullopt;
  if (waiting.what.empty()) return ErrorInfo{.code = ErrorCode::kTimeout, .message = chain_in_words(waiting.target)};
  const auto cycle = graph_.wait(waiting.waiter, waiting.what, waiting.target, from);
  if (cycle.empty()) return std::nullopt;
  std::string text;
  for (auto actor : cycle) text += graph_.what(actor) + " waits for ";
  text += cycle.size() == 1 ? "its own actor" : graph_.what(cycle.front());
  return ErrorInfo{.code = ErrorCode::kDeadlockDetected,
                   .message = text + ": an actor that runs one call at a time cannot serve a call that its own waits for. Await it in a "
                                     "coroutine (Async), return the ref, or raise max_concurrency",
                   .where = waiting.what};
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
