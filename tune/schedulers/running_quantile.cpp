#include "tune/schedulers/running_quantile.hpp"

#include <algorithm>
#include <cmath>

namespace manta::tune {

namespace {

/// numpy's _lerp, so that ties fall alike.
double between(double a, double b, double t) {
  if (t == 0 || a == b) return a;
  return t >= 0.5 ? b - (b - a) * (1 - t) : a + (b - a) * t;
}

double position_of(double percent, std::size_t count) { return percent / 100.0 * static_cast<double>(count - 1); }

}  // namespace

double nan_percentile(std::vector<double> numbers, double percent) {
  std::erase_if(numbers, [](double x) { return std::isnan(x); });
  if (numbers.empty()) return std::numeric_limits<double>::quiet_NaN();
  std::sort(numbers.begin(), numbers.end());
  const double position = position_of(percent, numbers.size());
  const auto below = std::min(static_cast<std::size_t>(position), numbers.size() - 1);
  return between(numbers[below], numbers[std::min(below + 1, numbers.size() - 1)], position - static_cast<double>(below));
}

void RunningQuantile::add(double number) {
  if (std::isnan(number)) return;
  (low_.empty() || number < *low_.rbegin() ? low_ : high_).insert(number);
  const auto wanted = static_cast<std::size_t>(position_of(percent_, size())) + 1;
  while (low_.size() > wanted) high_.insert(low_.extract(std::prev(low_.end())));
  while (low_.size() < wanted) low_.insert(high_.extract(high_.begin()));
}

double RunningQuantile::value() const {
  if (low_.empty()) return std::numeric_limits<double>::quiet_NaN();
  const double below = *low_.rbegin();
  const double position = position_of(percent_, size());
  return between(below, high_.empty() ? below : *high_.begin(), position - static_cast<double>(low_.size() - 1));
}

std::vector<double> RunningQuantile::numbers() const {
  std::vector<double> all(low_.begin(), low_.end());
  all.insert(all.end(), high_.begin(), high_.end());
  return all;
}

}  // namespace manta::tune
