#include "tune/core/callback_caller.hpp"

#include <algorithm>

#include "runtime/errors.hpp"

namespace manta::tune {

namespace {
/// The name of the checkpoint that came with the event; empty: none did.
std::string_view checkpoint_of(const EventBody& event) {
  if (const auto* saved = std::get_if<TrialCheckpointed>(&event)) return saved->checkpoint;
  if (const auto* report = std::get_if<TrialReported>(&event)) return report->checkpoint;
  return {};
}
}  // namespace

void CallbackCaller::note(const ExperimentMachine& machine, const EventBody& event, const Effects& effects) {
  if (callbacks_.empty()) return;
  Noted noted{.event = event, .others_ended = effects.others_ended, .exploits = effects.exploits};
  if (const auto index = trial_of(event)) {
    noted.state = machine.trial(*index).state;
    noted.time_total_s = machine.trial(*index).time_of_result_s();
  }
  noted.time_since_start_s = machine.time_since_start_s();
  noted_.push_back(std::move(noted));
  for (const auto& [trial, checkpoint] : effects.superseded)  // also what an earlier event of the same turn brought
    for (Noted& each : noted_) each.checkpoint_dropped |= trial_of(each.event) == trial && checkpoint_of(each.event) == checkpoint.name;
}

void CallbackCaller::tell(const Experiment& experiment) {
  tell_begin(experiment);
  for (const Noted& noted : std::exchange(noted_, {})) tell(experiment, noted);
}

/// Before all else: what is noted by then is all of this session.
void CallbackCaller::tell_begin(const Experiment& experiment) {
  if (callbacks_.empty() || std::exchange(begun_, true)) return;
  const auto made = std::count_if(noted_.begin(), noted_.end(), [](const Noted& noted) { return std::holds_alternative<TrialCreated>(noted.event); });
  const std::size_t earlier = experiment.machine().trials().size() - static_cast<std::size_t>(made);
  each("on_experiment_begin", nullptr, [&](Callback& callback) { callback.on_experiment_begin(experiment.dir(), earlier); });
}

void CallbackCaller::tell(const Experiment& experiment, const Noted& noted) {
  for (const TrialIndex other : noted.others_ended) tell_state(experiment.machine().trial(other), TrialState::kTerminated);
  tell_event(experiment, noted);
  for (const Exploited& copied : noted.exploits) {
    const Trial &trial = experiment.machine().trial(copied.trial), &donor = experiment.machine().trial(copied.donor);
    each("on_exploit", &trial, [&](Callback& callback) { callback.on_exploit(trial, donor); });
  }
}

void CallbackCaller::tell_event(const Experiment& experiment, const Noted& noted) {
  const auto index = trial_of(noted.event);
  if (!index) return;
  const Trial& trial = experiment.machine().trial(*index);
  if (std::holds_alternative<TrialCreated>(noted.event))
    return each("on_trial_create", &trial, [&](Callback& callback) { callback.on_trial_create(trial); });
  if (std::holds_alternative<TrialStarted>(noted.event))
    return each("on_trial_start", &trial, [&](Callback& callback) { callback.on_trial_start(trial); });
  if (const auto* report = std::get_if<TrialReported>(&noted.event)) return tell_result(experiment, noted, *report);
  if (noted.checkpoint_dropped) return;
  if (const auto* saved = std::get_if<TrialCheckpointed>(&noted.event))
    return each("on_checkpoint", &trial, [&](Callback& callback) { callback.on_checkpoint(trial, experiment.trial_dir(trial) / saved->checkpoint); });
  if (std::holds_alternative<TrialFailed>(noted.event) && noted.state == TrialState::kPending)
    return each("on_trial_retry", &trial, [&](Callback& callback) { callback.on_trial_retry(trial); });
  tell_state(trial, noted.state);
}

void CallbackCaller::tell_result(const Experiment& experiment, const Noted& noted, const TrialReported& report) {
  const Trial& trial = experiment.machine().trial(report.trial);
  const bool saved = !report.checkpoint.empty();
  const ResultView result{report.iteration, noted.time_total_s, report.metrics, noted.time_since_start_s, saved};
  each("on_trial_result", &trial, [&](Callback& callback) { callback.on_trial_result(trial, result); });
  if (saved && !noted.checkpoint_dropped)
    each("on_checkpoint", &trial, [&](Callback& callback) { callback.on_checkpoint(trial, experiment.trial_dir(trial) / report.checkpoint); });
  // Pending: it was paused and may go on already, with what it took over.
  tell_state(trial, noted.state == TrialState::kPending ? TrialState::kPaused : noted.state);
}

void CallbackCaller::tell_state(const Trial& trial, TrialState state) {
  if (state == TrialState::kPaused) each("on_trial_pause", &trial, [&](Callback& callback) { callback.on_trial_pause(trial); });
  if (state == TrialState::kTerminated) each("on_trial_complete", &trial, [&](Callback& callback) { callback.on_trial_complete(trial); });
  if (state == TrialState::kError) each("on_trial_error", &trial, [&](Callback& callback) { callback.on_trial_error(trial); });
}

void CallbackCaller::tell_end(const Experiment& experiment) {
  tell_begin(experiment);
  each("on_experiment_end", nullptr, [&](Callback& callback) { callback.on_experiment_end(experiment.machine().trials()); });
}

void CallbackCaller::each(const char* name, const Trial* trial, const Call& call) {
  for (const auto& callback : callbacks_) {
    try {
      call(*callback);
    } catch (...) {
      constexpr std::size_t kMostAtOnce = 10;
      if (warnings_.size() == kMostAtOnce) continue;
      warnings_.push_back("a callback's " + std::string(name) + (trial ? " of trial " + trial->name : "") + " failed: " +
                          current_exception_info().to_string());
    }
  }
}

}  // namespace manta::tune
