// What a scheduler's verdict does to trials, and which checkpoints stay.
#include <algorithm>
#include <cmath>

#include "runtime/errors.hpp"
#include "tune/core/checkpoint_files.hpp"
#include "tune/core/machine.hpp"

namespace manta::tune {

bool ExperimentMachine::carry_out(const Verdict& verdict, Effects& effects) {
  bool moved = false;
  for (const TrialIndex index : verdict.stop) {
    if (trials_.at(index).ended()) continue;
    end_other(trials_[index], effects);
    moved = true;
  }
  for (const auto& [index, copied] : verdict.exploit_others)
    if (trials_.at(index).state == TrialState::kPaused) exploit(trials_[index], copied, effects);
  for (const TrialIndex index : verdict.resume) {
    if (trials_.at(index).state != TrialState::kPaused) continue;
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
  const Trial& donor = trials_.at(exploit.donor);
  const bool own = donor.index == trial.index;
  if (!own && donor.checkpoints.empty()) return false;
  effects.exploits.push_back({trial.index, donor.index, trial.iteration});
  ++trial.exploits;
  trial.config = exploit.config;
  trial.exploit_tag = exploit.tag;
  if (own) return true;
  const CheckpointRef& taken = donor.checkpoints.back();
  // A name that the trial has never had: iterations are counted anew from the donor's.
  const std::string name = checkpoint_name(taken.iteration) + "_clone" + std::to_string(trial.exploits);
  for (CheckpointRef& kept : trial.checkpoints) effects.superseded.push_back({trial.index, std::move(kept)});
  trial.checkpoints = {{taken.iteration, name, std::nullopt}};
  trial.cloned = ClonedCheckpoint{donor.index, taken.name, name};
  trial.iteration = taken.iteration;
  return true;
}

/// Ends a trial by another one's event.
void ExperimentMachine::end_other(Trial& trial, Effects& effects) {
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

/// Of a trial's checkpoints stay the newest, and the best where that is wanted.
void ExperimentMachine::add_checkpoint(Trial& trial, CheckpointRef checkpoint, Effects& effects) {
  auto& kept = trial.checkpoints;
  std::erase_if(kept, [&](const CheckpointRef& other) {
    if (other.name != checkpoint.name) return false;
    if (!checkpoint.score) checkpoint.score = other.score;
    return true;
  });
  kept.push_back(std::move(checkpoint));
  trial.cloned.reset();
  const CheckpointRef* best = nullptr;
  for (const CheckpointRef& candidate : kept)
    if (options_.keep_best_checkpoint && candidate.score && std::isfinite(*candidate.score))
      if (!best || better(*candidate.score, *best->score)) best = &candidate;
  const std::string best_name = best ? best->name : "";
  const std::size_t newest = kept.size() - std::min<std::size_t>(kept.size(), options_.keep_checkpoints);
  std::vector<CheckpointRef> staying;
  for (std::size_t i = 0; i < kept.size(); ++i) {
    if (i >= newest || kept[i].name == best_name)
      staying.push_back(std::move(kept[i]));
    else
      effects.superseded.push_back({trial.index, std::move(kept[i])});
  }
  kept = std::move(staying);
}

}  // namespace manta::tune
