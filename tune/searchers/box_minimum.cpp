#include "tune/searchers/box_minimum.hpp"

#include <LBFGSB.h>

#include <cmath>
#include <limits>
#include <stdexcept>

namespace manta::tune {

namespace {

/// Remembers the best point: the library leaves x at its last try when a line search fails.
class Remembering {
 public:
  explicit Remembering(const Differentiable& function) : function_(function) {}

  double operator()(const Eigen::VectorXd& x, Eigen::VectorXd& gradient) {
    const double value = function_(x, gradient);
    if (!std::isfinite(value) || !gradient.allFinite()) throw std::runtime_error("no number");
    if (value < best_.value) best_ = {x, value};
    return value;
  }
  const BoxMinimum& best() const { return best_; }

 private:
  const Differentiable& function_;
  BoxMinimum best_{{}, std::numeric_limits<double>::infinity()};
};

}  // namespace

BoxMinimum minimize_in_box(const Differentiable& function, const Eigen::VectorXd& start, const Eigen::VectorXd& low,
                           const Eigen::VectorXd& high, const BoxMinimumOptions& options) {
  LBFGSpp::LBFGSBParam<double> parameters;
  parameters.m = 10;
  parameters.epsilon = options.gradient_tolerance;
  parameters.epsilon_rel = 0;
  parameters.past = 1;
  parameters.delta = 2e-9;
  parameters.max_iterations = options.max_iterations;
  Eigen::VectorXd x = start.cwiseMax(low).cwiseMin(high);
  Remembering remembering(function);
  const Eigen::VectorXd first = x;
  double value = 0;
  constexpr int kRestarts = 3;
  for (int attempt = 0; attempt < kRestarts; ++attempt) {
    const double before = remembering.best().value;
    try {
      LBFGSpp::LBFGSBSolver<double> solver(parameters);
      solver.minimize(remembering, x, value, low, high);
      break;
    } catch (const std::exception&) {  // the library throws when a line search finds nothing
      if (!(remembering.best().value < before)) break;
      x = remembering.best().x;
    }
  }
  if (std::isfinite(remembering.best().value)) return {remembering.best().x.cwiseMax(low).cwiseMin(high), remembering.best().value};
  return {first, std::numeric_limits<double>::infinity()};
}

}  // namespace manta::tune
