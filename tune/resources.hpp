#pragma once
// TrialResources: what one trial holds while it runs. A plain value.
//
//   .resources = {.num_cpus = 2, .num_gpus = 0.5}                                  // two trials share a GPU
//   .resources = {.bundles = {{.num_cpus = 1}, {.num_cpus = 2, .num_gpus = 1}}}    // a placement group for each trial
#include <vector>

#include "runtime/options.hpp"

namespace manta::tune {

/// `workers` is what the tasks and actors that the trial itself starts take besides: the tuner starts no more trials than
/// fit with it, but does not hold it for the trial.
struct TrialResources {
  Amount num_cpus{1};
  Amount num_gpus{0};
  Resources custom{};
  Resources workers{};  ///< {{"CPU", 2}, {"GPU", 1}}: the sum over all the trial's own workers
  /// Instead of all of the above: a placement group, taken together or not at all and held while the trial runs. The trial
  /// has bundle 0, its own tasks and actors the others (TrialContext::placement_group).
  std::vector<Bundle> bundles{};
  PlacementStrategy strategy{PlacementStrategy::kPack};

  bool operator==(const TrialResources& other) const;
  /// The sum: {CPU: 3, GPU: 1}.
  Resources all() const;
};

}  // namespace manta::tune
