#include "tune/searchers/qmc.hpp"

#include <algorithm>
#include <boost/random/sobol.hpp>

namespace manta::tune {

std::vector<double> sobol_points(std::size_t count, std::size_t dimensions, Random& random) {
  constexpr std::size_t kLongest = 1000;
  std::vector<double> points(count * dimensions);
  if (points.empty()) return points;
  const std::size_t even = std::min(dimensions, kLongest);
  boost::random::sobol sequence(even);
  std::vector<double> shift(even);
  for (double& coordinate : shift) coordinate = random.uniform();
  for (std::size_t i = 0; i < count; ++i)
    for (std::size_t j = 0; j < dimensions; ++j) {
      double value = random.uniform();
      if (j < even) {
        value = static_cast<double>(sequence() >> 11) * 0x1.0p-53 + shift[j];
        value -= value >= 1;
      }
      points[i * dimensions + j] = value;
    }
  return points;
}

}  // namespace manta::tune
