#pragma once
// NodeEngine: the driver's process: head, node, owner and (with --workers=thread) the workers in one. What `Runtime` holds.
#include "runtime/actors/launcher.hpp"
#include "runtime/actors/node_durables.hpp"
#include "runtime/actors/process_engine.hpp"

namespace manta::detail {

/// In a zygote: what a driver that has died had spilled to this path. Nothing when another one has it open, or it is no spill store.
void remove_left_spill(const std::string& path) noexcept;

class NodeEngine final : public ProcessEngine {
 public:
  /// Starts everything. Throws InvalidArgument, ResourceExhausted.
  static std::shared_ptr<NodeEngine> start(const RuntimeOptions& options);
  ~NodeEngine() override;
  /// Nothing but `done` in a fork of the process that started it. While another thread is at it, waits until that has done so, unless in work or
  /// on one of the runtime's own threads, for which that one may be waiting. The caller keeps a reference to this. `done`: called by whoever did
  /// it, before those who wait go on.
  void shutdown(const std::function<void()>& done = [] {});
  /// False in a fork of the process that started it, which has none of its threads: there it can neither be used nor destroyed.
  bool belongs_here() const { return !gate_->in_fork(); }

  void submit(std::shared_ptr<TaskRecord> record, std::shared_ptr<const TaskOptions> options) override;
  std::shared_ptr<ActorLink> spawn(std::shared_ptr<TaskRecord> constructor, std::shared_ptr<const ActorOptions> options,
                                   const FunctionEntry& type) override;
  std::shared_ptr<ActorLink> find_actor(const std::string& name, const FunctionEntry& type) override;
  void put(Cell& cell, const PutOptions& options, const std::string& standard_tag) override;
  std::shared_ptr<Cell> find_durable(const TypeOps& ops, const std::string& name, const std::string& tag) override;
  bool remove_durable(const std::string& name) override;
  std::vector<std::string> list_durable(const std::string& prefix) override;
  Resources total_resources() const override;
  Resources available_resources() const override;
  ObjectStoreStats object_stats() const { return node_store_->objects().stats(); }
  RuntimeStats stats() const override;

 private:
  struct Machine {
    Amount cpus{};
    std::vector<std::string> gpu_names{};
    Resources custom{};
  };
  NodeEngine(const RuntimeOptions& options, Machine machine);
  static Machine look_at_machine(const RuntimeOptions& options);
  void start_roles();
  void end_roles();
  void wait_for_the_end() const;
  void on_message(ProcessId from, const Buffer& bytes);
  std::string check_passing(ProcessId from, const wire::Message& message) const;
  bool made_its_results(ProcessId from, const wire::Message& message) const;
  void deliver_control(ProcessId from, wire::Message message) override;
  void send_remote(ProcessId to, const wire::Message& message) override;
  std::shared_ptr<Reactor> links_loop() override;
  wire::NameReply ask_directory(wire::NameRequest request) override { return directory_.answer(request); }
  void need_running() const;
  void need_store() const;

  const RuntimeOptions options_;
  const Machine machine_;
  std::shared_ptr<NodeStore> node_store_;
  std::unique_ptr<ZygoteLauncher> launcher_;
  std::unique_ptr<Lane> launches_;  // none waits behind the user's code, or for room in the store
  std::unique_ptr<Node> node_;
  std::unique_ptr<NodeDurables> durables_;
  SharedActorDirectory directory_;
  SharedWaitGraph wait_graph_;
  std::atomic<bool> stopped_{false};
  std::atomic<bool> ended_{false};  // and its shutdown is done
  std::atomic<bool> over_{false};  // and the time for what still ran is over
};

}  // namespace manta::detail
