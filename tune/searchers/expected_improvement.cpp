#include "tune/searchers/expected_improvement.hpp"

#include <algorithm>
#include <cmath>

#include "tune/searchers/log_ei.hpp"
#include "tune/searchers/normal.hpp"
#include "tune/searchers/qmc.hpp"

namespace manta::tune {

namespace {

constexpr double kLeastVariance = 1e-12;

Eigen::MatrixXd normal_draws(Eigen::Index dimensions, Eigen::Index count, Random& random) {
  const auto points = sobol_points(static_cast<std::size_t>(count), static_cast<std::size_t>(dimensions), random);
  Eigen::MatrixXd draws(dimensions, count);
  for (Eigen::Index i = 0; i < draws.size(); ++i)
    draws.data()[i] = normal_quantile(std::clamp(points[static_cast<std::size_t>(i)], 1e-12, 1 - 1e-12));
  return draws;
}

Eigen::MatrixXd stacked(const Eigen::MatrixXd& above, const Eigen::MatrixXd& below) {
  Eigen::MatrixXd all(above.rows() + below.rows(), above.cols());
  all << above, below;
  return all;
}

GaussianProcess with_pending(const GaussianProcess& gp, const Eigen::MatrixXd& pending) {
  if (pending.rows() == 0) return gp;
  return {stacked(gp.points(), pending), stacked(gp.values(), Eigen::VectorXd::Zero(pending.rows())), gp.categorical(),
          gp.parameters()};
}

}  // namespace

ExpectedImprovement::ExpectedImprovement(const GaussianProcess& gp, double best, const Eigen::MatrixXd& pending, Random& random)
    : gp_(with_pending(gp, pending)) {
  const Eigen::Index n = gp.points().rows(), p = pending.rows();
  if (p == 0) {
    weights_ = gp_.factor().solve(gp_.values());
    thresholds_ = Eigen::VectorXd::Constant(1, best);
    return;
  }
  // The factor of data and pending points together holds that of the pending ones given the data in its lower corner:
  // L z with z = (L_data^-1 y, normal draws) is the data followed by a joint draw of what the pending points give.
  const Eigen::MatrixXd lower = gp_.factor().matrixL();
  const Eigen::VectorXd known = lower.topLeftCorner(n, n).triangularView<Eigen::Lower>().solve(gp.values());
  const Eigen::MatrixXd draws = normal_draws(p, kFantasies, random);
  const Eigen::MatrixXd fantasies =
      (lower.bottomRightCorner(p, p) * draws).colwise() + Eigen::VectorXd(lower.bottomLeftCorner(p, n) * known);
  weights_ = gp_.factor().solve(stacked(gp.values().replicate(1, kFantasies), fantasies));
  thresholds_ = fantasies.colwise().maxCoeff().transpose().cwiseMax(best);
}

double ExpectedImprovement::mean_log(const Eigen::VectorXd& means, double deviation, Eigen::VectorXd* by_mean,
                                     double* by_deviation) const {
  const Eigen::Index draws = thresholds_.size();
  Eigen::VectorXd logs(draws), slopes(draws);
  for (Eigen::Index s = 0; s < draws; ++s) {
    const LogImprovement gain = log_improvement((means[s] - thresholds_[s]) / deviation);
    logs[s] = gain.value;
    slopes[s] = gain.slope;
  }
  const double largest = logs.maxCoeff();
  const Eigen::VectorXd shares = (logs.array() - largest).exp();
  const double total = shares.sum();
  if (by_mean) {
    const Eigen::ArrayXd weighted = shares.array() / total * slopes.array();
    *by_mean = (weighted / deviation).matrix();
    *by_deviation = (1 - (weighted * (means - thresholds_).array() / deviation).sum()) / deviation;
  }
  return std::log(deviation) + largest + std::log(total / static_cast<double>(draws));
}

Eigen::VectorXd ExpectedImprovement::values(const Eigen::MatrixXd& xs) const {
  if (xs.rows() == 0) return {};  // Eigen's solver reads the first number of none
  const Eigen::MatrixXd k = gp_.covariance(xs);
  const Eigen::MatrixXd means = weights_.transpose() * k;
  const Eigen::VectorXd explained = gp_.factor().matrixL().solve(k).colwise().squaredNorm();
  Eigen::VectorXd values(xs.rows());
  for (Eigen::Index i = 0; i < xs.rows(); ++i) {
    const double variance = std::max(gp_.parameters().scale - explained[i], 0.0) + kLeastVariance;
    values[i] = mean_log(means.col(i), std::sqrt(variance), nullptr, nullptr);
  }
  return values;
}

double ExpectedImprovement::value(const Eigen::VectorXd& x, Eigen::VectorXd& gradient) const {
  Eigen::MatrixXd jacobian;
  const Eigen::VectorXd k = gp_.covariance(x, jacobian);
  const Eigen::VectorXd solved = gp_.factor().solve(k);
  const double left = gp_.parameters().scale - k.dot(solved);
  const double deviation = std::sqrt(std::max(left, 0.0) + kLeastVariance);
  Eigen::VectorXd by_mean;
  double by_deviation = 0;
  const double value = mean_log(weights_.transpose() * k, deviation, &by_mean, &by_deviation);
  Eigen::VectorXd by_covariance = weights_ * by_mean;
  if (left > 0) by_covariance -= (by_deviation / deviation) * solved;  // d variance / dk = -2 C^-1 k
  gradient = jacobian.transpose() * by_covariance;
  return value;
}

}  // namespace manta::tune
