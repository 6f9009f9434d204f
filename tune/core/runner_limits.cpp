// What ends an experiment or a trial without a word of any trial: budgets, limits, stoppers of the clock, fail_fast.
#include "tune/core/runner.hpp"

namespace manta::tune {

void Runner::check_limits() {
  check_experiment_limits();
  check_trial_limits();
}

void Runner::check_experiment_limits() {
  const ExperimentMachine& machine = experiment_.machine();
  if (machine.finished()) return;
  if (options_.fail_fast && machine.count(TrialState::kError) != 0)
    return static_cast<void>(apply(ExperimentStopped{"fail_fast: a trial failed"}));
  const bool budget = options_.time_budget_s > 0;
  if (!budget && !machine.has_stopper()) return;
  const std::int64_t now_ms = experiment_.now_ms();
  if (budget && machine.time_since_start_s(now_ms) >= options_.time_budget_s)
    return static_cast<void>(apply(ExperimentStopped{"the time budget of " + number_text(options_.time_budget_s, 6) + " s is over"}));
  if (machine.stopper_ends_all(now_ms)) apply(ExperimentStopped{"the stopper ended the experiment"});
}

void Runner::check_trial_limits() {
  if (options_.trial_time_limit_s <= 0 || active_.empty()) return;
  const std::int64_t now_ms = experiment_.now_ms();
  std::vector<TrialIndex> late;
  for (const auto& [trial, active] : active_)
    if (!active.kill_at && experiment_.machine().running_s(trial, now_ms) > options_.trial_time_limit_s) late.push_back(trial);
  const std::string limit = "at its time limit of " + number_text(options_.trial_time_limit_s, 6) + " s";
  for (const TrialIndex trial : late) {
    if (active_.at(trial).kill_at) continue;  // the one before it ended this one too
    forget(trial);
    kills_.push_back(trial);
    apply(TrialTimedOut{trial, options_.kills_trials ? "killed " + limit : "told to stop " + limit + " and is no longer heard"});
  }
}

}  // namespace manta::tune
