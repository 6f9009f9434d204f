// scripts/bench: each operation beside its floor, as bench.csv and as a table.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <exception>
#include <filesystem>
#include <optional>
#include <regex>
#include <string>
#include <vector>

#include "bench/harness/report.hpp"
#include "bench/runtime/plans.hpp"

namespace {

using namespace manta::bench;

struct Flags {
  bool quick = false;
  std::string only = ".*";
  std::filesystem::path default_out = ".";
  std::filesystem::path out{};
};

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
  Floors floors(machine);
  const Surroundings around;
  std::optional<manta::Runtime> runtime;
  std::optional<Setting> setting;
  std::vector<Row> rows;
  const auto add = [&rows](Row row) {
    print_row(row);
    rows.push_back(std::move(row));
  };
  for (const Plan& plan : wanted.plans) {
    if (setting != plan.setting) {
      runtime.reset();
      runtime.emplace(manta::Runtime::start(options_for(plan.setting, around)));
      setting = plan.setting;
    }
    Bench bench{plan.name, plan.unit, plan.floor, plan.make(*runtime, around), floors.body(plan.floor)};
    for (const auto& rival : plan.rivals) bench.rivals.push_back({rival, floors.body(rival)});
    for (auto& row : measure_all(bench, effort)) add(std::move(row));
  }
  for (const MemoryPlan& plan : wanted.memory) {
    runtime.reset();
    runtime.emplace(manta::Runtime::start(options_for(Setting::kThreads, around)));
    const double bytes = plan.bytes_of(*runtime);
    add({plan.name, bytes, "bytes each", "bar", plan.bar, bytes / plan.bar, 0});
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
