#pragma once
// The large cluster of Li et al., "A System for Massively Parallel Hyperparameter Tuning" (MLSys 2020, sections 4.3 and A.1), on
// the virtual clock: 500 workers, stragglers and drops, learning curves that cross. Which scheduler finds what, and when.
#include <cstdint>
#include <string>
#include <vector>

#include "tune/simulation.hpp"

namespace manta::bench {

struct ClusterStudy {
  tune::SimulatedCluster cluster{.workers = 500};
  double full{256};     ///< seconds of a whole training; a trial reports at a quarter of a quarter … of it, and at it
  double horizon{512};  ///< seconds that the experiment runs
};

struct Contestant {
  std::string name;
  tune::SchedulerSpec scheduler;
};
/// Random search, synchronous HyperBand, ASHA of both types; reduction factor 4.
std::vector<Contestant> contestants(const ClusterStudy& study);

struct Outcome {
  std::vector<double> best{};  ///< loss of the best trial so far, at each of the times asked for
  std::size_t trials{0};       ///< begun
  std::size_t whole{0};        ///< trained to the end
  double busy{0};              ///< share of the workers' time that was used
};

/// The loss is floor + (1 - floor) · t^-rate, a configuration's floor from 0 to 1, its rate from 0.1 to 1.1.
Outcome run(const ClusterStudy& study, const Contestant& contestant, const std::vector<double>& times, std::uint64_t seed);

}  // namespace manta::bench
