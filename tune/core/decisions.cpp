#include "tune/core/decisions.hpp"

namespace manta::tune {

namespace {

struct TrialOf {
  std::optional<TrialIndex> operator()(const auto& event) const {
    if constexpr (requires { event.trial; })
      return event.trial;
    else
      return std::nullopt;
  }
};

TrialDecided plain(const Trial& trial, double rung) { return {.trial = trial.index, .state = trial.state, .rung = rung}; }

/// The trial as it is now, with its configuration.
TrialDecided with_config(const Trial& trial, double rung) {
  return {.trial = trial.index, .state = trial.state, .rung = rung, .changed = true,
          .iteration = trial.iteration, .time_total_s = trial.time_total_s, .config = trial.config, .tag = trial.exploit_tag,
          .exploits = trial.exploits, .cloned = trial.cloned.as_optional()};
}

}  // namespace

std::vector<TrialDecided> decisions_of(const ExperimentMachine& machine, const EventBody& event, const Effects& effects) {
  std::vector<TrialDecided> decisions;
  const auto index = std::visit(TrialOf{}, event);
  const auto* created = std::get_if<TrialCreated>(&event);
  if (created && !(machine.trial(created->trial).config == created->config))
    decisions.push_back(with_config(machine.trial(created->trial), 0));
  bool told = !index || (effects.decision == Decision::kContinue && !effects.ended && effects.rung <= 0);
  for (const Exploited& copied : effects.exploits) {
    const bool reporter = index == copied.trial;
    decisions.push_back(with_config(machine.trial(copied.trial), reporter ? effects.rung : 0));
    told |= reporter;
  }
  if (!told) {
    const Trial& trial = machine.trial(*index);
    const bool plain_end = std::holds_alternative<TrialFinished>(event) && trial.state == TrialState::kTerminated;
    if (!plain_end || effects.rung > 0) decisions.push_back(plain(trial, effects.rung));
    const bool says_why = std::holds_alternative<TrialFailed>(event) || std::holds_alternative<TrialTimedOut>(event);
    if (trial.state == TrialState::kError && !says_why) decisions.back().error = trial.error;
  }
  for (const TrialIndex other : effects.others_ended)
    decisions.push_back(plain(machine.trial(other), 0));
  return decisions;
}

void note_told(const EventBody& event, std::map<TrialIndex, TrialState>& told) {
  if (const auto* decided = std::get_if<TrialDecided>(&event)) told[decided->trial] = decided->state;
  if (const auto* finished = std::get_if<TrialFinished>(&event)) told[finished->trial] = TrialState::kTerminated;
  if (const auto* snapshot = std::get_if<TrialSnapshot>(&event)) told[snapshot->state->index] = snapshot->state->state;
  if (const auto* started = std::get_if<TrialStarted>(&event)) told[started->trial] = TrialState::kRunning;
}

std::vector<TrialDecided> decisions_untold(const ExperimentMachine& machine, const std::map<TrialIndex, TrialState>& told) {
  std::vector<TrialDecided> decisions;
  for (const Trial& trial : machine.trials()) {
    const auto found = told.find(trial.index);
    const bool known = found != told.end() && found->second == trial.state;
    if (known || !(trial.ended() || trial.state == TrialState::kPaused || trial.exploits > 0)) continue;
    decisions.push_back(trial.exploits ? with_config(trial, 0) : plain(trial, 0));
  }
  return decisions;
}

}  // namespace manta::tune
