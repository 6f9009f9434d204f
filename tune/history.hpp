#pragma once
// ExperimentHistory: everything that an experiment's journal tells, without the program that wrote it: also of one that
// still runs, in this process or another, since the journal is only read.
//
//   tune::ExperimentHistory history = tune::read_history("manta_results/cifar");
//   for (const tune::ResultRow& row : history.results[3]) plot(row.iteration, *row.metrics.get("loss"));
//
// A plain value, as of the moment of reading.
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tune/objective.hpp"
#include "tune/result_grid.hpp"
#include "tune/trial.hpp"

namespace manta::tune {

/// When a trial was made, first run, and ended; 0: not yet. Milliseconds since 1970, UTC.
struct TrialTimes {
  std::int64_t created_ms{0};
  std::int64_t started_ms{0};
  std::int64_t ended_ms{0};
};

struct ExperimentHistory {
  std::filesystem::path dir{};
  std::string name{};
  std::uint64_t seed{0};
  std::vector<std::pair<std::string, std::string>> description{};  ///< "space", "scheduler", …: texts
  std::string metric{};
  Mode mode{Mode::kMin};
  std::vector<Objective> further_objectives{};  ///< as in TuneOptions
  Objective checkpoint_score{};  ///< by which a trial's best checkpoint is chosen
  std::vector<Trial> trials{};  ///< checkpoints: all that were ever recorded, whether still kept or not
  std::vector<std::vector<ResultRow>> results{};  ///< of each trial, in the order in which they came
  std::vector<TrialTimes> times{};
  std::uint32_t sessions{0};    ///< how often a driver took it up
  std::int64_t session_pid{0};  ///< of the last driver
  std::int64_t session_ms{0};   ///< when it began
  std::int64_t begun_ms{0};
  std::int64_t last_ms{0};      ///< of the last event
  std::string stopped_by{};     ///< what ended it early; empty: nothing did
  bool running{false};          ///< a driver has the journal open

  /// The text that describes it under that key; empty when there is none.
  std::string about(std::string_view key) const;
};

/// Reads the experiment in `dir`, or in dir's one subfolder that holds one. NotFound when there is none, naming what there
/// is; StorageCorruption when the journal is damaged, or has no record of what lies beside it.
ExperimentHistory read_history(const std::filesystem::path& dir);

/// The grid that `tune::run` gave, or would give now.
ResultGrid load_experiment(const std::filesystem::path& dir);
ResultGrid to_grid(const ExperimentHistory& history);

}  // namespace manta::tune
