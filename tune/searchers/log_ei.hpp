#pragma once
// The logarithm of the expected improvement, in a form that neither underflows nor loses its digits where there is next to
// nothing to gain (Ament et al., "Unexpected Improvements to Expected Improvement for Bayesian Optimization", 2023). Pure.

namespace manta::tune {

struct LogImprovement {
  double value{0};  ///< ln(z Φ(z) + φ(z))
  double slope{0};  ///< its derivative, Φ(z) / (z Φ(z) + φ(z))
};

/// ln E[max(0, z + N(0, 1))] for any finite z. Relative error below 1e-9.
LogImprovement log_improvement(double z) noexcept;

}  // namespace manta::tune
