#pragma once
// The normal distribution as the model-based searchers need it. Pure functions; any thread.
#include <cmath>

#include "tune/random.hpp"

namespace manta::tune {

/// The density of the standard normal.
inline double normal_pdf(double z) noexcept { return std::exp(-0.5 * z * z) * 0.3989422804014326779; }
/// The probability of a draw below z; exact to a few units in the last place far out on the left too.
inline double normal_cdf(double z) noexcept { return 0.5 * std::erfc(-z * 0.70710678118654752440); }
/// The z below which a draw falls with probability p: -inf at 0, inf at 1.
double normal_quantile(double p) noexcept;
/// ln(Φ(b) − Φ(a)), accurate in both tails; −inf where a double cannot hold the mass. Requires a <= b.
double log_normal_mass(double a, double b) noexcept;
/// Of the normal of that mean and deviation, cut to [low, high]: the value below which `unit` of its mass lies. Requires
/// low <= high, deviation > 0.
double truncated_normal_quantile(double unit, double mean, double deviation, double low, double high) noexcept;

/// A draw from the standard normal.
double draw_normal(Random& random) noexcept;
/// A draw from the normal of that mean and deviation, cut to [low, high]. Requires low <= high and deviation > 0.
inline double draw_truncated_normal(Random& random, double mean, double deviation, double low, double high) noexcept {
  return truncated_normal_quantile(random.uniform(), mean, deviation, low, high);
}

}  // namespace manta::tune
