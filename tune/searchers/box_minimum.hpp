#pragma once
// The smallest value of a smooth function in a box, by L-BFGS-B (Byrd, Lu, Nocedal and Zhu, 1995; LBFGSpp's). Pure.
#include <Eigen/Core>
#include <functional>

namespace manta::tune {

/// The value at x; sets `gradient`, which has x's size.
using Differentiable = std::function<double(const Eigen::VectorXd& x, Eigen::VectorXd& gradient)>;

struct BoxMinimum {
  Eigen::VectorXd x{};
  double value{0};
};

struct BoxMinimumOptions {
  int max_iterations{200};
  double gradient_tolerance{1e-5};  ///< stops when no component of the projected gradient is larger
};

/// The best point that was looked at, at least as good as `start` (moved into the box first). Never throws on a bad
/// line search, on NaN or infinity: such points are not the best, and the search ends there.
BoxMinimum minimize_in_box(const Differentiable& function, const Eigen::VectorXd& start, const Eigen::VectorXd& low,
                           const Eigen::VectorXd& high, const BoxMinimumOptions& options = {});

}  // namespace manta::tune
