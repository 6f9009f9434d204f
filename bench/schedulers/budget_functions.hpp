#pragma once
// Test functions that cost less at a smaller budget, with noise and, for Hartmann's, a bias there.
#include <string>
#include <vector>

#include "tune/config.hpp"
#include "tune/random.hpp"
#include "tune/search_space.hpp"

namespace manta::bench {

struct BudgetFunction {
  std::string name;
  tune::Space space;
  std::vector<double> budgets;  ///< the smallest first, each 3 times the one before
  /// What a run at the budget observes; small is good.
  double (*observe)(const tune::Config& config, double budget, tune::Random& random);
  /// How far the configuration is from the best at the full budget, without noise.
  double (*regret)(const tune::Config& config);
  double minimum;  ///< of the function itself, at the full budget
};

/// Stochastic counting ones (Falkner, Klein and Hutter, "BOHB", ICML 2018) with as many categorical as continuous parameters:
/// the mean over them of 1 - x, where a continuous x is observed by so many Bernoulli draws as the budget says.
BudgetFunction counting_ones(int pairs);
/// Hartmann in 3 or 6 dimensions with a bias and noise that vanish at budget 100 (mf-prior-bench; bias 0.5, noise 0.1).
BudgetFunction multi_fidelity_hartmann(int dimensions);

}  // namespace manta::bench
