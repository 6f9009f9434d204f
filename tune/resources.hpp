#pragma once
// TrialResources: what one trial holds while it runs. A plain value.
#include "runtime/options.hpp"

namespace manta::tune {

/// `workers` is what the tasks and actors that the trial itself starts take besides: the tuner starts no more trials than
/// fit with it, but does not hold it for the trial.
struct TrialResources {
  Amount num_cpus{1};
  Amount num_gpus{0};
  Resources custom{};
  Resources workers{};  ///< {{"CPU", 2}, {"GPU", 1}}: the sum over all the trial's own workers

  friend bool operator==(const TrialResources&, const TrialResources&) = default;
};

}  // namespace manta::tune
