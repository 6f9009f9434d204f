#pragma once
// dehb(): evolutionary HyperBand (dehb_machine.hpp), a searcher that also says how long each trial runs.
//
//   const tune::DehbOptions dehb{.schedule = {.min_budget = 1, .max_budget = 27, .eta = 3}};
//   tune::TuneOptions options{.metric = "loss", .num_samples = 300, .space = …, .searcher = tune::dehb(dehb),
//                             .scheduler = tune::stop_at_budget({.parameter = dehb.budget_parameter})};
//
// Each trial is one evaluation at one budget, from scratch: the searcher adds the parameter "budget" to every configuration,
// and stop_at_budget (tune/schedulers/budget.hpp) ends the trial there. The brackets are HyperBand's, but DEHB keeps them
// itself, so no HyperBand scheduler stands beside it: nothing is paused or promoted, a promotion is a new trial. A
// trainable may read the budget and do the whole of it in one report. Several brackets are open at once where workers
// would wait for a rung to end.
//
// Integers and ordinals are rounded to their values, categorical parameters lie in equal bins; the genes of parameters that
// a condition switches off are kept. Points to evaluate and evaluated ones without a budget stand at the largest; they
// take the place of the worst of its subpopulation if they are better. One metric only.
#include <string>

#include "tune/searchers/dehb_machine.hpp"
#include "tune/searchers/search_options.hpp"
#include "tune/searchers/searcher.hpp"

namespace manta::tune {

struct DehbOptions {
  SearchOptions common{};  ///< without start-up trials: the first generation is random
  DehbSchedule schedule{};
  std::string budget_parameter{"budget"};  ///< a name that the space does not have
  double mutation_factor{0.5};
  double crossover_probability{0.5};
};

/// A searcher of one metric. InvalidArgument, when the search starts, for several, an option that makes no sense, or a space
/// that has the budget's name.
SearcherSpec dehb(DehbOptions options = {});

}  // namespace manta::tune
