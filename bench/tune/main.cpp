// scripts/bench: what the tuner costs beside its bars, as tune/bench.csv and as a table.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <exception>
#include <filesystem>
#include <regex>
#include <string>
#include <vector>

#include "bench/harness/machine.hpp"
#include "bench/harness/report.hpp"
#include "bench/tune/tune_benches.hpp"

namespace {

using namespace manta::bench;

struct Flags {
  bool quick = false;
  bool names = false;
  std::string only = ".*";
  std::filesystem::path out = ".";
};

/// A bench and the rate that it must reach.
struct Plan {
  std::string name;
  std::string unit;
  double bar;
  Body (*make)();
};

const std::vector<Plan>& plans() {
  static const std::vector<Plan> all = {{"tpe_suggest_10d_200", "suggestions/s of CPU", 1000, tpe_suggest_10d_200}};
  return all;
}

/// A warm-up and five runs. The bar stands where other benches have a floor: a ratio of 1 or more meets it.
Row measure_against_bar(const Plan& plan, const Effort& effort) {
  const Body body = plan.make();
  std::vector<double> rates;
  for (int run = 0; run <= effort.runs; ++run) {
    Timed all{0, {}};
    while (all.time < effort.run_time) {
      const Timed some = body(1);
      all.operations += some.operations, all.time += some.time;
    }
    if (run > 0) rates.push_back(static_cast<double>(all.operations) / std::chrono::duration<double>(all.time).count());
  }
  const double rate = median(rates);
  return {plan.name, rate, plan.unit, "bar", plan.bar, rate / plan.bar, spread(rates)};
}

std::vector<Row> run(const Flags& flags) {
  const Effort effort = flags.quick ? Effort{.run_time = std::chrono::milliseconds(20)} : Effort{};
  const std::regex wanted(flags.only);
  std::vector<Row> rows;
  for (const Plan& plan : plans()) {
    if (!std::regex_match(plan.name, wanted)) continue;
    rows.push_back(measure_against_bar(plan, effort));
    print_row(rows.back());
  }
  return rows;
}

}  // namespace

int main(int argc, char** argv) {
  Flags flags;
  CLI::App app("Measures the tuner beside its bars.", "scripts/bench");
  app.add_flag("--quick", flags.quick, "short runs: shows that it works, not how fast it is");
  app.add_flag("--names", flags.names, "prints the names of the benches");
  app.add_option("--only", flags.only, "only the benches whose whole name matches this regular expression");
  app.add_option("--out", flags.out, "folder for bench.csv");
  CLI11_PARSE(app, argc, argv);
  try {
    if (flags.names) {
      for (const Plan& plan : plans()) fmt::print("{}\n", plan.name);
      return 0;
    }
    const Machine machine = describe_machine(two_cores());
    hold_on(machine.cores);
    print_machine(machine);
    print_header();
    fmt::print("{}\n", write_csv(flags.out, run(flags)).string());
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "scripts/bench: {}\n", error.what());
    return 1;
  }
}
