// What a scheduler's verdict does to trials.
#include "runtime/errors.hpp"
#include "tune/core/checkpoint_files.hpp"
#include "tune/core/machine.hpp"

namespace manta::tune {

void ExperimentMachine::check_named(TrialIndex index) const {
  if (index < trials_.size()) return;
  throw InvalidArgument("tune: the scheduler '" + options_.scheduler + "' says something of trial " + std::to_string(index) + ", but there are only " +
                        std::to_string(trials_.size()) + " trials, counted from 0. Name those that on_trial_add told of.");
}

bool ExperimentMachine::carry_out(const Verdict& verdict, Effects& effects) {
  for (const TrialIndex index : verdict.stop) check_named(index);
  for (const TrialIndex index : verdict.resume) check_named(index);
  for (const auto& [index, copied] : verdict.exploit_others) check_named(index);
  bool moved = false;
  for (const TrialIndex index : verdict.stop) {
    if (trials_[index].ended()) continue;
    end_other(trials_[index], effects);
    moved = true;
  }
  for (const auto& [index, copied] : verdict.exploit_others)
    if (trials_[index].state == TrialState::kPaused) exploit(trials_[index], copied, effects);
  for (const TrialIndex index : verdict.resume) {
    if (trials_[index].state != TrialState::kPaused) continue;
    resume(trials_[index]);
    moved = true;
  }
  return moved;
}

void ExperimentMachine::pause(Trial& trial, const Verdict& verdict, Effects& effects) {
  if (verdict.resources) trial.resources = verdict.resources;
  const bool copied = verdict.exploit && exploit(trial, *verdict.exploit, effects);
  effects.exploited = copied && verdict.exploit->donor != trial.index;
  const bool moves = copied || verdict.resources;
  searcher_->on_pause(trial.index);
  set_state(trial, TrialState::kPaused);
  if (moves) resume(trial);
}

void ExperimentMachine::resume(Trial& trial) {
  set_state(trial, TrialState::kPending);
  searcher_->on_resume(trial.index);
}

bool ExperimentMachine::exploit(Trial& trial, const Exploit& exploit, Effects& effects) {
  check_named(exploit.donor);
  const Trial& donor = trials_[exploit.donor];
  const bool own = donor.index == trial.index;
  if (!own && donor.checkpoints.empty()) return false;
  effects.exploits.push_back({trial.index, donor.index, trial.iteration});
  ++trial.exploits;
  trial.take_config(exploit.config);
  trial.exploit_tag = exploit.tag;
  if (own) return true;
  const CheckpointRef& taken = donor.checkpoints.back();
  // A name that the trial has never had: iterations are counted anew from the donor's.
  const std::string name = checkpoint_name(taken.iteration) + "_clone" + std::to_string(trial.exploits);
  const CheckpointRef copy{taken.iteration, name, std::nullopt, taken.bytes};
  const std::string donor_name = taken.name;
  trial.cloned.reset();
  while (!trial.checkpoints.empty()) drop_checkpoint(trial, 0, effects);
  add_checkpoint(trial, copy, effects);
  trial.cloned = ClonedCheckpoint{donor.index, donor_name, name};
  trial.copy_only = true;
  trial.iteration = copy.iteration;
  trial.time_total_s = donor.time_total_s;  // so that its time goes on from the donor's too, as in Ray
  return true;
}

/// Ends a trial by another one's event.
void ExperimentMachine::end_other(Trial& trial, Effects& effects) {
  trial.go_back_to_result();
  const ResultView last = view(trial);
  end(trial, TrialState::kTerminated, trial.iteration ? &last : nullptr, 0);
  effects.others_ended.push_back(trial.index);
}

void ExperimentMachine::end_all(Effects& effects) {
  exhausted_ = true;
  proposed_.reset();
  for (Trial& trial : trials_)
    if (!trial.ended()) end_other(trial, effects);
}

}  // namespace manta::tune
