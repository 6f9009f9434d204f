#pragma once
// What a Gaussian process expects to gain at a point, while other points are still being evaluated. Pure; thread-safe to read.
//
// Without pending points it is the logarithm of the expected improvement over `best` (larger values are better). With
// pending points it is the logarithm of its mean over 128 quasi-random joint draws of what they may give (Snoek, Larochelle and
// Adams, 2012): each draw is added to the data and raises the best. Up to a constant that no x changes, the mean is
// the expected improvement of the pending points and x together (qEI), so its maximum is where qLogEI has it, but
// it is smooth and exact in x, since only the pending values are drawn.
#include <Eigen/Cholesky>
#include <Eigen/Core>

#include "tune/random.hpp"
#include "tune/searchers/gaussian_process.hpp"

namespace manta::tune {

class ExpectedImprovement {
 public:
  static constexpr int kFantasies = 128;

  /// `pending`: one row a point that is being evaluated, or none.
  ExpectedImprovement(const GaussianProcess& gp, double best, const Eigen::MatrixXd& pending, Random& random);

  /// At each row of xs.
  Eigen::VectorXd values(const Eigen::MatrixXd& xs) const;
  double value(const Eigen::VectorXd& x) const { return values(x.transpose())[0]; }
  double value(const Eigen::VectorXd& x, Eigen::VectorXd& gradient) const;

  const GaussianProcess& gp() const noexcept { return gp_; }

 private:
  double mean_log(const Eigen::VectorXd& means, double deviation, Eigen::VectorXd* by_mean, double* by_deviation) const;

  GaussianProcess gp_;          // its points include the pending ones
  Eigen::MatrixXd weights_;     // one column a draw: inverse covariance times values
  Eigen::VectorXd thresholds_;  // one a draw
};

}  // namespace manta::tune
