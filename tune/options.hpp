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
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runtime/options.hpp"
#include "tune/resources.hpp"
#include "tune/schedulers/asha.hpp"
#include "tune/schedulers/hyperband.hpp"
#include "tune/schedulers/scheduler.hpp"
#include "tune/search_space.hpp"
#include "tune/searchers/searcher.hpp"
#include "tune/stoppers/stopper.hpp"

namespace manta::tune {

struct CheckpointOptions {
  std::uint32_t num_to_keep{1};  ///< the newest so many of each trial stay on disk; at least 1
  bool keep_best{false};         ///< and the one whose result had the best metric
  std::uint64_t frequency{1};    ///< class trainables: save after every so many steps; 0: never
};

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
};

struct TuneOptions {
  std::string name{};       ///< of the experiment and its directory; default: the trainable's name and the time
  std::string metric{};     ///< what trials are compared by; every trial reports it from its first result on
  Mode mode{Mode::kMin};    ///< whether a small or a large metric is good
  std::int64_t num_samples{1};  ///< trials, or with grid_search: repetitions of the whole grid
  Space space{};
  SearcherSpec searcher{random_search()};  ///< where configurations come from
  SchedulerSpec scheduler{fifo()};         ///< which trials go on
  StopperSpec stop{};                      ///< ends trials or the experiment by a rule of its own; none by default
  TrialResources resources{};
  std::int64_t max_concurrent{0};    ///< trials at a time; 0: as many as the resources allow
  std::int64_t max_failures{0};      ///< a trial that fails is run again this often, from its last checkpoint; -1: no end
  std::uint64_t max_iterations{0};   ///< a trial is stopped after so many results; 0: no limit
  std::optional<std::uint64_t> seed{};  ///< of every draw; none: a random one, which the journal keeps
  std::filesystem::path results_dir{"manta_results"};
  bool resume{false};  ///< go on with the experiment of that name if there is one; the options must be the same
  CheckpointOptions checkpoints{};
  Isolation isolation{own_process};  ///< kShared: on the runtime's workers; a crash then costs more than one trial
  std::map<std::string, std::string> env{};  ///< environment of each trial's process; needs own_process
  ReporterOptions reporter{};
  LoggerOptions loggers{};
  double stop_grace_s{10};  ///< a trial that was told to stop and has not after so long is killed
};

}  // namespace manta::tune
