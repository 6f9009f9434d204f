#include "tune/searchers/truncated_normal.hpp"

#include <algorithm>
#include <boost/math/distributions/normal.hpp>
#include <cmath>
#include <limits>
#include <numbers>

namespace manta::tune {

namespace {

double below(double x) noexcept { return 0.5 * std::erfc(-x / std::numbers::sqrt2); }

double quantile(double p) { return boost::math::quantile(boost::math::normal_distribution<double>(), p); }

}  // namespace

double log_normal_mass(double a, double b) noexcept {
  if (a > 0) return log_normal_mass(-b, -a);  // the same mass, where erfc keeps its digits
  if (b <= 0) return std::log(below(b) - below(a));
  return std::log1p(-below(a) - below(-b));
}

double truncated_normal_quantile(double unit, double mean, double sd, double low, double high) {
  const double a = (low - mean) / sd, b = (high - mean) / sd;
  if (a > 0) return low + high - truncated_normal_quantile(1 - unit, low + high - mean, sd, low, high);
  const double from = below(a), to = below(b);
  const double p = std::clamp(from + unit * (to - from), std::numeric_limits<double>::min(), 1 - 1e-16);
  return std::clamp(mean + sd * quantile(p), low, high);
}

}  // namespace manta::tune
