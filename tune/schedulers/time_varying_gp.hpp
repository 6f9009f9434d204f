#pragma once
// The Gaussian process of PB2: squared exponential in all coordinates but the first, which is time and makes old observations
// count less: k = scale · exp(-d²/length) · (1 - forgetting)^(|Δt| / 2). Pure; see tune/schedulers/pb2.hpp for the source.
#include <Eigen/Cholesky>
#include <Eigen/Core>

#include "tune/random.hpp"

namespace manta::tune {

class TimeVaryingGp {
 public:
  struct Parameters {
    double scale{1};
    double length{1};
    double forgetting{0.1};  ///< 0…0.5
    double noise{1};
  };

  /// Fits by maximum likelihood. One row a point, time first; `values` standardised. At least one point.
  static Parameters fit(const Eigen::MatrixXd& points, const Eigen::VectorXd& values);

  TimeVaryingGp(Eigen::MatrixXd points, Eigen::VectorXd values, Parameters parameters);

  double mean(const Eigen::VectorXd& x) const;
  /// Of an observation: with the noise.
  double variance(const Eigen::VectorXd& x) const;

 private:
  Eigen::VectorXd covariance(const Eigen::VectorXd& x) const;

  Eigen::MatrixXd points_;
  Parameters parameters_;
  Eigen::LLT<Eigen::MatrixXd> factor_;
  Eigen::VectorXd weights_;
};

/// The last coordinates, each in [0, 1], that with the first ones `fixed` give the largest mean of `gains` plus `kappa` times the
/// variance of `certainty`: ten searches from random places.
Eigen::VectorXd most_promising(const TimeVaryingGp& gains, const TimeVaryingGp& certainty, const Eigen::VectorXd& fixed,
                               Eigen::Index free, double kappa, Random& random);

}  // namespace manta::tune
