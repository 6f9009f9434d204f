#include "tune/searchers/normal.hpp"

#include <algorithm>
#include <boost/math/special_functions/erf.hpp>
#include <limits>

namespace manta::tune {

double normal_quantile(double p) noexcept {
  if (!(p > 0)) return -std::numeric_limits<double>::infinity();
  if (!(p < 1)) return std::numeric_limits<double>::infinity();
  using namespace boost::math::policies;
  constexpr policy<promote_double<false>> kInDoubles;  // a third of the time that long doubles take, a few units in the last place
  return -1.4142135623730950488 * boost::math::erfc_inv(2 * p, kInDoubles);
}

double draw_normal(Random& random) noexcept {
  return normal_quantile(random.uniform() + 0x1.0p-54);  // the middle of one of 2^53 cells: never 0, never 1
}

double log_normal_mass(double a, double b) noexcept {
  if (a > 0) return log_normal_mass(-b, -a);  // the same mass, where erfc keeps its digits
  if (b <= 0) return std::log(normal_cdf(b) - normal_cdf(a));
  return std::log1p(-normal_cdf(a) - normal_cdf(-b));
}

double truncated_normal_quantile(double unit, double mean, double deviation, double low, double high) noexcept {
  // To the right of the mean the mirror image is taken: the distribution function has its digits on the left.
  if (mean < low) return -truncated_normal_quantile(1 - unit, -mean, deviation, -high, -low);
  const double from = normal_cdf((low - mean) / deviation), to = normal_cdf((high - mean) / deviation);
  const double p = std::clamp(from + unit * (to - from), std::numeric_limits<double>::min(), 1 - 1e-16);
  return std::clamp(mean + deviation * normal_quantile(p), low, high);  // also where the interval holds no mass that a double can tell
}

}  // namespace manta::tune
