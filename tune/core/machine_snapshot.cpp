// The machine's state as records of a compacted journal, and back.
#include "runtime/errors.hpp"
#include "tune/core/machine.hpp"

namespace manta::tune {

void ExperimentMachine::give_names(Trial& trial) const {
  name_trial(trial, options_.trial_prefix, options_.trainable);
}

void ExperimentMachine::snapshot(const std::function<void(const Event&)>& visit) const {
  MANTA_CHECK(!proposed_ && header_ && last_ms_);
  visit({*last_ms_, *header_});
  visit({*last_ms_, ExperimentSnapshot{worked_ms_, exhausted_, stopped_by_, checkpoints_made_, searcher_->save(), scheduler_->save(),
                                       stopper_ ? stopper_->save() : std::string()}});
  for (const Trial& trial : trials_) {
    const auto since = running_since_ms_.find(trial.index);
    // Borrowed for the call: nothing is copied.
    const std::shared_ptr<const Trial> state(std::shared_ptr<void>(), &trial);
    visit({*last_ms_, TrialSnapshot{state, since == running_since_ms_.end() ? 0 : since->second}});
  }
}

void ExperimentMachine::on(const ExperimentSnapshot& event, Effects&) {
  if (!trials_.empty()) throw StorageCorruption("the experiment's journal: a snapshot after the first trial.");
  worked_ms_ = event.worked_ms;
  exhausted_ = event.exhausted;
  stopped_by_ = event.stopped_by;
  checkpoints_made_ = event.checkpoints_made;
  searcher_->restore(event.searcher);
  scheduler_->restore(event.scheduler);
  if (stopper_) stopper_->restore(event.stopper);
}

void ExperimentMachine::on(const TrialSnapshot& event, Effects&) {
  if (event.state->index != trials_.size())
    throw StorageCorruption("the experiment's journal: the snapshot of trial " + std::to_string(event.state->index) +
                            " stands where that of trial " + std::to_string(trials_.size()) + " is due.");
  Trial& trial = trials_.emplace_back(*event.state);
  give_names(trial);
  ++counts_[static_cast<std::size_t>(trial.state)];
  if (!trial.ended()) ++unfinished_;
  if (trial.state == TrialState::kPending) ready_.insert(trial.index);
  if (trial.state == TrialState::kRunning && event.running_since_ms != 0) running_since_ms_[trial.index] = event.running_since_ms;
  if (options_.checkpoint_budget_bytes == 0) return;
  for (const CheckpointRef& checkpoint : trial.checkpoints) {
    checkpoint_bytes_ += checkpoint.bytes;
    if (trial.ended() || &checkpoint != &trial.checkpoints.back()) spare_checkpoints_.emplace(checkpoint.order, trial.index);
    if (const auto score = score_of(checkpoint)) checkpoints_by_score_.emplace(*score, checkpoint.order);
  }
}

}  // namespace manta::tune
