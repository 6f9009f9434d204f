// A runtime that one thread ends while others call it. The story: the end took down what they were just using.
#include <atomic>

#include "runtime/promise.hpp"
#include "support.hpp"

namespace manta_test {
namespace {

int square(int x) { return x * x; }
struct Counter {
  int add() { return ++count; }
  int count = 0;
};

/// Does it until the runtime has ended, then counts.
template <class Act>
std::thread repeat(std::atomic<int>& stopped, const std::atomic<bool>& over, Act act) {
  return std::thread([&stopped, &over, act] {
    try {
      while (!over) act();
    } catch (const RuntimeStopped&) {
    } catch (const Cancelled&) {  // a placement group's, say
    }
    ++stopped;
  });
}

}  // namespace

TEST_SUITE("runtime/api") {
  TEST_CASE("threads that call the runtime while another one ends it have an answer, or RuntimeStopped") {
    const int rounds = in_processes() ? 3 : 20;
    for (int kind = 0; kind < 7; ++kind)
      for (int round = 0; round < rounds; ++round) {
        CAPTURE(kind);
        auto options = small_machine(2);
        if (kind == 1) options.max_queued_bytes = 64 * 1024;  // they wait for room
        auto rt = Runtime::start(options);
        const auto counter = rt.actor<Counter>().spawn();
        std::atomic<int> stopped{0};
        std::atomic<bool> over{false};
        std::vector<std::thread> threads;
        for (int i = 0; i < 3; ++i) {
          const auto begin = [&](auto act) { threads.push_back(repeat(stopped, over, act)); };
          if (kind == 0) begin([&rt] { rt.available_resources(), rt.total_resources(); });
          if (kind == 1) begin([&rt] { rt.remote<square>(3); });
          if (kind == 2) begin([&rt] { rt.stats(); });
          if (kind == 3) begin([&rt, counter] { rt.cancel(counter.call<&Counter::add>()); });
          if (kind == 4) begin([&rt] { rt.get(rt.put(std::string(200'000, 'x'))); });
          if (kind == 5) begin([&rt] { rt.explain(rt.remote<square>(4)); });
          if (kind == 6) begin([&rt] { rt.remove(rt.placement_group({.bundles = {{.num_cpus = 1}}})); });
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(2 + round % 7));
        rt.shutdown();
        over = true;
        for (auto& thread : threads) thread.join();
        CHECK(stopped == 3);
      }
  }
}

}  // namespace manta_test
