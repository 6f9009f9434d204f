#pragma once
// TPE, the tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011), by default as Optuna 5 has it but for one thing:
// multivariate (Falkner et al., 2018), running trials counted as bad ones ("constant liar"), parameters that are always active
// together modelled together ("group"). The difference: Optuna keeps each kernel of n observations at least 1/(n + 2) of the
// range wide, too wide to close in on an optimum; here it may be as narrow as (n + 2)^-1.5 in a continuous parameter, never
// less than 1/100 (the exponent of "magic clipping" in Watanabe, arXiv 2304.11127). `bandwidth_exponent` = 1 is Optuna's.
//
//   tune::TuneOptions options{.metric = "loss", .num_samples = 100, .space = …, .searcher = tune::tpe()};
//
// After the start-up trials the best tenth of the trials (at most 25) gives one density, the rest the other; of 24 draws of
// the first, the one with the largest ratio of the densities is tried. A trial that the scheduler stopped or paused at a rung
// ranks behind those that completed, the one that got further first; one that failed or gave NaN ranks last.
#include <cstdint>
#include <vector>

#include "tune/searchers/model_searcher.hpp"
#include "tune/searchers/search_options.hpp"
#include "tune/searchers/searcher.hpp"

namespace manta::tune {

/// How many of n trials are the good ones. kOptuna: a tenth, at most 25; kHyperopt: a quarter of the square root, at most 25.
enum class TpeGamma : std::uint8_t { kOptuna, kHyperopt };

struct TpeOptions {
  SearchOptions common{};
  std::uint32_t candidates{24};
  bool multivariate{true};   ///< false: each parameter by itself
  bool group{true};          ///< multivariate also where conditions make parameters come and go; false: those by themselves
  bool constant_liar{true};  ///< false: trials that still run are not seen, so a batch may be drawn alike
  TpeGamma gamma{TpeGamma::kOptuna};
  /// Of continuous parameters: larger closes in faster, smaller looks further around, which may serve better with many trials
  /// at a time over six parameters or more. Having closed in, it spends more trials elsewhere. 1: Optuna's density exactly.
  double bandwidth_exponent{1.5};
};

/// A searcher of one metric. InvalidArgument, when the search starts, for several.
SearcherSpec tpe(TpeOptions options = {});

std::size_t tpe_num_below(TpeGamma gamma, std::size_t num_trials);
/// Of n observations, oldest first: 1 for the newest 25, rising linearly from 1/n before.
std::vector<double> tpe_weights(std::size_t n);

/// The numbers of the good and of the other trials in the history, each oldest first.
struct TpeSplit {
  std::vector<std::size_t> below{}, above{};
};
TpeSplit tpe_split(const std::vector<Observation>& history, std::size_t num_below, bool with_running);

}  // namespace manta::tune
