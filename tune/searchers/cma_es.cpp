#include "tune/searchers/cma_es.hpp"

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "tune/searchers/normal.hpp"

namespace manta::tune {

namespace {

constexpr double kShrunk = 1e-12;       // of sigma0: a distribution that small has converged
constexpr double kIllConditioned = 1e14;
constexpr std::size_t kLeastPoints = 4;   // of a generation
constexpr std::size_t kMostPoints = 512;  // that restarts make of a generation: each is drawn and ranked, also where a model skips most

Eigen::VectorXd draw_normals(Eigen::Index count, Random& random) {
  Eigen::VectorXd z(count);
  for (double& one : z) one = draw_normal(random);
  return z;
}

}  // namespace

/// The tutorial's constants for a number of dimensions and a population, with its equation numbers.
struct CmaEs::Rates {
  Rates(double n, std::size_t population) : weights(static_cast<Eigen::Index>(population)) {
    mu = static_cast<Eigen::Index>(population / 2);
    for (Eigen::Index i = 0; i < weights.size(); ++i)
      weights[i] = std::log((static_cast<double>(population) + 1) / 2) - std::log(static_cast<double>(i) + 1);  // (49)
    const auto effective = [](const auto& w) { return w.sum() * w.sum() / w.squaredNorm(); };
    mu_eff = effective(weights.head(mu));
    const double mu_eff_minus = effective(weights.tail(weights.size() - mu));
    c1 = 2 / ((n + 1.3) * (n + 1.3) + mu_eff);                                                               // (57)
    cmu = std::min(1 - c1 - 1e-8, 2 * (mu_eff - 2 + 1 / mu_eff) / ((n + 2) * (n + 2) + mu_eff));             // (58)
    const double least = std::min({1 + c1 / cmu, 1 + 2 * mu_eff_minus / (mu_eff + 2), (1 - c1 - cmu) / (n * cmu)});
    const double plus = weights.cwiseMax(0).sum(), minus = -weights.cwiseMin(0).sum();
    weights = (weights.array() >= 0).select(weights / plus, weights * (least / minus));                      // (53)
    c_sigma = (mu_eff + 2) / (n + mu_eff + 5);                                                               // (55)
    d_sigma = 1 + 2 * std::max(0.0, std::sqrt((mu_eff - 1) / (n + 1)) - 1) + c_sigma;
    cc = (4 + mu_eff / n) / (n + 4 + 2 * mu_eff / n);                                                        // (56)
    chi = std::sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n));
  }

  Eigen::VectorXd weights;
  Eigen::Index mu;
  double mu_eff, c1, cmu, c_sigma, d_sigma, cc, chi;
};

CmaEs::CmaEs(std::size_t dimensions, CmaEsOptions options, std::vector<double> cells)
    : options_(options), cells_(std::move(cells)) {
  cells_.resize(dimensions, 0);
  const auto fitting = static_cast<std::int64_t>(4 + std::floor(3 * std::log(static_cast<double>(dimensions))));
  const std::int64_t population = options_.population_size > 0 ? options_.population_size : fitting;
  begin(Eigen::VectorXd::Constant(static_cast<Eigen::Index>(dimensions), 0.5), std::max(static_cast<std::size_t>(population), kLeastPoints));
}

void CmaEs::begin(Eigen::VectorXd mean, std::size_t population) {
  const Eigen::Index d = mean.size();
  population_ = population;
  first_generation_ = generation_;
  sigma_ = options_.sigma0;
  mean_ = std::move(mean);
  covariance_ = Eigen::MatrixXd::Identity(d, d);
  sigma_path_ = covariance_path_ = Eigen::VectorXd::Zero(d);
  told_.clear();
  decompose();
  keep_margin();
}

CmaEs::Draw CmaEs::ask(Random& random) const {
  Eigen::VectorXd x;
  for (Eigen::Index tries = 0; tries <= 10 * mean_.size(); ++tries) {
    x = mean_ + sigma_ * (axes_ * lengths_.cwiseProduct(draw_normals(mean_.size(), random)));
    if (x.minCoeff() >= 0 && x.maxCoeff() <= 1) break;
  }
  return {x.cwiseMax(0).cwiseMin(1), generation_};
}

void CmaEs::tell(const Draw& draw, double value, Random& random) {
  if (draw.generation < first_generation_) return;  // drawn before the restart, from another place
  told_.push_back({draw, std::isnan(value) ? std::numeric_limits<double>::infinity() : value});
  if (told_.size() < population_) return;
  update();
  if (!options_.restart || !has_shrunk()) return;
  ++restarts_;
  Eigen::VectorXd mean(mean_.size());
  for (double& coordinate : mean) coordinate = random.uniform();
  begin(std::move(mean), std::max(population_, std::min(2 * population_, kMostPoints)));
}

/// The steps from the mean in units of sigma, one a column, the best first.
Eigen::MatrixXd CmaEs::steps_by_rank() {
  std::stable_sort(told_.begin(), told_.end(), [](const Told& a, const Told& b) { return a.value < b.value; });
  const Eigen::Index d = mean_.size();
  const double longest = std::sqrt(static_cast<double>(d)) + 2.0 * static_cast<double>(d) / static_cast<double>(d + 2);
  Eigen::MatrixXd steps(d, static_cast<Eigen::Index>(told_.size()));
  for (std::size_t i = 0; i < told_.size(); ++i) {
    Eigen::VectorXd step = (told_[i].draw.x - mean_) / sigma_;
    if (told_[i].draw.generation != generation_) {
      const double length = lengths_.cwiseInverse().cwiseProduct(axes_.transpose() * step).norm();
      step *= std::min(1.0, longest / std::max(length, 1e-300));
    }
    steps.col(static_cast<Eigen::Index>(i)) = step;
  }
  return steps;
}

