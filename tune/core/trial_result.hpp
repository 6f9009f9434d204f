#pragma once
// What the result grid tells of a trial: the same whether its driver or its journal is asked.
#include <filesystem>
#include <functional>

#include "tune/result_grid.hpp"

namespace manta::tune {

/// `score_mode`: whether a small or a large score makes the best checkpoint. `there`: whether a checkpoint is on disk.
TrialResult result_of(const Trial& trial, const std::filesystem::path& dir, Mode score_mode,
                      const std::function<bool(const CheckpointRef&)>& there);

}  // namespace manta::tune
