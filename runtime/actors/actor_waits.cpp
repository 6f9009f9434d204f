#include "runtime/actors/actor_waits.hpp"

namespace manta::detail {

std::shared_ptr<Cell> ActorWaits::begin(ActorId waiter, std::string what, ActorId target) {
  auto alarm = std::make_shared<Cell>(type_ops<Void>());
  {
    std::lock_guard lock(mutex_);
    alarms_[waiter] = alarm;
  }
  router_.send(kNodeProcess, wire::ActorWaiting{.waiter = waiter, .target = target, .what = std::move(what)});
  return alarm;
}

void ActorWaits::end(ActorId waiter) {
  {
    std::lock_guard lock(mutex_);
    alarms_.erase(waiter);
  }
  router_.send(kNodeProcess, wire::ActorWaiting{.waiter = waiter});
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

void SharedWaitGraph::drop_owner(ProcessId owner) {
  std::lock_guard lock(mutex_);
  graph_.drop_owner(owner);
}

}  // namespace manta::detail
