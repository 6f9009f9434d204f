#pragma once
// cmaes(): CMA-ES (cma_es.hpp, with the defaults of Optuna's CmaEsSampler) as a searcher, by default assisted by a quadratic
// model that ranks most points of a generation, so that only the promising ones are tried (surrogate_cma_es.hpp).
//
//   tune::TuneOptions options{.metric = "loss", .num_samples = 300, .space = …, .searcher = tune::cmaes()};
//
// The choice for some hundreds of trials over continuous parameters that depend on each other. Continuous, integer and ordinal
// parameters are searched, all of them at all times: where a condition switches one off, its coordinate is drawn but does
// nothing. Categorical parameters are drawn at random; a space that has no other kind is refused. The first trial is
// random. Points to evaluate and evaluated points move the distribution as points of its own would. A trial that
// failed or gave NaN ranks last. Forbidden combinations are not drawn; a search that has its minimum beyond their border ends
// there. One metric only.
//
// A suggestion and its result together cost, when the model has all the results that it keeps (twice its coefficients, so about
// d² trials), 0.07 ms of CPU with 8 parameters, 0.3 ms with 12, 1.3 ms with 16 and 4.4 ms (8 ms at most) with 20; then the model loses
// its products of two parameters, and it is 0.2 ms with 24 and 0.6 ms with 40. Every restart doubles the generation, up to 512
// points: with so many it is 0.1 ms with 2 parameters, 0.2 ms with 6, 0.8 ms with 12, 5 ms with 20, but 0.1 s where a generation begins.
#include <cstdint>

#include "tune/searchers/search_options.hpp"
#include "tune/searchers/searcher.hpp"

namespace manta::tune {

struct CmaEsOptions {
  double sigma0{1.0 / 6};          ///< the first step, in units of the cube's edge
  std::int64_t population_size{0};  ///< points a generation; 0: 4 + floor(3 ln d)
  bool restart{true};               ///< start anew when the distribution has shrunk to a point
};

struct CmaesOptions {
  SearchOptions common{.startup_trials = 1};
  CmaEsOptions strategy{};
  bool with_margin{true};  ///< integers and ordinals keep being tried in neighbouring values
  /// A model of the results so far chooses which points of a generation are tried, and ranks the others. On smooth losses a
  /// hundred trials do what several hundred do without; where the model does not fit, all are tried, as without.
  bool surrogate{true};
};

/// A searcher of one metric. InvalidArgument, when the search starts, for several, or a space without numbers.
SearcherSpec cmaes(CmaesOptions options = {});

}  // namespace manta::tune
