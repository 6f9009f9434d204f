#pragma once
// gp(): Bayesian optimisation with a Gaussian process, as Optuna 5's GPSampler does it.
//
//   tune::TuneOptions options{.metric = "loss", .num_samples = 60, .space = …, .searcher = tune::gp()};
//
// After the start-up trials every suggestion is where the expected improvement is largest, given a process fitted to all
// results so far (gaussian_process.hpp) and what the trials that still run may give (expected_improvement.hpp). The choice
// when a trial takes minutes or more: a suggestion costs milliseconds at tens of results, about a second at several hundred.
//
// Where nothing is left to gain the search starts anew: with random trials, and a process that knows only what came after. The
// process is surest of what lies between its results, so one that has closed in on a local minimum would look into the
// corners of the space for the rest of the trials. Not where results have noise: there a best one may only have been lucky.
//
// Every kind of parameter is modelled: categorical ones by equal or not; one that a condition switches off stands in the
// middle of its range, and its parent tells the two apart. One metric only.
//
// The process's lengths and noise are not fitted to trials that failed or gave NaN or an infinity. Each then counts as the worst result,
// with much noise: trials that fail here and there by chance cost little, and where all do the search turns away after some. A trial that its scheduler stopped or paused counts with its last result.
#include <cstdint>

#include "tune/searchers/search_options.hpp"
#include "tune/searchers/searcher.hpp"

namespace manta::tune {

struct GpOptions {
  SearchOptions common{};
  std::uint32_t preliminary_samples{2048};  ///< quasi-random points at which the expected improvement is looked at
  std::uint32_t local_searches{10};         ///< that climb from the best of them; at least 2
  /// Fitting costs the cube of the number of results: beyond so many, the better half of these and the newest are used;
  /// and of the failed trials the newest, half as many.
  std::uint32_t max_results{400};
  /// Losses with a long tail of bad ones are drawn together before the fit (output_warp.hpp); Optuna does not do this.
  bool warp_losses{true};
  /// Start anew when the results show no noise and the largest expected improvement is below 1e-4 of their deviation; Optuna does
  /// not do this.
  bool restart{true};
};

/// A searcher of one metric. InvalidArgument, when the search starts, for several, or an option that makes no sense.
SearcherSpec gp(GpOptions options = {});

}  // namespace manta::tune
