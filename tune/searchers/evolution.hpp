#pragma once
// evolution(): regularised (aging) evolution (Real, Aggarwal, Huang and Le, "Regularized Evolution for Image Classifier
// Architecture Search", AAAI 2019).
//
//   tune::TuneOptions options{.metric = "loss", .num_samples = 1000, .space = …, .searcher = tune::evolution({.population = 50})};
//
// The population is the newest `population` trials that ended with a number; until it is full suggestions are random. Then
// the best of a random sample of it gets one parameter changed: a categorical, ordinal or integer one to another of its
// values, a continuous one to a new draw. The oldest leaves when a new one comes, however good. The choice for hundreds of
// trials over mostly categorical and conditional spaces. One metric only.
#include <cstdint>

#include "tune/searchers/search_options.hpp"
#include "tune/searchers/searcher.hpp"

namespace manta::tune {

struct EvolutionOptions {
  SearchOptions common{.startup_trials = 0};  ///< the population is what random trials are made for
  std::uint32_t population{100};
  std::uint32_t sample{10};  ///< how many of the population compete to be the parent
};

/// A searcher of one metric. InvalidArgument, when the search starts, for several, or a sample larger than the population.
SearcherSpec evolution(EvolutionOptions options = {});

}  // namespace manta::tune
