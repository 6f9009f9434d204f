#pragma once
// Simulation: an experiment against a virtual clock. The tuner is the same (searchers, schedulers, stoppers, the driver's
// loop); only the trials are formulas or tables, and waiting for them costs nothing, so 500 workers and a week of training
// take seconds. For comparing schedulers, and for trying options before a real run.
//
//   tune::SimulatedTrainable trainable{.step = [](tune::SimulatedStep& step) {
//     const double loss = step.config.get<double>("floor") + 1.0 / step.iteration;
//     return tune::SimulatedResult{{{"loss", loss}}, 60};                              // an iteration takes a minute
//   }};
//   const tune::Simulation done = tune::simulate(options, trainable, {.workers = 500, .straggler_sd = 0.5});
//   done.seconds;  done.timeline;  done.grid.best();
//
// Stragglers and drops are those of Li et al., "A System for Massively Parallel Hyperparameter Tuning" (MLSys 2020,
// appendix A.1); the idea of a simulator backend is Syne Tune's. Nothing is read from or written to the disk, but
// for the loggers' files where they are asked for: there is no journal, so neither a resume nor `manta tune show`. The same options with the same seed give the same timeline. Values;
// `simulate` runs on the calling thread and starts no other. What comes at a time (time_budget_s, trial_time_limit_s, stop_grace_s, a timeout)
// comes 2 ms late at most.
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tune/options.hpp"
#include "tune/result_grid.hpp"

namespace manta::tune {

/// What the formula is given for one iteration of one trial.
struct SimulatedStep {
  const Config& config;
  std::uint64_t iteration;     ///< this one; the first is 1
  std::vector<double>& state;  ///< the trial's own, empty at first: what a checkpoint holds, also across an exploit
  Random& random;              ///< of this trial and iteration: the same when the iteration is run again
};

struct SimulatedResult {
  static constexpr double kMostSeconds = 1e9;  ///< some thirty years

  Metrics metrics{};
  double seconds{1};      ///< that the iteration takes when nothing is in its way: from 0 to kMostSeconds, else the trial fails. Of 0 s, no limit of time is ever reached
  bool checkpoint{true};  ///< a checkpoint comes with it
};

struct SimulatedTrainable {
  std::string name{"simulated"};
  std::uint64_t iterations{0};  ///< a trial ends by itself after so many; 0: it is stepped until it is stopped
  std::function<std::optional<SimulatedResult>(SimulatedStep&)> step{};  ///< nothing: the trial ends earlier
};

/// A table of learning curves: the trial whose parameter `row` is i reports curves[i][0], curves[i][1], … as `metric` and
/// ends with the row. Use it with {"row", randint(0, curves.size())} or a grid_search.
SimulatedTrainable learning_curves(std::string metric, std::vector<std::vector<double>> curves, double seconds_per_iteration = 1);

struct SimulatedCluster {
  std::size_t workers{1};      ///< each holds one trial of TuneOptions::resources
  double start_seconds{0};     ///< from the decision to start or resume a trial to its first step; 1e9 at most
  double straggler_sd{0};      ///< what a trial does between start and end, pause or failure takes 1 + |N(0, sd)| times as long; 1000 at most
  double drop_probability{0};  ///< that a trial dies, for each second of its work; max_failures says what then
  std::filesystem::path files{};  ///< the loggers' files, PBT's policies too, go into a directory of the experiment's name in it; empty: none
};

/// A result, in the order of the clock.
struct SimulatedReport {
  double time_s{0};  ///< since the beginning
  TrialIndex trial{0};
  std::uint64_t iteration{0};
  double value{0};  ///< TuneOptions::metric; NaN where it was not reported
};

struct Simulation {
  ResultGrid grid;  ///< with every result in memory: its curves and scopes read no file
  std::vector<SimulatedReport> timeline{};
  double seconds{0};       ///< virtual time until the last trial ended; who is to stop does so at its next report, or is killed
                           ///< TuneOptions::stop_grace_s later
  double busy_seconds{0};  ///< of all workers together
  std::vector<std::string> warnings{};  ///< what tune::run would print: a file that could not be written, a callback that threw
};

/// Runs the whole experiment. Uses of the options what concerns the search; results_dir, isolation, env, reporter and
/// resume mean nothing here. Throws as tune::run does before a trial starts.
Simulation simulate(const TuneOptions& options, const SimulatedTrainable& trainable, const SimulatedCluster& cluster = {});

}  // namespace manta::tune
