#pragma once
// The standard normal distribution between two bounds, accurate in its tails. Free functions, thread-safe.

namespace manta::tune {

/// ln(Φ(b) − Φ(a)); −inf where a double cannot hold the mass. Requires a <= b.
double log_normal_mass(double a, double b) noexcept;

/// Of a normal with that mean and standard deviation, between low and high: the value below which `unit` of its mass lies.
/// Requires low < high, sd > 0.
double truncated_normal_quantile(double unit, double mean, double sd, double low, double high);

}  // namespace manta::tune
