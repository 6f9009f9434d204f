#pragma once
// Regression by a Gaussian process: Matérn 5/2 kernel with one length a dimension, categorical dimensions by equal or not
// (Hamming distance), Gaussian noise. Pure; a plain value; reading is thread-safe.
//
// The hyper-parameters are the maximum a posteriori under Optuna 5's priors: exp(-0.1/w - 0.1 w) on each inverse squared length
// w, Gamma(2, 1) on the scale, Gamma(1.1, 30) on the noise's variance, which is at least 1e-6. Rasmussen and Williams,
// "Gaussian Processes for Machine Learning", 2006, chapters 2, 4 and 5. Fitting costs O(n³) a step, about twenty steps.
//
//   GaussianProcess gp = GaussianProcess::fit(points, standardised_values, categorical);
//   auto [mean, variance] = gp.posterior(x);
#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <vector>

namespace manta::tune {

struct GpParameters {
  Eigen::VectorXd inverse_squared_lengths{};
  double scale{1};  ///< variance of the function
  double noise{1};  ///< variance of an observation of it
};

/// The kernel's factor for a squared distance: 1 at 0; `slope` is its derivative by the squared distance.
struct Matern52 {
  double value{1};
  double slope{0};
};
Matern52 matern52(double squared_distance) noexcept;

class GaussianProcess {
 public:
  static constexpr double kLeastNoise = 1e-6;

  struct Posterior {
    double mean{0};
    double variance{0};  ///< of the function, without the noise
  };

  /// Fits the parameters to `points` (one a row, in the unit cube) and `values` (mean 0, deviation 1 fit the priors), starting
  /// from `start` where it has as many lengths as there are columns, else from ones. Any number of points, alike ones too.
  static GaussianProcess fit(Eigen::MatrixXd points, Eigen::VectorXd values, std::vector<bool> categorical,
                             const GpParameters& start = {});

  /// `more_noise`: variances that observations have beside the parameters' noise; empty: none.
  GaussianProcess(Eigen::MatrixXd points, Eigen::VectorXd values, std::vector<bool> categorical, GpParameters parameters,
                  const Eigen::VectorXd& more_noise = {});

  Posterior posterior(const Eigen::VectorXd& x) const;
  /// Covariances of f(x) with f at the points; one row a point, one column an x (rows of `xs`).
  Eigen::MatrixXd covariance(const Eigen::MatrixXd& xs) const;
  /// The same for one x; `jacobian` gets its derivatives: one row a point, one column a coordinate of x. Categorical
  /// coordinates have none: 0.
  Eigen::VectorXd covariance(const Eigen::VectorXd& x, Eigen::MatrixXd& jacobian) const;

  /// L of L L^T = covariance of the observations.
  const Eigen::LLT<Eigen::MatrixXd>& factor() const noexcept { return factor_; }
  const Eigen::MatrixXd& points() const noexcept { return points_; }
  const Eigen::VectorXd& values() const noexcept { return values_; }
  const std::vector<bool>& categorical() const noexcept { return categorical_; }
  const GpParameters& parameters() const noexcept { return parameters_; }

 private:
  Eigen::MatrixXd points_;
  Eigen::VectorXd values_;
  std::vector<bool> categorical_;
  GpParameters parameters_;
  Eigen::LLT<Eigen::MatrixXd> factor_;
  Eigen::VectorXd weights_;  // inverse covariance times values
};

/// What fitting makes smallest: minus the logarithm of likelihood times priors, and its gradient, by the logarithms of inverse
/// squared lengths, scale, and noise above kLeastNoise, in this order.
class GpObjective {
 public:
  GpObjective(const Eigen::MatrixXd& points, const Eigen::VectorXd& values, const std::vector<bool>& categorical);
  double operator()(const Eigen::VectorXd& logarithms, Eigen::VectorXd& gradient) const;

 private:
  Eigen::MatrixXd squares_;  // one row a pair of points, one column a dimension
  Eigen::VectorXd values_;
};

}  // namespace manta::tune
