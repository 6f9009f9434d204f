#pragma once
// How a bench is measured: a warm-up and five runs, each beside a run of its floor, so that both see the same machine.
//
// A bench is a function that does about `n` operations and says how long they took; the harness finds the n that fills a
// run's time. Rates are operations per second; the median counts, the spread is (largest - smallest) / median.
#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace manta::bench {

/// Does about n operations (at least one).
struct Timed {
  std::size_t operations;
  std::chrono::nanoseconds time;
};
using Body = std::function<Timed(std::size_t n)>;

/// Somebody else's way to do the same work.
struct Rival {
  std::string name;
  Body body;
};

struct Bench {
  std::string name;
  std::string unit;   ///< "tasks/s"
  std::string floor;  ///< the floor's name
  Body body;
  Body floor_body;
  std::vector<Rival> rivals{};
};

/// One line of bench.csv. `ratio` is value / floor_value: 1 is as fast as the floor, more is better.
struct Row {
  std::string name;
  double value;
  std::string unit;
  std::string floor;
  double floor_value;
  double ratio;
  double spread;
};

struct Effort {
  int runs = 5;
  std::chrono::nanoseconds run_time = std::chrono::milliseconds(400);
};

/// The bench beside its floor.
Row measure(const Bench& bench, const Effort& effort);
/// The same, and a row "bench@rival" for each rival, all from the same runs.
std::vector<Row> measure_all(const Bench& bench, const Effort& effort);

/// The middle one, or the mean of the two in the middle. Requires at least one value.
double median(std::vector<double> values);
/// (largest - smallest) / median. Requires at least one value.
double spread(const std::vector<double>& values);

/// Times a function.
template <class F>
std::chrono::nanoseconds time_of(F&& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::steady_clock::now() - start;
}

}  // namespace manta::bench
