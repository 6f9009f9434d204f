#include "tune/searchers/output_warp.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace manta::tune {

namespace {

constexpr double kAlike = 1e-10;  // a deviation below this, relative to the largest loss, is none

double variance_around_mean(const std::vector<double>& values, double& mean) {
  mean = 0;
  for (double value : values) mean += value / static_cast<double>(values.size());
  double sum = 0;
  for (double value : values) sum += (value - mean) * (value - mean) / static_cast<double>(values.size());
  return sum;
}

/// False, and all zeros, where the values are alike.
bool standardise(std::vector<double>& values) {
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  const double middle = 0.5 * *least + 0.5 * *most, reach = 0.5 * *most - 0.5 * *least;  // halves first: a sum may overflow
  const double unit = reach > 0 ? reach : 1;
  for (double& value : values) value = (value - middle) / unit;
  double mean = 0;
  const double deviation = std::sqrt(variance_around_mean(values, mean));
  const bool differ = reach > kAlike * std::max(std::abs(middle), std::numeric_limits<double>::min()) && deviation > kAlike;
  for (double& value : values) value = differ ? (value - mean) / deviation : 0;
  return differ;
}

double log_likelihood(const std::vector<double>& z, double lambda) {
  std::vector<double> changed;
  double slopes = 0, mean = 0;
  for (double one : z) {
    changed.push_back(yeo_johnson(one, lambda));
    slopes += (lambda - 1) * std::copysign(std::log1p(std::abs(one)), one);
  }
  return slopes - 0.5 * static_cast<double>(z.size()) * std::log(std::max(variance_around_mean(changed, mean), 1e-300));
}

}  // namespace

double yeo_johnson(double z, double lambda) noexcept {
  if (z >= 0) return std::abs(lambda) < 1e-9 ? std::log1p(z) : std::expm1(lambda * std::log1p(z)) / lambda;
  const double mirrored = 2 - lambda;
  return std::abs(mirrored) < 1e-9 ? -std::log1p(-z) : -std::expm1(mirrored * std::log1p(-z)) / mirrored;
}

std::vector<double> standardised(std::vector<double> losses) {
  if (!losses.empty()) standardise(losses);
  return losses;
}

std::vector<double> warped(std::vector<double> losses) {
  if (losses.empty() || !standardise(losses)) return losses;
  double best = 1, most = log_likelihood(losses, 1);
  for (int step = 9; step >= -10; --step) {
    const double lambda = step / 10.0, likelihood = log_likelihood(losses, lambda);
    if (likelihood > most) best = lambda, most = likelihood;
  }
  for (double& loss : losses) loss = yeo_johnson(loss, best);
  standardise(losses);
  return losses;
}

}  // namespace manta::tune
