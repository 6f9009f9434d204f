#pragma once
// From TuneOptions to the parts of an experiment: what tune::run and a simulation have in common. Pure.
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "tune/core/experiment.hpp"
#include "tune/core/runner.hpp"
#include "tune/core/trial_actor.hpp"
#include "tune/options.hpp"
#include "tune/result_grid.hpp"

namespace manta::tune {

/// InvalidArgument for options that make no sense, and what a sample_from function throws.
void check_options(const TuneOptions& options, const Trainable& trainable, const Resources& total);

/// What makes two experiments the same. The seed stands apart: it may be left out when resuming.
ExperimentCreated describe(const TuneOptions& options, const Trainable& trainable, std::string name);

ExperimentMachine make_machine(const TuneOptions& options, const Trainable& trainable, const ExperimentCreated& header,
                               const Resources& total, std::size_t concurrency);

/// `options` must outlive the runner; `total` is what the trials share.
RunnerOptions runner_options(const TuneOptions& options, std::uint64_t seed, const Resources& total, std::size_t concurrency);

/// The loggers that TuneOptions::loggers asks for, of those that the experiment has something for.
std::vector<std::unique_ptr<Logger>> make_loggers(const TuneOptions& options, const ExperimentMachine& machine);

/// What the experiment has found so far. `signal`: the one that ended it, or 0; `rows`: every result, where no journal has them.
ResultGrid collect(const Experiment& experiment, const TuneOptions& options, const std::string& name, int signal,
                   std::shared_ptr<const ResultGrid::Rows> rows = nullptr);

}  // namespace manta::tune
