#pragma once
// Many at once: a million tasks, ten thousand actors, nested tasks; and what one costs in memory and in CPU time. Against
// the public API; workers are threads. The runtime must outlive the bodies.
#include "bench/harness/measure.hpp"
#include "runtime/runtime.hpp"

namespace manta::bench {

/// Queues a million tasks, then takes all results. Does the million whatever n is.
Body tasks_1m(Client& client);
/// Spawns ten thousand actors and calls each once; their end is not part of it. Does them all whatever n is.
Body actors_10k(Client& client);
/// fib(25) where each call waits for two tasks: 242,785 tasks. Does it once whatever n is.
Body fib_25(Client& client);

/// The same work, timed by the CPU time of all threads of this process instead of the clock on the wall.
Body in_cpu_time(Body body);

/// Bytes of the heap in use per task that is queued behind busy CPUs, result and ref included.
double bytes_of_a_queued_task(Client& client);
/// Bytes of the heap in use per idle actor, handle included.
double bytes_of_an_idle_actor(Client& client);

}  // namespace manta::bench