void CmaEs::update() {
  const Rates rates(static_cast<double>(mean_.size()), population_);
  const Eigen::MatrixXd steps = steps_by_rank();
  told_.clear();
  ++generation_;
  adapt(steps, rates);
  decompose();
  keep_margin();
}

void CmaEs::adapt(const Eigen::MatrixXd& steps, const Rates& rates) {
  const auto n = static_cast<double>(mean_.size());
  const Eigen::MatrixXd whiten = axes_ * lengths_.cwiseInverse().asDiagonal() * axes_.transpose();
  const Eigen::VectorXd step = steps.leftCols(rates.mu) * rates.weights.head(rates.mu);  // (41)
  mean_ = (mean_ + sigma_ * step).cwiseMax(0).cwiseMin(1);
  sigma_path_ = (1 - rates.c_sigma) * sigma_path_ +
                std::sqrt(rates.c_sigma * (2 - rates.c_sigma) * rates.mu_eff) * (whiten * step);  // (43)
  const double length = sigma_path_.norm();
  const double age = 2.0 * static_cast<double>(generation_ - first_generation_ + 1);
  const bool steady = length / std::sqrt(1 - std::pow(1 - rates.c_sigma, age)) < (1.4 + 2 / (n + 1)) * rates.chi;
  covariance_path_ = (1 - rates.cc) * covariance_path_;
  if (steady) covariance_path_ += std::sqrt(rates.cc * (2 - rates.cc) * rates.mu_eff) * step;  // (45)
  Eigen::VectorXd weights = rates.weights;
  for (Eigen::Index i = 0; i < weights.size(); ++i)
    if (weights[i] < 0) weights[i] *= n / ((whiten * steps.col(i)).squaredNorm() + 1e-8);  // (46)
  const double missing = steady ? 0 : rates.cc * (2 - rates.cc);
  covariance_ = ((1 + rates.c1 * missing - rates.c1 - rates.cmu * rates.weights.sum()) * covariance_ +
                 rates.c1 * covariance_path_ * covariance_path_.transpose() +
                 rates.cmu * steps * weights.asDiagonal() * steps.transpose())
                    .eval();  // (47)
  sigma_ = std::min(sigma_ * std::exp(std::min(1.0, rates.c_sigma / rates.d_sigma * (length / rates.chi - 1))), 1e3);  // (44)
}

void CmaEs::decompose() {
  covariance_ = (0.5 * (covariance_ + covariance_.transpose())).eval();
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(covariance_);
  axes_ = solver.eigenvectors();
  const double largest = std::max(solver.eigenvalues().maxCoeff(), 1e-300);
  lengths_ = solver.eigenvalues().cwiseMax(largest * 1e-15).cwiseSqrt();
}

void CmaEs::keep_margin() {
  const double chance = 1 / (static_cast<double>(cells_.size()) * static_cast<double>(population_));
  bool widened = false;
  for (std::size_t k = 0; k < cells_.size(); ++k) {
    if (!(cells_[k] > 0)) continue;
    const auto i = static_cast<Eigen::Index>(k);
    // From the middle of a cell both neighbours together are drawn with that chance.
    const double needed = 0.5 * cells_[k] / -normal_quantile(std::min(0.49, 0.5 * chance));
    const double has = sigma_ * std::sqrt(covariance_(i, i));
    if (has >= needed) continue;
    const double factor = needed / std::max(has, 1e-300);
    covariance_.row(i) *= factor;
    covariance_.col(i) *= factor;
    widened = true;
  }
  if (widened) decompose();
}

bool CmaEs::has_shrunk() const {
  const double longest = lengths_.maxCoeff(), shortest = lengths_.minCoeff();
  return sigma_ * longest < kShrunk * options_.sigma0 || longest * longest > kIllConditioned * shortest * shortest;
}

void CmaEs::save(StateWriter& out) const {
  const auto numbers = [](const auto& matrix) { return std::span<const double>(matrix.data(), static_cast<std::size_t>(matrix.size())); };
  out.put(static_cast<std::uint64_t>(population_)).put(generation_).put(first_generation_).put(restarts_).put(sigma_);
  out.put(numbers(mean_)).put(numbers(covariance_)).put(numbers(sigma_path_)).put(numbers(covariance_path_));
  out.put(static_cast<std::uint64_t>(told_.size()));
  for (const Told& one : told_) out.put(numbers(one.draw.x)).put(one.draw.generation).put(one.value);
}

void CmaEs::restore(StateReader& in) {
  const Eigen::Index d = mean_.size();
  const auto vector = [&](Eigen::Index size) {
    const std::vector<double> numbers = in.numbers(static_cast<std::size_t>(size));
    return Eigen::VectorXd(Eigen::Map<const Eigen::VectorXd>(numbers.data(), size));
  };
  const std::size_t most = std::max(population_, kMostPoints);  // restarts make no more
  population_ = in.integer();
  if (population_ < kLeastPoints || population_ > most) in.fail();
  generation_ = in.integer();
  first_generation_ = in.integer();
  restarts_ = in.integer();
  sigma_ = in.number();
  mean_ = vector(d);
  covariance_ = vector(d * d).reshaped(d, d);
  sigma_path_ = vector(d);
  covariance_path_ = vector(d);
  told_.resize(in.count());
  if (told_.size() >= population_) in.fail();
  for (Told& one : told_) {
    one.draw.x = vector(d);
    one.draw.generation = in.integer();
    one.value = in.comparable();
  }
  decompose();
}

}  // namespace manta::tune
