#include "tune/schedulers/time_varying_gp.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tune/searchers/box_minimum.hpp"

namespace manta::tune {

namespace {

/// |Δt| and d² of each pair of rows.
struct Distances {
  Eigen::MatrixXd time, squared;

  explicit Distances(const Eigen::MatrixXd& points) : time(points.rows(), points.rows()), squared(points.rows(), points.rows()) {
    for (Eigen::Index i = 0; i < points.rows(); ++i)
      for (Eigen::Index j = 0; j < points.rows(); ++j) {
        time(i, j) = std::fabs(points(i, 0) - points(j, 0));
        squared(i, j) = (points.row(i).tail(points.cols() - 1) - points.row(j).tail(points.cols() - 1)).squaredNorm();
      }
  }
};

Eigen::MatrixXd kernel(const Distances& apart, const TimeVaryingGp::Parameters& p) {
  return (p.scale * (-apart.squared.array() / p.length).exp() * (apart.time.array() * (0.5 * std::log1p(-p.forgetting))).exp()).matrix();
}

TimeVaryingGp::Parameters parameters_at(const Eigen::VectorXd& x) { return {std::exp(x(0)), std::exp(x(1)), x(2), std::exp(x(3))}; }

/// Minus the logarithm of the likelihood, by the logarithms of scale and length, forgetting, and the logarithm of the noise.
double unlikelihood(const Distances& apart, const Eigen::VectorXd& values, const Eigen::VectorXd& at, Eigen::VectorXd& gradient) {
  const TimeVaryingGp::Parameters p = parameters_at(at);
  const Eigen::Index n = values.size();
  const Eigen::MatrixXd smooth = kernel(apart, p);
  const Eigen::LLT<Eigen::MatrixXd> factor(smooth + p.noise * Eigen::MatrixXd::Identity(n, n));
  gradient = Eigen::VectorXd::Zero(4);
  if (factor.info() != Eigen::Success) return std::numeric_limits<double>::infinity();
  const Eigen::VectorXd weights = factor.solve(values);
  const Eigen::MatrixXd inner = factor.solve(Eigen::MatrixXd::Identity(n, n)) - weights * weights.transpose();
  gradient(0) = 0.5 * inner.cwiseProduct(smooth).sum();
  gradient(1) = 0.5 * inner.cwiseProduct(smooth.cwiseProduct(apart.squared)).sum() / p.length;
  gradient(2) = -0.25 * inner.cwiseProduct(smooth.cwiseProduct(apart.time)).sum() / (1 - p.forgetting);
  gradient(3) = 0.5 * p.noise * inner.trace();
  const double log_determinant = 2 * factor.matrixLLT().diagonal().array().log().sum();
  return 0.5 * (values.dot(weights) + log_determinant);
}

constexpr double kLeastLength = 1e-5, kMostLength = 1;

}  // namespace

TimeVaryingGp::Parameters TimeVaryingGp::fit(const Eigen::MatrixXd& points, const Eigen::VectorXd& values) {
  const Distances apart(points);
  const Eigen::Vector4d start(0, 0, 0.1, 0), low(std::log(1e-3), std::log(kLeastLength), 0, std::log(1e-6)), high(std::log(1e3), std::log(1e2), 0.5, std::log(10.0));
  const auto function = [&](const Eigen::VectorXd& at, Eigen::VectorXd& gradient) { return unlikelihood(apart, values, at, gradient); };
  Parameters found = parameters_at(minimize_in_box(function, start, low, high).x);
  found.length = std::clamp(found.length, kLeastLength, kMostLength);
  return found;
}

TimeVaryingGp::TimeVaryingGp(Eigen::MatrixXd points, Eigen::VectorXd values, Parameters parameters)
    : points_(std::move(points)), parameters_(parameters) {
  Eigen::MatrixXd covariances = kernel(Distances(points_), parameters_);
  covariances.diagonal().array() += parameters_.noise + 1e-9;
  factor_.compute(covariances);
  weights_ = factor_.solve(values);
}

Eigen::VectorXd TimeVaryingGp::covariance(const Eigen::VectorXd& x) const {
  Eigen::VectorXd k(points_.rows());
  const Eigen::Index rest = points_.cols() - 1;
  for (Eigen::Index i = 0; i < k.size(); ++i) {
    const double squared = (points_.row(i).tail(rest).transpose() - x.tail(rest)).squaredNorm();
    k(i) = parameters_.scale * std::exp(-squared / parameters_.length + 0.5 * std::fabs(points_(i, 0) - x(0)) * std::log1p(-parameters_.forgetting));
  }
  return k;
}

double TimeVaryingGp::mean(const Eigen::VectorXd& x) const { return covariance(x).dot(weights_); }

double TimeVaryingGp::variance(const Eigen::VectorXd& x) const {
  const Eigen::VectorXd k = covariance(x);
  return std::max(0.0, parameters_.scale + parameters_.noise - k.dot(factor_.solve(k)));
}

Eigen::VectorXd most_promising(const TimeVaryingGp& gains, const TimeVaryingGp& certainty, const Eigen::VectorXd& fixed,
                               Eigen::Index free, double kappa, Random& random) {
  constexpr int kStarts = 10;
  constexpr double kStep = 1e-5;  // of the difference quotient
  const auto minus_bound = [&](const Eigen::VectorXd& at) {
    Eigen::VectorXd x(fixed.size() + free);
    x << fixed, at;
    return -(gains.mean(x) + kappa * certainty.variance(x));
  };
  const auto function = [&](const Eigen::VectorXd& at, Eigen::VectorXd& gradient) {
    for (Eigen::Index j = 0; j < free; ++j) {
      Eigen::VectorXd more = at, less = at;
      more(j) += kStep, less(j) -= kStep;
      gradient(j) = (minus_bound(more) - minus_bound(less)) / (2 * kStep);
    }
    return minus_bound(at);
  };
  BoxMinimum best{Eigen::VectorXd::Constant(free, 0.5), std::numeric_limits<double>::infinity()};
  for (int i = 0; i < kStarts; ++i) {
    Eigen::VectorXd start(free);
    for (Eigen::Index j = 0; j < free; ++j) start(j) = random.uniform();
    const BoxMinimum found = minimize_in_box(function, start, Eigen::VectorXd::Zero(free), Eigen::VectorXd::Ones(free));
    if (found.value < best.value) best = found;
  }
  return best.x.cwiseMax(0).cwiseMin(1);
}

}  // namespace manta::tune
