#pragma once
// What trials are compared by, and one result as searchers, schedulers and stoppers see it. Plain values.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tune/metrics.hpp"

namespace manta::tune {

using TrialIndex = std::uint32_t;  ///< trials are numbered from 0 in the order in which they are made

enum class Mode { kMin, kMax };

struct Objective {
  std::string metric{};
  Mode mode{Mode::kMin};

  friend bool operator==(const Objective&, const Objective&) = default;
};

/// Borrows the metrics: valid during the call that it is given to.
struct ResultView {
  std::uint64_t iteration{0};  ///< training_iteration
  double time_total_s{0};      ///< time in the user's code
  const Metrics& metrics;
  double time_since_start_s{0};  ///< of the experiment, by the driver's clock, without the time between its sessions
  bool checkpoint{false};        ///< a checkpoint came with it

  /// "training_iteration", "time_total_s", or a reported metric.
  std::optional<double> get(std::string_view name) const {
    if (name == "training_iteration") return static_cast<double>(iteration);
    if (name == "time_total_s") return time_total_s;
    return metrics.get(name);
  }
};

}  // namespace manta::tune
