#pragma once
// ContextEngine: the Engine of a Context, and so of what is made by it: builders, streams. It forwards to the process's. What a thread
// submits or waits for by it that runs no work itself, it does as a helper of the work whose Context it is
// (Executor::HelperThread). See docs/design/0030-threads-of-a-task.md.
//
// Made for each Draining, and anew when the work before has kept it; for each RunningCoroutine. Thread-safe.
#include "runtime/actors/executor.hpp"
#include "runtime/base/small_mutex.hpp"

namespace manta::detail {

class ContextEngine final : public Engine, public std::enable_shared_from_this<ContextEngine> {
 public:
  /// `executor`: see run_by.
  ContextEngine(std::shared_ptr<Engine> engine, Executor* executor) : engine_(std::move(engine)), executor_(executor) {}
  /// Who runs its work from now on, and lives until this is called again; null: nobody, it only forwards.
  void run_by(Executor* executor);
  /// Nobody, unless another one runs it already: the next stretch of a coroutine may be due before this one has returned.
  void run_no_more_by(Executor* executor);
  /// While it lives.
  class RunBy {
   public:
    RunBy(ContextEngine& engine, Executor& executor) : engine_(engine.shared_from_this()), executor_(executor) { engine_->run_by(&executor); }
    ~RunBy() { engine_->run_no_more_by(&executor_); }
    RunBy(const RunBy&) = delete;
    RunBy& operator=(const RunBy&) = delete;

   private:
    const std::shared_ptr<ContextEngine> engine_;
    Executor& executor_;
  };

  // Engine.
  void submit(std::shared_ptr<TaskRecord> record, std::shared_ptr<const TaskOptions> options) override;
  std::shared_ptr<ActorLink> spawn(std::shared_ptr<TaskRecord> constructor, std::shared_ptr<const ActorOptions> options,
                                   const FunctionEntry& type) override;
  std::shared_ptr<ActorLink> find_actor(const std::string& name, const FunctionEntry& type) override;
  bool wait(Cell& cell, Deadline deadline) override;
  bool wait_some(std::span<Cell* const> cells, std::size_t count, Deadline deadline, bool fail_fast) override;
  bool wait_while(std::atomic<std::uint32_t>& word, std::uint32_t value, Deadline deadline, std::span<Cell* const> cells) override;
  void put(Cell& cell, const PutOptions& options, const std::string& standard_tag) override { engine_->put(cell, options, standard_tag); }
  std::shared_ptr<Cell> find_durable(const TypeOps& ops, const std::string& name, const std::string& tag) override {
    return engine_->find_durable(ops, name, tag);
  }
  bool remove_durable(const std::string& name) override { return engine_->remove_durable(name); }
  std::vector<std::string> list_durable(const std::string& prefix) override { return engine_->list_durable(prefix); }
  void cancel(Cell& cell, const CancelOptions& options) override { engine_->cancel(cell, options); }
  void give_up(Cell& cell) override { engine_->give_up(cell); }
  std::string explain(Cell& cell) override { return engine_->explain(cell); }
  std::string explain_late(const std::shared_ptr<Cell>& cell) override { return engine_->explain_late(cell); }
  void post_callback(std::function<void()> callback) override { engine_->post_callback(std::move(callback)); }
  GroupHandle place_group(std::shared_ptr<const PlacementGroupOptions> options) override { return engine_->place_group(std::move(options)); }
  std::shared_ptr<Cell> watch_group(GroupId group) override { return engine_->watch_group(group); }
  void remove_group(GroupId group) override { engine_->remove_group(group); }
  std::vector<GroupHandle> find_groups(const std::string& name) override { return engine_->find_groups(name); }
  Resources total_resources() const override { return engine_->total_resources(); }
  Resources available_resources() const override { return engine_->available_resources(); }
  RuntimeStats stats() const override { return engine_->stats(); }
  std::shared_ptr<Engine> behind() const override { return engine_; }

 private:
  template <class F>
  auto as_helper(F&& f);
  std::shared_ptr<Executor> runner();
  const std::shared_ptr<Engine> engine_;
  SmallMutex mutex_;
  Executor* executor_;  // guarded by mutex_
};

}  // namespace manta::detail
