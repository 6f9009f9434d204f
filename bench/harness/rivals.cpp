#include "bench/harness/rivals.hpp"

#include <tbb/task_group.h>

#include <stdexcept>

namespace manta::bench {
namespace {

constexpr std::size_t kBatch = 1000;

int tbb_fib(int n) {
  if (n < 2) return n;
  int one = 0, two = 0;
  tbb::task_group group;
  group.run([&one, n] { one = tbb_fib(n - 1); });
  group.run([&two, n] { two = tbb_fib(n - 2); });
  group.wait();
  return one + two;
}

/// Called anew each time: the compiler knows nothing of it.
[[gnu::noipa]] int plain_fib(int n) { return n < 2 ? n : plain_fib(n - 1) + plain_fib(n - 2); }

Timed fib_often(int (*fib)(int), std::size_t n) {
  const std::size_t times = (n + kFibTasks - 1) / kFibTasks;
  bool right = true;
  const auto time = time_of([&] {
    for (std::size_t i = 0; i < times; ++i) right &= fib(kFib) == kFibValue;
  });
  if (!right) throw std::runtime_error("a rival's fib(25) gave a wrong result");
  return {times * kFibTasks, time};
}

}  // namespace

Timed tbb_task_group(std::size_t n) {
  const std::size_t batches = (n + kBatch - 1) / kBatch;
  std::vector<int> results(kBatch);
  return {batches * kBatch, time_of([&] {
            for (std::size_t batch = 0; batch < batches; ++batch) {
              tbb::task_group group;
              for (std::size_t i = 0; i < kBatch; ++i) group.run([&results, i] { results[i] = static_cast<int>(i) + 1; });
              group.wait();
            }
          })};
}

Timed tbb_fib_25(std::size_t n) { return fib_often(tbb_fib, n); }
Timed one_thread_fib_25(std::size_t n) { return fib_often(plain_fib, n); }

}  // namespace manta::bench
