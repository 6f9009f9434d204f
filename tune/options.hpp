#pragma once
// TuneOptions: all that may be said about an experiment. A plain struct for designated initialisers; what it holds is
// checked when the experiment starts, before any trial does.
//
//   tune::TuneOptions options{.name = "cifar", .metric = "loss", .mode = tune::Mode::kMin, .num_samples = 12,
//                             .space = {{"lr", tune::loguniform(1e-4, 1e-1)}, {"batch_size", tune::choice({2, 4, 8, 16})}},
//                             .scheduler = tune::asha({.max_t = 8, .reduction_factor = 2}),
//                             .resources = {.num_cpus = 1, .num_gpus = 0.5}};
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/options.hpp"
#include "tune/callback.hpp"
#include "tune/resources.hpp"
#include "tune/schedulers/asha.hpp"
#include "tune/schedulers/budget.hpp"
#include "tune/schedulers/hyperband.hpp"
#include "tune/schedulers/median_stopping.hpp"
#include "tune/schedulers/pb2.hpp"
#include "tune/schedulers/pbt.hpp"
#include "tune/schedulers/pbt_replay.hpp"
#include "tune/schedulers/percentile_stopping.hpp"
#include "tune/schedulers/resource_changing.hpp"
#include "tune/schedulers/scheduler.hpp"
#include "tune/schedulers/wilcoxon_stopping.hpp"
#include "tune/search_space.hpp"
#include "tune/searchers/searcher.hpp"
#include "tune/stoppers/stoppers.hpp"

namespace manta::tune {

struct CheckpointOptions {
  std::uint32_t num_to_keep{1};  ///< the newest so many of each trial stay on disk; at least 1
  std::uint32_t keep_best{0};    ///< and the best so many
  std::string score_attribute{};      ///< what "best" goes by: a metric that is reported with the results that bring checkpoints; default: the
                                      ///< experiment's. A trial that ends with checkpoints and never had it: a warning
  std::optional<Mode> score_mode{};   ///< whether a small or a large score is good; default: the experiment's mode
  std::uint64_t budget_bytes{0};      ///< of all trials' checkpoints together; beyond it the oldest go first, but never what
                                      ///< a trial that is not over goes on from (that goes once it is over), nor the
                                      ///< best one of all. 0: no limit
  std::uint64_t frequency{1};    ///< class trainables: save after every so many steps; 0: never
  bool at_end{false};            ///< a trial that is stopped saves itself once more, if it can (save_when_leaving); what it has just saved
                                 ///< with a result that comes too late to count is that
};

/// What a trial that failed for good means for the others. kOff: nothing. kOn: they end, and the grid tells. kRaise: they
/// end, and tune::run throws TaskError with the trial's error.
enum class FailFast { kOff, kOn, kRaise };

/// kAuto: a table that is redrawn in place on a terminal, else a line for each event and the table at the end.
enum class Verbosity { kAuto, kTable, kLines, kSilent };

struct ReporterOptions {
  Verbosity verbosity{Verbosity::kAuto};
  std::vector<std::string> metric_columns{};     ///< default: the metric, well-known names, three others that are reported
  std::vector<std::string> parameter_columns{};  ///< default: all
  bool sort_by_metric{false};                    ///< the best trials first in each state; otherwise the oldest
  std::size_t max_rows{20};                      ///< of the live table, shared fairly between states
  double interval_s{0.5};                        ///< at most one redraw in so many seconds
};

/// The files that are written for each trial besides the journal; each result costs a write to each of them.
struct LoggerOptions {
  bool json{true};         ///< params.json, result.jsonl, error.txt
  bool csv{true};          ///< progress.csv
  bool tensorboard{true};  ///< events.out.tfevents.manta
  bool policies{true};     ///< with a scheduler that copies trials: pbt_global.txt and pbt_policy_*.txt in the experiment's directory,
                           ///< a line for each copy, which pbt_replay reads
};

struct TuneOptions {
  std::string name{};       ///< of the experiment and its directory; default: the trainable's name and the time, and a number where that is taken
  std::string metric{};     ///< what trials are compared by; every trial reports it from its first result on
  Mode mode{Mode::kMin};    ///< whether a small or a large metric is good
  std::vector<Objective> further_objectives{};  ///< metrics besides, for a searcher or scheduler of several (nsga2, mo_asha); the rest of the
                                                ///< tuner goes by `metric`. ResultGrid::pareto_front says which trials count
  std::int64_t num_samples{1};  ///< trials, or with grid_search: repetitions of the whole grid; -1: without end, until the
                                ///< time budget or a stopper ends the experiment, or a thousand in a row cannot be
                                ///< started, which is InvalidArgument
  Space space{};
  SearcherSpec searcher{random_search()};  ///< where configurations come from
  SchedulerSpec scheduler{fifo()};         ///< which trials go on
  StopperSpec stop{};                      ///< ends trials or the experiment by a rule of its own; none by default
  TrialResources resources{};              ///< of each trial
  std::function<TrialResources(const Config&)> resources_of{};  ///< instead, by the trial's configuration
  std::int64_t max_concurrent{0};    ///< trials at a time; 0: as many as the resources allow
  std::int64_t max_failures{0};      ///< a trial that fails is run again this often, from its last checkpoint; -1: no end.
                                     ///< May differ when the experiment is resumed: it holds for failures from then on
  FailFast fail_fast{FailFast::kOff};
  std::uint64_t max_iterations{0};   ///< a trial is stopped after so many results; 0: no limit
  double time_budget_s{0};       ///< the experiment ends after so long, all its sessions together; trials that run are told to
                                 ///< stop, and killed stop_grace_s later. 0: no limit
  double trial_time_limit_s{0};  ///< a trial that has run for so long, by the wall clock and in all its runs together, and without
                                 ///< what it waited for its resources, is killed
                                 ///< whatever it does: it is TERMINATED with its last result, `timed_out` is set and `error`
                                 ///< says so; without a result it is an ERROR. Trials on shared workers cannot be
                                 ///< killed, only told and forgotten. 0: no limit
  std::optional<std::uint64_t> seed{};  ///< of every draw; none: a random one, which the journal keeps
  std::filesystem::path results_dir{"manta_results"};
  bool resume{false};  ///< go on with the experiment of that name if there is one; the options must be the same
  CheckpointOptions checkpoints{};
  bool reuse_actors{false};  ///< a trial's actor and process serve the next trial too. A class trainable needs
                             ///< `bool reset_config(TrialContext&, const Config&)`, which brings the object to the beginning
                             ///< of a new trial, and is made anew where it has none or gives false. The output of such a
                             ///< process goes into the log of its first trial
  std::uint32_t buffer_results{1};  ///< above 1, a trial goes on while up to so many of its results, none older than 0.1 s,
                                    ///< wait to be told together: for reports every few microseconds. What it has
                                    ///< reported beyond a decision to stop does not count, and its checkpoint goes. With a scheduler that pauses
                                    ///< trials nothing waits: a trial has to pause where it was told to
  std::vector<std::shared_ptr<Callback>> callbacks{};
  Isolation isolation{own_process};  ///< kShared: on the runtime's workers; a crash then costs more than one trial
  std::map<std::string, std::string> env{};  ///< environment of each trial's process; needs own_process
  ReporterOptions reporter{};
  LoggerOptions loggers{};
  double stop_grace_s{10};  ///< a trial that was told to stop and has not after so long is killed
};

}  // namespace manta::tune
