#include "tune/searchers/normal.hpp"

#include <algorithm>
#include <boost/math/special_functions/erf.hpp>
#include <limits>

namespace manta::tune {

double normal_quantile(double p) noexcept {
  if (!(p > 0)) return -std::numeric_limits<double>::infinity();
  if (!(p < 1)) return std::numeric_limits<double>::infinity();
  return -1.4142135623730950488 * boost::math::erfc_inv(2 * p);
}

double draw_normal(Random& random) noexcept {
  return normal_quantile(random.uniform() + 0x1.0p-54);  // the middle of one of 2^53 cells: never 0, never 1
}

double draw_truncated_normal(Random& random, double mean, double deviation, double low, double high) noexcept {
  // To the right of the mean the mirror image is drawn: the distribution function has its digits on the left.
  if (mean < low) return -draw_truncated_normal(random, -mean, deviation, -high, -low);
  const double below = normal_cdf((low - mean) / deviation), above = normal_cdf((high - mean) / deviation);
  const double drawn = mean + deviation * normal_quantile(below + (above - below) * random.uniform());
  return std::clamp(drawn, low, high);  // also where the interval holds no mass that a double can tell
}

}  // namespace manta::tune
