#pragma once
// The status of an experiment as text, as Ray's CLIReporter shows it: counts, rungs, the table of trials, the best so far,
// the failures. Pure functions of the experiment's state.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tune/core/machine.hpp"
#include "tune/table.hpp"

namespace manta::tune {

/// What of an experiment is shown. The trials must outlive it.
struct StatusView {
  const std::vector<Trial>& trials;
  std::string metric{};
  Mode mode{Mode::kMin};
  std::optional<std::uint64_t> total{};  ///< trials that there will be, where known
  std::string scheduler_text{};
  std::string time_text{};        ///< "2026-11-24 02:50:01"
  double elapsed_s{0};            ///< since this session began
  std::string resources_text{};   ///< "2/2 CPUs, 0.5/1 GPUs"
  std::string dir{};
  std::vector<std::string> metric_columns{};     ///< empty: inferred
  std::vector<std::string> parameter_columns{};  ///< empty: all
  bool sort_by_metric{false};     ///< the best first in each state; otherwise by number
  std::size_t max_rows{20};
  std::size_t width{120};          ///< of tables, and of other lines too when these are cut
  bool cut_lines{true};
};

/// A view of a running experiment; the reporter fills in the rest.
StatusView status_view(const ExperimentMachine& machine);
/// All of it: header, trials.
std::string status_text(const StatusView& view);
/// Without the header: how many there are in each state, the table, the best trial, the failures. Parameters are those that the last
/// result was made with, though the trial may go on with others.
std::string trials_text(const StatusView& view);
/// "Current best trial: NAME with loss=0.31 and parameters={…}", or that there is none yet.
std::string best_text(const StatusView& view);
/// The table of trials alone: `trials` in the order given.
Table trial_table(const StatusView& view, const std::vector<const Trial*>& trials);
/// Which trials to show: at most `max_rows`, shared fairly between states in the order RUNNING, PAUSED, PENDING, TERMINATED, ERROR.
std::vector<const Trial*> fair_rows(const StatusView& view);
/// The metrics worth a column: the experiment's first, then well-known ones that were reported (mean_accuracy, mean_loss,
/// timesteps_total, episode_reward_mean), then up to three others. Without training_iteration and time_total_s, which the table has.
std::vector<std::string> inferred_metrics(const StatusView& view);
/// "loss=0.31, accuracy=0.9".
std::string metrics_text(const Metrics& metrics);
/// "00:01:23".
std::string duration_text(double seconds);

}  // namespace manta::tune
