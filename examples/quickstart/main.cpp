// The first steps: a task, a ref as an argument, an actor that is restarted when its process dies, options, wait.
//
//   quickstart                      everything on threads of this process
//   quickstart --workers=process    the same in worker processes
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "runtime/runtime.hpp"

using namespace std::chrono_literals;

int square(int x) { return x * x; }

struct Counter {
  int total = 0;
  int add(int by) { return total += by; }
};

int main(int argc, char** argv) try {
  manta::Runtime rt = manta::Runtime::start(argc, argv);  // takes its own flags out of argc and argv
  if (argc > 1) throw manta::InvalidArgument("unknown flag " + std::string(argv[1]) + "; there are:\n" + manta::Runtime::flags_help());

  manta::ObjectRef<int> nine = rt.remote<square>(3);  // a task
  manta::ObjectRef<int> x = rt.remote<square>(nine);  // a ref is an argument like any other
  const int eighty_one = rt.get(x);                   // throws the task's error; get(x, 5s) throws Timeout

  auto counter = rt.actor<Counter>({.name = "clicks", .max_restarts = 3}).spawn();
  auto five = counter.call<&Counter::add>(5);

  auto slow = rt.task<square>({.num_cpus = 1, .max_retries = 5}).remote(7);
  const auto [ready, pending] = rt.wait(std::vector{five, slow}, {.count = 1, .timeout = 2s});

  std::printf("3 squared twice is %d; the counter says %d; 7 squared is %d\n", eighty_one, rt.get(five), rt.get(slow));
  return eighty_one == 81 && !ready.empty() ? 0 : 1;
} catch (const manta::Error& e) {
  std::fprintf(stderr, "quickstart: %s\n", e.what());
  return 1;
}
