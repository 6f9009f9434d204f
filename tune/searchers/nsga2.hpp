#pragma once
// nsga2(): several objectives by NSGA-II (Deb, Pratap, Agarwal and Meyarivan, 2002), with the defaults of Optuna's sampler.
//
//   tune::TuneOptions options{.metric = "accuracy", .mode = tune::Mode::kMax, .further_objectives = {{"seconds", tune::Mode::kMin}},
//                             .num_samples = 400, .space = …, .searcher = tune::nsga2()};
//
// A generation is `population` trials that ended with all metrics; the first is random. The parents of the next are the best
// of the last parents and their children: front by front, the loneliest first where a front does not fit whole. A child takes
// each parameter from one of two parents, each the better of two drawn; then each parameter is drawn anew with
// probability 1 / number of parameters. Trials that end after their generation is full count in the next. Works for
// one metric too.
#include <cstdint>

#include "tune/searchers/search_options.hpp"
#include "tune/searchers/searcher.hpp"

namespace manta::tune {

struct Nsga2Options {
  SearchOptions common{.startup_trials = 0};  ///< the first generation is random anyway
  std::uint32_t population{50};
  double mutation_probability{0};    ///< of each parameter; 0: 1 / number of parameters
  double crossover_probability{0.9};  ///< else the child is a copy of one parent, mutated
  double swapping_probability{0.5};  ///< of each parameter to come from the second parent
};

/// InvalidArgument, when the search starts, for a population below 2 or a probability that is none.
SearcherSpec nsga2(Nsga2Options options = {});

}  // namespace manta::tune
