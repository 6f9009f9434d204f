#pragma once
// SearchOptions: what may be said to every searcher that learns from results.
//
//   .searcher = tune::tpe({.common = {.points_to_evaluate = {{{"lr", 0.01}, {"width", 64}}}, .startup_trials = 20}})
#include <cstdint>
#include <string>
#include <vector>

#include "tune/config.hpp"
#include "tune/metrics.hpp"

namespace manta::tune {

/// A configuration whose result is known already: the searcher learns from it, no trial is run.
struct EvaluatedPoint {
  Config config{};    ///< every active parameter of the space
  Metrics metrics{};  ///< with the experiment's metric
};

struct SearchOptions {
  /// The first trials, in this order. Parameters that are left out are drawn at random.
  std::vector<Config> points_to_evaluate{};
  std::vector<EvaluatedPoint> evaluated{};
  /// So many results are gathered from random configurations first; evaluated points count, and so does a trial that the
  /// scheduler pauses at a rung.
  std::uint32_t startup_trials{10};
  /// No trial beyond the start-up ones is proposed before these have given their results: workers stay idle meanwhile, but every later
  /// trial is an informed one. Without it, free workers get further random trials.
  bool wait_for_startup{false};
};

/// All of it as text, for SearcherSpec::description.
std::string describe(const SearchOptions& options);

}  // namespace manta::tune
