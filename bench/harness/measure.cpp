#include "bench/harness/measure.hpp"

#include <algorithm>

namespace manta::bench {
namespace {

double rate(const Timed& timed) {
  return static_cast<double>(timed.operations) * 1e9 / static_cast<double>(std::max<std::int64_t>(timed.time.count(), 1));
}

/// How many operations fill a run. The runs that find it out are the warm-up.
std::size_t operations_in(const Body& body, std::chrono::nanoseconds run_time) {
  std::size_t n = 1;
  for (Timed timed = body(n);; timed = body(n)) {
    if (timed.time * 4 >= run_time) {
      return std::max<std::size_t>(1, static_cast<std::size_t>(rate(timed) * static_cast<double>(run_time.count()) / 1e9));
    }
    n *= 4;
  }
}

}  // namespace

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double spread(const std::vector<double>& values) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return (*high - *low) / median(values);
}

Row measure(const Bench& bench, const Effort& effort) {
  const std::size_t floor_n = operations_in(bench.floor_body, effort.run_time);
  const std::size_t n = operations_in(bench.body, effort.run_time);
  std::vector<double> rates, floor_rates;
  for (int run = 0; run < effort.runs; ++run) {
    floor_rates.push_back(rate(bench.floor_body(floor_n)));
    rates.push_back(rate(bench.body(n)));
  }
  const double value = median(rates), floor_value = median(floor_rates);
  return {bench.name, value, bench.unit, bench.floor, floor_value, value / floor_value, spread(rates)};
}

}  // namespace manta::bench
