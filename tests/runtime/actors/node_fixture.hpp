#pragma once
// The node on CAF's test coordinator: one thread, a launcher that launches nothing, a router that writes down.
#include <caf/scheduler/test_coordinator.hpp>
#include <future>

#include "runtime/actors/node.hpp"
#include "tests/runtime/actors/quiet_process.hpp"

namespace manta::detail {

class FakeLauncher final : public ProcessLauncher {
 public:
  Result<Started> launch(ProcessId process, const wire::ProcessOptions& options,
                         const std::map<std::string, std::string>& environment, Amount) override {
    std::lock_guard lock(gate);
    names.push_back(options.name);
    last_environment = environment;
    if (fail) return ErrorInfo{.code = ErrorCode::kIoError, .message = "no more processes"};
    launched.push_back(process);
    return Started{.process = process, .pid = 1000 + static_cast<int>(process)};
  }
  Result<Started> prepare(ProcessId process, const std::map<std::string, std::string>& environment, Amount cpus) override {
    return launch(process, {.name = "spare"}, environment, cpus);
  }
  bool adopt(ProcessId process, const wire::ProcessOptions& options) override {
    adopted.emplace_back(process, options.name);
    return !refuse_adoption;
  }
  void kill(ProcessId process) override { killed.push_back(process); }
  void terminate(ProcessId process) override { terminated.push_back(process); }
  std::mutex gate;  // held by the test while it steps, so that launches come between steps
  bool fail = false, refuse_adoption = false;
  std::vector<std::pair<ProcessId, std::string>> adopted{};
  std::vector<ProcessId> launched{}, killed{}, terminated{};
  std::vector<std::string> names{};
  std::map<std::string, std::string> last_environment{};
};

struct NodeTestConfig : caf::actor_system_config {
  NodeTestConfig() { set("scheduler.policy", caf::atom("testing")); }
};

inline constexpr ProcessId kOwner = kNodeProcess;

class NodeFixture {
 public:
  explicit NodeFixture(Node::Options options = {.workers = Workers::kThread, .gpu_names = {"GPU-a", "GPU-b"}})
      : node_owner(std::make_unique<Node>(system, core::LeaseTable(core::ResourceLedger(Amount(2), {0, 1}, {}), ids), router,
                                          launcher, lane, [this](ProcessId process) { gone.push_back(process); },
                                          std::move(options))),
        node(*node_owner) {}
  ~NodeFixture() {
    node_owner.reset();
    coordinator.run();  // the node's actor takes its leave; the system waits for that
  }
  /// Handles all that has come, then lets one round of launches through.
  void step() {
    {
      std::lock_guard lock(launcher.gate);
      coordinator.run();
    }
    std::promise<void> through;
    lane.post([&] { through.set_value(); });
    through.get_future().wait();
  }
  void settle() {
    for (int i = 0; i < 4; ++i) step();
  }
  void want(core::Purpose purpose, std::uint32_t count, bool own = false, double gpus = 0, ProcessId owner = kOwner, bool retriable = true) {
    wire::WantLeases message;
    message.purpose = purpose;
    message.count = count;
    message.shape.cpus = 1;
    message.shape.gpus = gpus;
    message.own_process = own;
    message.retriable = retriable;
    message.options.name = "worker-" + std::to_string(purpose);
    node.deliver(owner, std::move(message));
  }
  std::vector<wire::LeaseGranted> grants() { return settle(), router.take<wire::LeaseGranted>(kOwner); }
  bool full() { return settle(), node.available()["CPU"] == Amount(2) && node.available()["GPU"] == Amount(2) && node.leases_held() == 0; }

  NodeTestConfig config;
  caf::actor_system system{config};
  caf::scheduler::test_coordinator& coordinator = dynamic_cast<caf::scheduler::test_coordinator&>(system.scheduler());
  IdSource ids{0};
  WritingRouter router{kNodeProcess};
  FakeLauncher launcher;
  Lane lane{1};
  std::vector<ProcessId> gone;
  std::unique_ptr<Node> node_owner;
  Node& node;
};

}  // namespace manta::detail
