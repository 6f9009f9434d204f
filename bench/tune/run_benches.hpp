#pragma once
// What running an experiment costs, beside the bars it has to meet: results and trials per second, what a finished trial leaves in
// memory and on the disk, what the tuner adds to a trial of a second. Every run is reopened and what it reported counted.
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "bench/harness/measure.hpp"
#include "runtime/runtime.hpp"

namespace manta::bench {

/// A figure and its bar, or what stands beside it. `less_is_better`: the ratio is bar / value then, so that 1 or more always meets
/// the bar.
struct Figure {
  std::string name;
  std::string unit;
  double value;
  double bar;
  bool less_is_better{false};
  std::string beside{"bar"};
};

struct RunEffort {
  std::filesystem::path dir;  ///< for the experiments; emptied again
  bool quick{false};          ///< shows that it works, not how fast it is
};

struct RunBench {
  std::string name;
  std::function<std::vector<Figure>(Client&, const RunEffort&)> run;
};

const std::vector<RunBench>& run_benches();

/// What the tuner adds to a trial of a second on a thread and in a process, and an experiment of one empty trial.
std::vector<Figure> overhead(Client& client, const RunEffort& effort);

}  // namespace manta::bench
