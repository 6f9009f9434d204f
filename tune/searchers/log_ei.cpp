#include "tune/searchers/log_ei.hpp"

#include <cmath>

#include "tune/searchers/normal.hpp"

namespace manta::tune {

LogImprovement log_improvement(double z) noexcept {
  if (z > -25) {
    const double below = normal_cdf(z), gain = z * below + normal_pdf(z);
    return {std::log(gain), below / gain};
  }
  // With t = 1 / z²: Φ(z) = φ(z)/|z| (1 - t + 3t² - …), and the gain is φ(z) t (1 - 3t + 15t² - …).
  const double t = 1 / (z * z);
  const double below = 1 - t * (1 - t * (3 - t * (15 - t * (105 - t * 945))));
  const double gain = 1 - t * (3 - t * (15 - t * (105 - t * (945 - t * 10395))));
  constexpr double kLogRootTwoPi = 0.91893853320467274178;
  return {-0.5 * z * z - kLogRootTwoPi + std::log(t * gain), -z * below / gain};
}

}  // namespace manta::tune
