#pragma once
// The percentile of numbers that come one by one: O(log n) for each, however many there are. Pure.
#include <cstddef>
#include <limits>
#include <set>
#include <vector>

namespace manta::tune {

/// The percentile (0…100) of the numbers that are not NaN, linearly interpolated as numpy.nanpercentile does; NaN when
/// there is none.
double nan_percentile(std::vector<double> numbers, double percent);

class RunningQuantile {
 public:
  explicit RunningQuantile(double percent) : percent_(percent) {}

  /// NaN is passed over.
  void add(double number);
  /// What nan_percentile gives for all the numbers so far.
  double value() const;
  std::size_t size() const noexcept { return low_.size() + high_.size(); }
  /// All numbers, for saving: add them to a new one in any order.
  std::vector<double> numbers() const;

 private:
  double percent_;
  std::multiset<double> low_;   ///< up to and with the one at the percentile or below it
  std::multiset<double> high_;  ///< the others
};

}  // namespace manta::tune
