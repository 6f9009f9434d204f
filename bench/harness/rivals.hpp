#pragma once
// Rivals: the same work in oneTBB, and on one thread without any runtime. An operation is a task.
#include "bench/harness/measure.hpp"

namespace manta::bench {

/// Batches of 1000 tasks in a oneTBB task_group, each with its own place for its result, awaited together.
Timed tbb_task_group(std::size_t n);

inline constexpr int kFib = 25;
inline constexpr std::size_t kFibTasks = 242'785;  ///< calls of fib(25) in all
inline constexpr int kFibValue = 75'025;
/// fib(25), each call a task that waits for its two children; as often as makes n tasks.
Timed tbb_fib_25(std::size_t n);
/// The same as plain calls.
Timed one_thread_fib_25(std::size_t n);

}  // namespace manta::bench
