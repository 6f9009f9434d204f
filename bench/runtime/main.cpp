// scripts/bench: each operation beside its floor, as bench.csv and as a table.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <exception>
#include <filesystem>
#include <functional>
#include <optional>
#include <regex>
#include <string>
#include <vector>

#include "bench/harness/floors.hpp"
#include "bench/harness/report.hpp"
#include "bench/runtime/runtime_benches.hpp"
#include "bench/runtime/scale_benches.hpp"

namespace {

using namespace manta::bench;

struct Flags {
  bool quick = false;
  std::string only = ".*";
  std::filesystem::path default_out = ".";
  std::filesystem::path out{};
};

/// A bench before its runtime is there.
struct Plan {
  std::string name;
  std::string unit;
  std::string floor;
  manta::Workers workers;
  Body (*make)(manta::Client&);
  bool slow = false;  ///< takes seconds a run: with --quick only when named
};

/// What one of many costs in memory, beside what it may cost.
struct MemoryPlan {
  std::string name;
  double (*bytes_of)(manta::Client&);
  double bar;
};

const std::vector<MemoryPlan>& memory_plans() {
  static const std::vector<MemoryPlan> all = {{"tasks_1m_bytes", bytes_of_a_queued_task, 400},
                                              {"actors_100k_bytes", bytes_of_an_idle_actor, 2048}};
  return all;
}

const std::vector<Plan>& plans() {
  using manta::Workers;
  static const std::vector<Plan> all = {
      {"task_serial", "tasks/s", "futex_ping_pong", Workers::kThread, task_serial},
      {"task_batch_1000", "tasks/s", "queue_pool", Workers::kThread, task_batch_1000},
      {"actor_serial", "calls/s", "futex_ping_pong", Workers::kThread, actor_serial},
      {"actor_batch_1000", "calls/s", "queue_pool", Workers::kThread, actor_batch_1000},
      {"put_int", "puts/s", "futex_ping_pong", Workers::kThread, put_int},
      {"get_int", "gets/s", "futex_ping_pong", Workers::kThread, get_int},
      {"refs_10k", "objects/s", "futex_ping_pong", Workers::kThread, refs_10k},
      {"wait_1k", "rounds/s", "futex_ping_pong", Workers::kThread, wait_1k},
      {"as_completed_1k", "rounds/s", "futex_ping_pong", Workers::kThread, as_completed_1k},
      {"placement_group", "groups/s", "futex_ping_pong", Workers::kThread, placement_group},
      {"task_serial_cpu", "tasks/s of CPU", "futex_ping_pong_cpu", Workers::kThread,
       [](manta::Client& client) { return in_cpu_time(task_serial(client)); }},
      {"actor_serial_cpu", "calls/s of CPU", "futex_ping_pong_cpu", Workers::kThread,
       [](manta::Client& client) { return in_cpu_time(actor_serial(client)); }},
      {"tasks_1m", "tasks/s", "queue_pool", Workers::kThread, tasks_1m, true},
      {"actors_10k", "actors/s", "queue_pool", Workers::kThread, actors_10k, true},
      {"fib_25", "tasks/s", "queue_pool", Workers::kThread, fib_25, true},
      {"proc_task_serial", "tasks/s", "unix_socket_ping_pong", Workers::kProcess, task_serial},
      {"proc_task_batch_1000", "tasks/s", "unix_socket_ping_pong", Workers::kProcess, task_batch_1000},
      {"proc_actor_serial", "calls/s", "unix_socket_ping_pong", Workers::kProcess, actor_serial},
      {"proc_actor_batch_1000", "calls/s", "unix_socket_ping_pong", Workers::kProcess, actor_batch_1000},
  };
  return all;
}

struct Chosen {
  std::vector<Plan> plans;
  std::vector<MemoryPlan> memory;
};

/// What is wanted by its whole name. Throws CLI::ValidationError when nothing is.
Chosen chosen(const Flags& flags) {
  Chosen found;
  std::string names;
  const bool all = flags.only == ".*";
  try {
    const std::regex wanted(flags.only);
    for (const Plan& plan : plans()) {
      names += " " + plan.name;
      if (std::regex_match(plan.name, wanted) && !(flags.quick && all && plan.slow)) found.plans.push_back(plan);
    }
    for (const MemoryPlan& plan : memory_plans()) {
      names += " " + plan.name;
      if (std::regex_match(plan.name, wanted) && !(flags.quick && all)) found.memory.push_back(plan);
    }
  } catch (const std::regex_error& e) {
    throw CLI::ValidationError("--only", fmt::format("'{}' is no regular expression: {}", flags.only, e.what()));
  }
  if (found.plans.empty() && found.memory.empty())
    throw CLI::ValidationError("--only", fmt::format("'{}' matches none of:{}", flags.only, names));
  return found;
}

/// Runs the plans; one runtime at a time, started when the first plan that needs it comes.
std::vector<Row> run(const Chosen& wanted, const Effort& effort, const Machine& machine) {
  SocketPingPong socket(machine);
  FutexPingPong futex(machine);
  QueuePool pool(machine);
  const auto floor_body = [&](const std::string& name) -> Body {
    if (name == "futex_ping_pong") return std::ref(futex);
    if (name == "futex_ping_pong_cpu") return in_cpu_time(std::ref(futex));
    if (name == "queue_pool") return std::ref(pool);
    return std::ref(socket);
  };
  std::optional<manta::Runtime> runtime;
  std::optional<manta::Workers> workers;
  std::vector<Row> rows;
  for (const Plan& plan : wanted.plans) {
    if (workers != plan.workers) {
      runtime.reset();
      runtime.emplace(manta::Runtime::start({.workers = plan.workers}));
      workers = plan.workers;
    }
    rows.push_back(measure({plan.name, plan.unit, plan.floor, plan.make(*runtime), floor_body(plan.floor)}, effort));
    print_row(rows.back());
  }
  for (const MemoryPlan& plan : wanted.memory) {
    runtime.reset();
    runtime.emplace(manta::Runtime::start({.workers = manta::Workers::kThread}));
    const double bytes = plan.bytes_of(*runtime);
    rows.push_back({plan.name, bytes, "bytes each", "bar", plan.bar, bytes / plan.bar, 0});
    print_row(rows.back());
  }
  return rows;
}

}  // namespace

int main(int argc, char** argv) {
  manta::Runtime::enter_worker_mode(argc, argv);
  Flags flags;
  CLI::App app("Measures tasks, actor calls, puts and gets beside floors taken in the same run.", "scripts/bench");
  app.add_flag("--quick", flags.quick, "short runs: shows that it works, not how fast it is");
  app.add_option("--only", flags.only, "only the benches whose whole name matches this regular expression");
  app.add_option("--out", flags.out, "folder for bench.csv");
  app.add_option("--default-out", flags.default_out, "what --out is when it is not given")->group("");
  try {
    app.parse(argc, argv);
    const Chosen wanted = chosen(flags);
    const Machine machine = describe_machine(two_cores());
    hold_on(machine.cores);
    print_machine(machine);
    print_header();
    const Effort effort = flags.quick ? Effort{.run_time = std::chrono::milliseconds(20)} : Effort{};
    const auto file = write_csv(flags.out.empty() ? flags.default_out : flags.out, run(wanted, effort, machine));
    fmt::print("{}\n", file.string());
    return 0;
  } catch (const CLI::Error& e) {
    return app.exit(e);
  } catch (const std::exception& e) {
    fmt::print(stderr, "scripts/bench: {}\n", e.what());
    return 1;
  }
}
