#pragma once
// The stoppers that come with Manta: rules that end trials, or the experiment, besides the scheduler's. Defaults are Ray's.
//
//   .stop = tune::any_of({tune::max_iterations(100), tune::trial_plateau(), tune::timeout(3600)})
//
// A metric that is left empty is the experiment's, with its mode. A result without the metric stops nothing.
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tune/stoppers/stopper.hpp"
#include "tune/value.hpp"

namespace manta::tune {

/// A trial ends with its result number `iterations`.
StopperSpec max_iterations(std::uint64_t iterations);

struct TrialPlateauOptions {
  std::string metric{};
  Number std{0.01};               ///< the trial ends when its last results spread less than that; above 0
  std::uint64_t num_results{4};   ///< how many are looked at
  std::uint64_t grace_period{4};  ///< no trial ends before so many results
  std::optional<Number> metric_threshold{};  ///< only when its last result is no worse than that
};
/// A trial ends when its metric does not change any more.
StopperSpec trial_plateau(TrialPlateauOptions options = {});

struct ExperimentPlateauOptions {
  std::string metric{};
  Number std{0.001};          ///< the experiment ends when the best results spread no more than that
  std::uint64_t top{10};      ///< how many are looked at
  std::uint64_t patience{0};  ///< at so many results in a row
};
/// The experiment ends when its best results do not get better.
StopperSpec experiment_plateau(ExperimentPlateauOptions options = {});

/// The experiment ends when it was worked on for so long; a resume goes on counting.
StopperSpec timeout(Number seconds);

/// A trial ends when the function says so. `description` tells two functions apart when an experiment is resumed.
StopperSpec stop_if(std::function<bool(TrialIndex, const ResultView&)> function, std::string description = "function");

/// A trial, or the experiment, ends when one of them says so.
StopperSpec any_of(std::vector<StopperSpec> stoppers);
/// A trial ends at a result at which all of them say so, the experiment when all say that it ends. One that ends the experiment
/// says of every trial that it ends, too: all_of({max_iterations(5), timeout(60)}) is no less than 5 results and 60 s.
StopperSpec all_of(std::vector<StopperSpec> stoppers);

}  // namespace manta::tune
