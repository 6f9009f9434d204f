// Fault 12: the wall clock jumps by two hours, back and forth. Deadlines, timeouts, back-offs and leases take the time that they
// take, neither none nor hours.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <chrono>
#include <thread>

#include "runtime/runtime.hpp"
#include "tests/runtime/clean.hpp"

unsigned wall_clock_looks();  // jumping_clock.cpp

namespace {

using namespace manta;
using namespace std::chrono_literals;

int twice(int x) { return 2 * x; }
int nested(Context& ctx, int x) { return ctx.get(ctx.remote<twice>(x)) + 1; }
int until_cancelled(Context& ctx) {
  while (!ctx.cancelled()) std::this_thread::sleep_for(1ms);
  return 0;
}
struct Busy : std::runtime_error {
  Busy() : std::runtime_error("busy") {}
};
int third_time(Context& ctx) {
  if (ctx.attempt() < 3) throw Busy();
  return ctx.attempt();
}
struct Counter {
  int count = 0;
  int add() { return ++count; }
};

/// How long it took, on the clock that does not jump.
template <class F>
std::chrono::nanoseconds time_of(F&& f) {
  const auto begin = SteadyClock::now();
  f();
  return SteadyClock::now() - begin;
}

constexpr auto kLong = 60s;  // what is stuck until a clock has come round takes an hour

void all_in_time(Workers workers) {
  RuntimeOptions options;
  options.workers = workers;
  options.num_cpus = 2;
  options.arena_bytes = 64u << 20;
  auto rt = Runtime::start(options);
  CHECK(rt.get(rt.remote<nested>(4), kLong) == 9);
  const auto until_deadline = time_of([&] {
    CHECK_THROWS_AS(rt.get(rt.task<until_cancelled>({.deadline = 200ms, .isolation = own_process}).remote(), kLong), Timeout);
  });
  CHECK(until_deadline >= 200ms);
  CHECK(until_deadline < kLong);
  const auto until_timeout = time_of([&] {
    auto ref = rt.remote<until_cancelled>();
    CHECK_THROWS_AS(rt.get(ref, 100ms), Timeout);
    CHECK(rt.wait(std::vector{ref}, {.count = 1, .timeout = 100ms}).ready.empty());
    rt.cancel(ref);
  });
  CHECK(until_timeout >= 200ms);
  CHECK(until_timeout < kLong);
  const auto backed_off = time_of([&] {
    CHECK(rt.get(rt.task<third_time>({.retry_on = retry_on<Busy>, .backoff = {.initial = 50ms, .factor = 2}}).remote(), kLong) == 3);
  });
  CHECK(backed_off >= 150ms);
  auto counter = rt.actor<Counter>({.isolation = own_process}).spawn();
  for (int i = 1; i <= 100; ++i) CHECK(rt.get(counter.call<&Counter::add>(), kLong) == i);
  counter = {};
  const auto idle = [&rt] { return rt.stats().idle() && rt.available_resources() == rt.total_resources(); };
  for (int i = 0; i < 60'000 && !idle(); ++i) std::this_thread::sleep_for(1ms);
  CHECK_MESSAGE(idle(), rt.stats().to_string());
}

}  // namespace

TEST_SUITE("runtime/faults") {
  TEST_CASE("fault 12: with a wall clock that jumps an hour forth and back all takes its own time, in threads and in processes") {
    const manta_test::Clean clean;
    const auto one = std::chrono::system_clock::now(), two = std::chrono::system_clock::now();
    REQUIRE((one - two > 1h || two - one > 1h));  // it does jump
    const auto all = time_of([] {
      all_in_time(Workers::kThread);
      all_in_time(Workers::kProcess);
    });
    CHECK(all < 2 * kLong);
    CHECK(wall_clock_looks() >= 2);
  }
}

int main(int argc, char** argv) {
  Runtime::enter_worker_mode(argc, argv);
  return doctest::Context(argc, argv).run();
}
