#pragma once
// The test functions of scripts/bench --only search, each shifted a little by its seed, so that no searcher gains from an
// optimum at a special place. bench/peers/optuna_search.py has the same ones, number for number.
#include <cstdint>
#include <string>
#include <vector>

namespace manta::bench {

struct TestFunction {
  std::string name;
  std::vector<double> low, high;  ///< of each parameter
  double minimum;
  double (*value)(const std::vector<double>& x);

  /// How far the point lies above the minimum, of the function shifted for that seed.
  double regret(const std::vector<double>& x, std::uint64_t seed) const;
};

/// Branin, Hartmann 3 and 6, Rosenbrock in 4 dimensions: Surjanovic and Bingham, Virtual Library of Simulation Experiments.
const std::vector<TestFunction>& test_functions();
/// Ackley in 5 dimensions, Griewank and Levy in 4, Styblinski-Tang in 3 (from the same library).
const std::vector<TestFunction>& more_functions();

/// By how much of its range parameter `i` is shifted: at most a tenth either way, by multiples of the golden ratio.
double shift_of(std::uint64_t seed, std::size_t i);

}  // namespace manta::bench
