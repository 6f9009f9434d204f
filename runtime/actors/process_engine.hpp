#pragma once
// ProcessEngine: what every Manta process has: the CAF system, the owner of what it submits, the host of what it runs, and
// the way to other processes. NodeEngine (the driver's) and WorkerEngine (a worker process's) add the rest.
#include "runtime/actors/lineage.hpp"
#include "runtime/actors/actor_waits.hpp"
#include "runtime/actors/coroutine_waits.hpp"
#include "runtime/actors/named_actors.hpp"
#include "runtime/actors/owner.hpp"
#include "runtime/actors/placement_client.hpp"
#include "runtime/actors/remote_explain.hpp"
#include "runtime/engine.hpp"
#include "runtime/process/reactor.hpp"

namespace manta::detail {

/// What one worker process may say to another, or to the driver's owner and host: work and its results, no control.
bool may_come_from_a_worker(const wire::Message& message);

class ProcessEngine : public Engine, public Router, public std::enable_shared_from_this<ProcessEngine> {
 public:
  ~ProcessEngine() override;

  // Engine.
  void submit(std::shared_ptr<TaskRecord> record, std::shared_ptr<const TaskOptions> options) override;
  std::shared_ptr<ActorLink> spawn(std::shared_ptr<TaskRecord> constructor, std::shared_ptr<const ActorOptions> options,
                                   const FunctionEntry& type) override;
  std::shared_ptr<ActorLink> find_actor(const std::string& name, const FunctionEntry& type) override;
  bool wait(Cell& cell, Deadline deadline) override;
  bool wait_some(std::span<Cell* const> cells, std::size_t count, Deadline deadline, bool fail_fast) override;
  bool wait_while(std::atomic<std::uint32_t>& word, std::uint32_t value, Deadline deadline, std::span<Cell* const> cells) override;
  void cancel(Cell& cell, const CancelOptions& options) override;
  void give_up(Cell& cell) override;
  std::string explain(Cell& cell) override;
  std::string explain_late(const std::shared_ptr<Cell>& cell) override;
  void post_callback(std::function<void()> callback) override;
  GroupHandle place_group(std::shared_ptr<const PlacementGroupOptions> options) override;
  std::shared_ptr<Cell> watch_group(GroupId group) override;
  void remove_group(GroupId group) override;
  std::vector<GroupHandle> find_groups(const std::string& name) override;
  Resources total_resources() const override { return total_; }
  /// Whether this thread runs one of the user's callbacks.
  bool in_callback() const noexcept;
  /// Whether nothing is under way here that a callback made or that is to make one: what ends posts its callback first.
  bool is_done_with_work() const;

  // Router.
  std::shared_ptr<Engine> engine() override { return shared_from_this(); }
  ProcessId self() const override { return self_; }
  void send(ProcessId to, wire::Message message) override;

 protected:
  /// What this process may queue as a submitter.
  struct QueueLimits {
    std::uint64_t bytes = 0;
    std::chrono::milliseconds timeout{0};
  };
  ProcessEngine(ProcessId self, Resources total, std::uint64_t inline_bytes, bool portable, QueueLimits queue_limits);
  /// Second half of construction: needs shared_from_this and the store.
  void begin(std::shared_ptr<StoreAccess> store, std::size_t parallelism, std::uint64_t lineage_bytes);
  RuntimeStats own_stats() const;
  /// A message that is meant for this process.
  void deliver(ProcessId from, wire::Message message);
  virtual void deliver_control(ProcessId from, wire::Message message) = 0;
  virtual void send_remote(ProcessId to, const wire::Message& message) = 0;
  /// The loop that brings other processes' messages, for threads that may run it while they wait; null: they may not.
  virtual std::shared_ptr<Reactor> links_loop() = 0;
  /// The answer of the node's directory of named actors; waits for it.
  virtual wire::NameReply ask_directory(wire::NameRequest request) = 0;
  /// Fails what has not begun, waits for the rest; false when something still runs at the deadline.
  bool finish_work(SteadyClock::time_point deadline);
  void abandon_work();
  /// Waits for the callbacks of users that are due; later ones run on the thread that makes them due. False when one still runs at
  /// the deadline, or is what calls this: then this engine has to stay.
  bool end_callbacks(SteadyClock::time_point deadline);
  /// Takes the CAF system down, or leaves it to the process's end when user code still runs in it.
  void end_system(bool idle);

  const std::shared_ptr<UseGate> gate_ = std::make_shared<UseGate>();
  const ProcessId self_;
  const Resources total_;
  const bool portable_;
  const QueueLimits queue_limits_;
  IdSource own_ids_;
  IdSource& ids_;
  HostEnvironment environment_{};
  std::shared_ptr<StoreAccess> store_;
  PlacementClient placements_;

 private:
  void await_room(const TaskRecord& record);
  void confirm_later(const wire::DeadlockFound& question);
  /// Runs the task that makes the cell inside the work that waits for it, when nobody has begun it; true when it has settled.
  bool run_awaited(Executor& waiter, Cell& cell);
  /// `sleep` waits until a time and says whether what it waits for is there. Once that has taken long, logs what the first of
  /// the cells waits for, and sleeps on.
  template <class Sleep>
  bool sleep_and_explain(std::span<Cell* const> cells, Deadline deadline, Sleep&& sleep);
  void log_wait(std::span<Cell* const> cells);
  void log_wait(const std::string& coroutine, Cell& awaited);
  struct Explaining {
    ProcessId reader;  ///< who "this process" is in the words
    int left;          ///< objects that it may still speak of
    /// Whether another process is asked about what it owns: not for another one, and no more after one that did not answer.
    bool may_ask = true;
  };
  std::string explain(Cell& cell, int depth, Explaining& explaining);
  std::string explain_work(TaskId work, bool ours, int depth, Explaining& explaining);
  std::string explain_borrowed(core::ReferenceId id, Explaining& explaining);
  std::string explain_lent(core::ReferenceId id, ProcessId reader);
  std::string explain_group(GroupId wanted);
  std::string explain_target(Cell& cell, Deadline deadline);
  static std::chrono::milliseconds long_wait();  ///< after which a wait is explained in the log
  struct System;
  std::unique_ptr<System> system_;
  std::mutex callbacks_mutex_;
  std::shared_ptr<Lane> callbacks_;  // guarded by callbacks_mutex_
  std::shared_ptr<Lane> unfinished_callbacks_;  // likewise: one that a callback never left
  std::atomic<std::uint64_t> callbacks_posted_{0}, callbacks_done_{0};

 protected:
  caf::actor_system& system();
  std::unique_ptr<RemoteExplain> remote_explain_;
  std::unique_ptr<Lane> lane_;
  std::shared_ptr<ReferenceKeeper> references_;
  std::shared_ptr<Lineage> lineage_;
  std::unique_ptr<WorkerHost> host_;
  std::unique_ptr<Bin> bin_;
  std::shared_ptr<Owner> owner_;
  std::unique_ptr<NamedActors> named_;
  std::unique_ptr<ActorWaits> waits_;
  std::unique_ptr<CoroutineWaits> coroutine_waits_;  // its thread uses all the rest, so it ends first
};

}  // namespace manta::detail
