// Which checkpoints stay. Of each trial the newest ones and, where that is wanted, the best ones; and of all trials together
// no more bytes than the budget, the oldest going first. What a trial that is not over would go on from always stays, so
// that neither a pause nor PBT finds its checkpoint gone, and so does the best one.
#include <algorithm>
#include <cmath>

#include "tune/core/machine.hpp"

namespace manta::tune {

std::optional<double> ExperimentMachine::score_of(const Trial& trial) const {
  return trial.value(options_.score_attribute.empty() ? options_.metric : options_.score_attribute);
}

/// Small is good; none for a checkpoint that cannot be compared.
std::optional<double> ExperimentMachine::score_of(const CheckpointRef& checkpoint) const {
  if (!checkpoint.score || !std::isfinite(*checkpoint.score)) return std::nullopt;
  return options_.score_mode.value_or(options_.mode) == Mode::kMin ? *checkpoint.score : -*checkpoint.score;
}

void ExperimentMachine::add_checkpoint(Trial& trial, CheckpointRef checkpoint, Effects& effects) {
  for (std::size_t i = 0; i < trial.checkpoints.size(); ++i) {
    if (trial.checkpoints[i].name != checkpoint.name) continue;
    if (!checkpoint.score) checkpoint.score = trial.checkpoints[i].score;
    drop_checkpoint(trial, i, effects);
    effects.superseded.pop_back();  // the new one lies where it was
    break;
  }
  checkpoint.order = ++checkpoints_made_;
  if (options_.checkpoint_budget_bytes != 0) {
    checkpoint_bytes_ += checkpoint.bytes;
    if (!trial.checkpoints.empty()) spare_checkpoints_.emplace(trial.checkpoints.back().order, trial.index);
    if (trial.ended()) spare_checkpoints_.emplace(checkpoint.order, trial.index);
    if (const auto score = score_of(checkpoint)) checkpoints_by_score_.emplace(*score, checkpoint.order);
  }
  trial.checkpoints.push_back(std::move(checkpoint));
  trial.cloned.reset();
  scheduler_->on_checkpoint(trial.index);
  keep_some(trial, effects);
}

void ExperimentMachine::drop_checkpoint(Trial& trial, std::size_t position, Effects& effects) {
  CheckpointRef& victim = trial.checkpoints[position];
  if (options_.checkpoint_budget_bytes != 0) {
    checkpoint_bytes_ -= victim.bytes;
    spare_checkpoints_.erase(victim.order);
    if (const auto score = score_of(victim)) checkpoints_by_score_.erase({*score, victim.order});
  }
  effects.superseded.push_back({trial.index, std::move(victim)});
  trial.checkpoints.erase(trial.checkpoints.begin() + static_cast<std::ptrdiff_t>(position));
}

void ExperimentMachine::keep_some(Trial& trial, Effects& effects) {
  auto& kept = trial.checkpoints;
  if (kept.size() <= options_.keep_checkpoints) return;
  const std::size_t newest = kept.size() - options_.keep_checkpoints;
  std::vector<std::pair<double, std::uint64_t>> scores;
  for (const CheckpointRef& checkpoint : kept)
    if (const auto score = score_of(checkpoint)) scores.emplace_back(*score, checkpoint.order);
  std::sort(scores.begin(), scores.end());
  scores.resize(std::min<std::size_t>(scores.size(), options_.keep_best_checkpoints));
  for (std::size_t i = newest; i-- > 0;) {
    const bool best = std::any_of(scores.begin(), scores.end(), [&](auto& score) { return score.second == kept[i].order; });
    if (!best) drop_checkpoint(trial, i, effects);
  }
}

/// Passes over one at most, the best: so it costs what it drops.
void ExperimentMachine::shrink_to_budget(Effects& effects) {
  for (auto it = spare_checkpoints_.begin(); it != spare_checkpoints_.end();) {
    if (checkpoint_bytes_ <= options_.checkpoint_budget_bytes) return;
    const auto [order, index] = *it++;
    if (!checkpoints_by_score_.empty() && checkpoints_by_score_.begin()->second == order) continue;
    Trial& trial = trials_[index];
    const auto found = std::find_if(trial.checkpoints.begin(), trial.checkpoints.end(),
                                    [&, wanted = order](const CheckpointRef& checkpoint) { return checkpoint.order == wanted; });
    drop_checkpoint(trial, static_cast<std::size_t>(found - trial.checkpoints.begin()), effects);
  }
}

}  // namespace manta::tune
