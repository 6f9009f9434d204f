#pragma once
// The status of an experiment as text, as Ray's CLIReporter shows it: counts, rungs, the table of trials, the best so far,
// the failures. Pure functions of the experiment's state.
#include <cstddef>
#include <string>
#include <vector>

#include "tune/core/machine.hpp"
#include "tune/table.hpp"

namespace manta::tune {

struct StatusView {
  const ExperimentMachine& machine;
  std::string time_text{};        ///< "2026-11-24 02:50:01"
  double elapsed_s{0};            ///< since this session began
  std::string resources_text{};   ///< "2/2 CPUs, 0.5/1 GPUs"
  std::string dir{};
  std::vector<std::string> metric_columns{};  ///< empty: inferred
  std::size_t max_rows{20};
  std::size_t width{120};          ///< of tables, and of other lines too when these are cut
  bool cut_lines{true};
};

/// All of it: header, table, best trial, failures.
std::string status_text(const StatusView& view);
/// "Current best trial: NAME with loss=0.31 and parameters={…}", or that there is none yet.
std::string best_text(const ExperimentMachine& machine);
/// The table of trials alone: `trials` in the order given.
Table trial_table(const ExperimentMachine& machine, const std::vector<const Trial*>& trials,
                  const std::vector<std::string>& metric_columns);
/// Which trials to show: at most `max_rows`, shared fairly between states in the order RUNNING, PAUSED, PENDING, TERMINATED, ERROR.
std::vector<const Trial*> fair_rows(const std::vector<Trial>& trials, std::size_t max_rows);
/// The metrics worth a column: the experiment's first, then what trials reported, at most 6.
std::vector<std::string> inferred_metrics(const ExperimentMachine& machine);
/// "loss=0.31, accuracy=0.9".
std::string metrics_text(const Metrics& metrics);
/// "00:01:23".
std::string duration_text(double seconds);

}  // namespace manta::tune
