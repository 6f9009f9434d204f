#include "tune/core/trial_result.hpp"

#include <cmath>

namespace manta::tune {

TrialResult result_of(const Trial& trial, const std::filesystem::path& dir, Mode score_mode,
                      const std::function<bool(const CheckpointRef&)>& there) {
  TrialResult result{trial.index,        trial.id,       trial.name,  trial.state,  trial.config_of_result(), trial.last, trial.iteration_of_result(),
                     trial.time_of_result_s(), trial.failures, trial.error, trial.ranges, dir,          dir / "trial.log"};
  result.timed_out = trial.timed_out;
  if (trial.copy_only) return result;  // what is on disk is another trial's state, or came of it
  std::optional<double> best;
  for (const CheckpointRef& checkpoint : trial.checkpoints) {
    if (!there(checkpoint)) continue;
    result.checkpoint_dir = dir / checkpoint.name;
    const auto& score = checkpoint.score;
    if (!score || !std::isfinite(*score)) continue;
    if (best && !(score_mode == Mode::kMin ? *score < *best : *score > *best)) continue;
    best = score;
    result.best_checkpoint_dir = dir / checkpoint.name;
  }
  return result;
}

}  // namespace manta::tune
