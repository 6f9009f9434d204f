#include "tune/searchers/gaussian_process.hpp"

#include <cmath>
#include <limits>
#include <utility>

#include "tune/searchers/box_minimum.hpp"

namespace manta::tune {

namespace {

double squared_difference(double a, double b, bool categorical) { return categorical ? double(a != b) : (a - b) * (a - b); }

/// The Matérn factor of every entry of a matrix of squared distances.
Eigen::ArrayXXd matern52_of(const Eigen::ArrayXXd& squared) {
  const Eigen::ArrayXXd root = (5 * squared).sqrt();
  return (-root).exp() * (root + 1 + (5.0 / 3) * squared);
}

GpParameters parameters_of(const Eigen::VectorXd& logarithms) {
  const Eigen::Index d = logarithms.size() - 2;
  return {logarithms.head(d).array().exp().matrix(), std::exp(logarithms[d]),
          GaussianProcess::kLeastNoise + std::exp(logarithms[d + 1])};
}

Eigen::VectorXd logarithms_of(const GpParameters& parameters) {
  const Eigen::Index d = parameters.inverse_squared_lengths.size();
  Eigen::VectorXd logarithms(d + 2);
  // A hundredth of the least noise is added: its logarithm is finite at the bound itself.
  logarithms << parameters.inverse_squared_lengths.array().log().matrix(), std::log(parameters.scale),
      std::log(parameters.noise - 0.99 * GaussianProcess::kLeastNoise);
  return logarithms;
}

}  // namespace

Matern52 matern52(double squared_distance) noexcept {
  const double root = std::sqrt(5 * squared_distance), decay = std::exp(-root);
  return {decay * (1 + root + (5.0 / 3) * squared_distance), (-5.0 / 6) * (1 + root) * decay};
}

GpObjective::GpObjective(const Eigen::MatrixXd& points, const Eigen::VectorXd& values, const std::vector<bool>& categorical)
    : squares_(points.rows() * (points.rows() - 1) / 2, points.cols()), values_(values) {
  Eigen::Index pair = 0;
  for (Eigen::Index j = 0; j < points.rows(); ++j)
    for (Eigen::Index i = j + 1; i < points.rows(); ++i, ++pair)
      for (Eigen::Index k = 0; k < points.cols(); ++k)
        squares_(pair, k) = squared_difference(points(i, k), points(j, k), categorical[static_cast<std::size_t>(k)]);
}

double GpObjective::operator()(const Eigen::VectorXd& logarithms, Eigen::VectorXd& gradient) const {
  const GpParameters p = parameters_of(logarithms);
  const Eigen::VectorXd& w = p.inverse_squared_lengths;
  const Eigen::Index d = w.size(), n = values_.size();
  const Eigen::ArrayXd squared = (squares_ * w).array(), root = (5 * squared).sqrt(), decay = (-root).exp();
  const Eigen::ArrayXd factor = decay * (root + 1 + (5.0 / 3) * squared);
  Eigen::MatrixXd covariance(n, n);
  for (Eigen::Index j = 0, pair = 0; j < n; ++j) {
    covariance(j, j) = p.scale + p.noise;
    for (Eigen::Index i = j + 1; i < n; ++i, ++pair) covariance(i, j) = p.scale * factor[pair];
  }
  const Eigen::LLT<Eigen::MatrixXd> cholesky(covariance);
  if (cholesky.info() != Eigen::Success) return std::numeric_limits<double>::quiet_NaN();
  const Eigen::VectorXd alpha = cholesky.solve(values_);
  const Eigen::MatrixXd inverse = cholesky.solve(Eigen::MatrixXd::Identity(n, n));

  // Derivative by the covariance of each pair, twice since the matrix is symmetric: (C^-1 - alpha alpha^T)_ij.
  Eigen::ArrayXd by_pair(squared.size());
  for (Eigen::Index j = 0, pair = 0; j < n; ++j)
    for (Eigen::Index i = j + 1; i < n; ++i, ++pair) by_pair[pair] = inverse(i, j) - alpha[i] * alpha[j];
  const double by_diagonal = 0.5 * (inverse.trace() - alpha.squaredNorm());
  const Eigen::VectorXd by_square = (by_pair * p.scale * (-5.0 / 6) * (root + 1) * decay).matrix();
  gradient.head(d) = (w.array() * (squares_.transpose() * by_square).array() + 0.1 * w.array() - 0.1 / w.array()).matrix();
  gradient[d] = p.scale * ((by_pair * factor).sum() + by_diagonal) + p.scale - 1;
  gradient[d + 1] = (p.noise - GaussianProcess::kLeastNoise) * (by_diagonal - 0.1 / p.noise + 30);

  const double half_log_determinant = cholesky.matrixLLT().diagonal().array().log().sum();
  const double minus_log_prior = (0.1 / w.array() + 0.1 * w.array()).sum() + p.scale - std::log(p.scale) + 30 * p.noise -
                                 0.1 * std::log(p.noise);
  return half_log_determinant + 0.5 * values_.dot(alpha) + minus_log_prior;
}

GaussianProcess GaussianProcess::fit(Eigen::MatrixXd points, Eigen::VectorXd values, std::vector<bool> categorical,
                                     const GpParameters& start) {
  const Eigen::Index d = points.cols();
  const GpParameters ones{Eigen::VectorXd::Ones(d), 1, 1};
  const bool warm = start.inverse_squared_lengths.size() == d;
  const GpObjective objective(points, values, categorical);
  // e^±15: far beyond where the priors leave anything.
  const Eigen::VectorXd bound = Eigen::VectorXd::Constant(d + 2, 15);
  const BoxMinimum found = minimize_in_box(objective, logarithms_of(warm ? start : ones), -bound, bound,
                                           {.max_iterations = 200, .gradient_tolerance = 1e-2});
  GpParameters parameters = std::isfinite(found.value) ? parameters_of(found.x) : ones;
  return {std::move(points), std::move(values), std::move(categorical), std::move(parameters)};
}

GaussianProcess::GaussianProcess(Eigen::MatrixXd points, Eigen::VectorXd values, std::vector<bool> categorical,
                                 GpParameters parameters, const Eigen::VectorXd& more_noise)
    : points_(std::move(points)), values_(std::move(values)), categorical_(std::move(categorical)),
      parameters_(std::move(parameters)) {
  Eigen::MatrixXd observed = covariance(points_);
  observed.diagonal().array() += parameters_.noise;
  if (more_noise.size()) observed.diagonal() += more_noise;
  factor_.compute(observed);
  weights_ = factor_.solve(values_);
}

Eigen::MatrixXd GaussianProcess::covariance(const Eigen::MatrixXd& xs) const {
  Eigen::ArrayXXd squared = Eigen::ArrayXXd::Zero(points_.rows(), xs.rows());
  for (Eigen::Index k = 0; k < points_.cols(); ++k) {
    const double w = parameters_.inverse_squared_lengths[k];
    for (Eigen::Index j = 0; j < xs.rows(); ++j) {
      const auto difference = points_.col(k).array() - xs(j, k);
      if (categorical_[static_cast<std::size_t>(k)])
        squared.col(j) += w * (difference != 0).cast<double>();
      else
        squared.col(j) += w * difference.square();
    }
  }
  return (parameters_.scale * matern52_of(squared)).matrix();
}

Eigen::VectorXd GaussianProcess::covariance(const Eigen::VectorXd& x, Eigen::MatrixXd& jacobian) const {
  const Eigen::VectorXd& w = parameters_.inverse_squared_lengths;
  Eigen::VectorXd values(points_.rows());
  jacobian.resize(points_.rows(), points_.cols());
  for (Eigen::Index i = 0; i < points_.rows(); ++i) {
    double squared = 0;
    for (Eigen::Index k = 0; k < x.size(); ++k)
      squared += w[k] * squared_difference(x[k], points_(i, k), categorical_[static_cast<std::size_t>(k)]);
    const Matern52 factor = matern52(squared);
    values[i] = parameters_.scale * factor.value;
    for (Eigen::Index k = 0; k < x.size(); ++k)
      jacobian(i, k) = categorical_[static_cast<std::size_t>(k)]
                           ? 0
                           : 2 * parameters_.scale * factor.slope * w[k] * (x[k] - points_(i, k));
  }
  return values;
}

GaussianProcess::Posterior GaussianProcess::posterior(const Eigen::VectorXd& x) const {
  const Eigen::VectorXd k = covariance(Eigen::MatrixXd(x.transpose())).col(0);
  const double explained = factor_.matrixL().solve(k).squaredNorm();
  return {k.dot(weights_), std::max(parameters_.scale - explained, 0.0)};
}

}  // namespace manta::tune
