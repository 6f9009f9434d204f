#pragma once
// Where the expected improvement is largest, in a space of continuous, stepped and categorical dimensions. Pure.
//
// As Optuna 5 does it: many quasi-random points are looked at; from the best, from some of the others drawn by their expected
// improvement, and from the points that the caller adds (the best configuration so far), a local search climbs: L-BFGS-B over
// the continuous coordinates in units of their length scales, then each other coordinate by itself, in turn until none gains.
#include <Eigen/Core>
#include <functional>
#include <optional>
#include <vector>

#include "tune/random.hpp"
#include "tune/searchers/expected_improvement.hpp"

namespace manta::tune {

struct MixedDomain {
  std::vector<bool> categorical{};
  /// Of each dimension the coordinates that are allowed, ascending; empty: every number in [0, 1].
  std::vector<std::vector<double>> grid{};
  /// Makes x a point of the space: coordinates snapped to what they mean, those that are not `active` given their fixed
  /// stand-in. False when x is no configuration at all (forbidden).
  std::function<bool(Eigen::VectorXd& x, std::vector<bool>& active)> project{};
};

struct AcquisitionOptions {
  int preliminary_samples{2048};
  int local_searches{10};
  int max_rounds{100};  ///< of one local search
};

/// None when no sample was a configuration.
std::optional<Eigen::VectorXd> maximise(const ExpectedImprovement& improvement, const MixedDomain& domain,
                                        const Eigen::MatrixXd& also_from, Random& random,
                                        const AcquisitionOptions& options = {});

}  // namespace manta::tune
