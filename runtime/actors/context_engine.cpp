#include "runtime/actors/context_engine.hpp"

#include "runtime/in_task.hpp"

namespace manta::detail {

void ContextEngine::run_by(Executor* executor) {
  std::lock_guard lock(mutex_);
  executor_ = executor;
}

void ContextEngine::run_no_more_by(Executor* executor) {
  std::lock_guard lock(mutex_);
  if (executor_ == executor) executor_ = nullptr;
}

std::shared_ptr<Executor> ContextEngine::runner() {
  std::lock_guard lock(mutex_);
  return executor_ ? executor_->self().lock() : nullptr;
}

/// On a thread that runs no work. The Context may go meanwhile, so this engine is kept.
template <class F>
auto ContextEngine::as_helper(F&& f) {
  const auto keep = shared_from_this();
  const Executor::HelperThread helper(runner());
  return f();
}

void ContextEngine::submit(std::shared_ptr<TaskRecord> record, std::shared_ptr<const TaskOptions> options) {
  if (in_task()) return engine_->submit(std::move(record), std::move(options));
  as_helper([&] { engine_->submit(std::move(record), std::move(options)); });
}

std::shared_ptr<ActorLink> ContextEngine::spawn(std::shared_ptr<TaskRecord> constructor, std::shared_ptr<const ActorOptions> options,
                                                const FunctionEntry& type) {
  if (in_task()) return engine_->spawn(std::move(constructor), std::move(options), type);
  return as_helper([&] { return engine_->spawn(std::move(constructor), std::move(options), type); });
}

std::shared_ptr<ActorLink> ContextEngine::find_actor(const std::string& name, const FunctionEntry& type) {
  if (in_task()) return engine_->find_actor(name, type);
  return as_helper([&] { return engine_->find_actor(name, type); });
}

bool ContextEngine::wait(Cell& cell, Deadline deadline) {
  if (cell.settled()) return true;
  if (in_task()) return engine_->wait(cell, deadline);
  return as_helper([&] { return engine_->wait(cell, deadline); });
}

bool ContextEngine::wait_some(std::span<Cell* const> cells, std::size_t count, Deadline deadline, bool fail_fast) {
  if (in_task()) return engine_->wait_some(cells, count, deadline, fail_fast);
  return as_helper([&] { return engine_->wait_some(cells, count, deadline, fail_fast); });
}

bool ContextEngine::wait_while(std::atomic<std::uint32_t>& word, std::uint32_t value, Deadline deadline, std::span<Cell* const> cells) {
  if (in_task()) return engine_->wait_while(word, value, deadline, cells);
  return as_helper([&] { return engine_->wait_while(word, value, deadline, cells); });
}

}  // namespace manta::detail
