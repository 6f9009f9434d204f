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
    const bool always_the_same = n > timed.operations;
    if (timed.time * 4 >= run_time || always_the_same) {
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

std::vector<Row> measure_all(const Bench& bench, const Effort& effort) {
  struct Side {
    const Body& body;
    std::string row, name;
    std::size_t n;
    std::vector<double> rates{};
  };
  std::vector<Side> sides{{bench.floor_body, bench.name, bench.floor, operations_in(bench.floor_body, effort.run_time)}};
  for (const Rival& rival : bench.rivals)
    sides.push_back({rival.body, bench.name + "@" + rival.name, rival.name, operations_in(rival.body, effort.run_time)});
  const std::size_t n = operations_in(bench.body, effort.run_time);
  std::vector<double> rates;
  for (int run = 0; run < effort.runs; ++run) {
    for (Side& side : sides) side.rates.push_back(rate(side.body(side.n)));
    rates.push_back(rate(bench.body(n)));
  }
  std::vector<Row> rows;
  for (const Side& side : sides) {
    const double value = median(rates), floor_value = median(side.rates);
    rows.push_back({side.row, value, bench.unit, side.name, floor_value, value / floor_value, spread(rates)});
  }
  return rows;
}

Row measure(const Bench& bench, const Effort& effort) { return measure_all(bench, effort).front(); }

}  // namespace manta::bench
