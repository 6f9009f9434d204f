// asha_figure FILE.svg: draws docs/asha-500-workers.svg, the figure of the ASHA paper's kind: 500 workers, four schedulers, without
// and with stragglers and drops, the median and the quartiles over the seeds. Prints the numbers. Takes a minute.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <fstream>

#include "bench/schedulers/cluster_study.hpp"
#include "bench/schedulers/line_chart.hpp"

namespace {

using namespace manta::bench;

constexpr std::uint64_t kSeeds = 9;
constexpr std::size_t kTimes = 64;

double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1) + 0.5)];
}

Line line_of(const ClusterStudy& study, const Contestant& contestant, const std::string& where) {
  Line line{.name = contestant.name};
  for (std::size_t i = 1; i <= kTimes; ++i) line.x.push_back(study.horizon * static_cast<double>(i) / kTimes);
  std::vector<std::vector<double>> at(kTimes);
  double trials = 0, whole = 0, busy = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const Outcome outcome = run(study, contestant, line.x, seed);
    for (std::size_t i = 0; i < kTimes; ++i) at[i].push_back(outcome.best[i]);
    trials += static_cast<double>(outcome.trials) / kSeeds, whole += static_cast<double>(outcome.whole) / kSeeds, busy += outcome.busy / kSeeds;
  }
  for (const auto& values : at) {
    line.y.push_back(quantile(values, 0.5));
    line.low.push_back(quantile(values, 0.25));
    line.high.push_back(quantile(values, 0.75));
  }
  fmt::print("{:<20} {:<24} loss after {:.0f} s {:.4f}, after {:.0f} s {:.4f}; {:.0f} trials, {:.0f} whole, workers busy {:.0f} %\n", where, contestant.name,
             line.x[kTimes / 2 - 1], line.y[kTimes / 2 - 1], line.x.back(), line.y.back(), trials, whole, busy * 100);
  return line;
}

Chart chart_of(const std::string& title, const ClusterStudy& study) {
  Chart chart{title, "seconds; a whole training takes " + fmt::format("{:g}", study.full), "loss of the best trial so far", 0.002, 0.5, {}};
  for (const Contestant& contestant : contestants(study)) chart.lines.push_back(line_of(study, contestant, title));
  return chart;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return fmt::print(stderr, "usage: asha_figure FILE.svg\n"), 2;
  try {
    ClusterStudy hard;
    hard.cluster.straggler_sd = 0.5;
    hard.cluster.drop_probability = 0.002;
    const std::string svg = to_svg({chart_of("500 even workers", {}), chart_of("stragglers (sd 0.5), drops (0.2 %/s)", hard)});
    std::ofstream out(argv[1]);
    out << svg << std::flush;
    return out ? 0 : (fmt::print(stderr, "asha_figure: '{}' cannot be written.\n", argv[1]), 1);
  } catch (const std::exception& error) {
    fmt::print(stderr, "asha_figure: {}\n", error.what());
    return 1;
  }
}
