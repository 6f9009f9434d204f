// A runtime that one thread ends while others call it. The story: the end took down what they were just using.
#include <atomic>

#include "runtime/promise.hpp"
#include "support.hpp"

namespace manta_test {
namespace {

int square(int x) { return x * x; }
int take_a_while() { return std::this_thread::sleep_for(std::chrono::milliseconds(400)), 1; }
Runtime* g_ended = nullptr;  // in the driver
std::atomic<bool> g_submitted{false};
int end_it() {
  while (!g_submitted) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return g_ended->shutdown(), 1;
}
struct Ender {
  int touch() { return 1; }
  ~Ender() {
    if (g_ended) g_ended->shutdown();
  }
};
struct Counter {
  int add() { return ++count; }
  int count = 0;
};

struct Endless {
  int touch() { return 1; }
  int stay() {
    for (;;) std::this_thread::sleep_for(std::chrono::seconds(1));
  }
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

  // The destructor took it down while that thread was at it.
  TEST_CASE("whoever ends a runtime that another thread is ending returns when it has ended, and may destroy it") {
    for (int round = 0; round < 5; ++round) {
      std::optional<Runtime> rt(Runtime::start(small_machine(2)));
      const auto running = rt->remote<take_a_while>();
      CHECK(eventually([&] { return rt->available_resources()["CPU"] < Amount(2); }));
      std::thread ender([&] { rt->shutdown(); });
      CHECK(eventually([&] {
        try {
          return rt->stats(), false;
        } catch (const RuntimeStopped&) {
          return true;
        }
      }));
      if (round % 2) rt->shutdown();
      CHECK((round % 2 == 0 || running.ready()));
      rt.reset();
      CHECK(running.ready());
      ender.join();
    }
  }

  // It waited for the end, which waited for it.
  TEST_CASE("an actor's destructor that ends the runtime holds up no end") {
    if (in_processes()) return;  // there they have no Runtime
    auto options = small_machine(2);
    options.shutdown_timeout = std::chrono::milliseconds::max();
    auto rt = Runtime::start(options);
    g_ended = &rt;
    auto ender = rt.actor<Ender>().spawn();
    CHECK(rt.get(ender.call<&Ender::touch>()) == 1);
    rt.shutdown();
    g_ended = nullptr;
  }

  // The end had told it already, and what a kill does beside was left out: nobody could end such a wait.
  TEST_CASE("a kill while the runtime ends, or just before, ends a method that never does") {
    for (const bool before : {true, false}) {
      auto options = small_machine(2);
      options.shutdown_timeout = std::chrono::milliseconds::max();
      auto rt = Runtime::start(options);
      auto endless = rt.actor<Endless>({.isolation = own_process}).spawn();
      CHECK(rt.get(endless.call<&Endless::touch>()) == 1);
      const auto stays = endless.call<&Endless::stay>();
      CHECK_THROWS_AS(rt.get(stays, std::chrono::milliseconds(200)), Timeout);
      std::vector<ObjectRef<int>> ahead;  // so that the owner has much to do before it hears of the kill
      for (int i = 0; before && i < 20'000; ++i) ahead.push_back(rt.remote<square>(i));
      if (before) endless.kill();
      std::thread killer([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(500));
        if (!before) endless.kill();
      });
      rt.shutdown();
      killer.join();
      CHECK(stays.ready());
    }
  }

  TEST_CASE("tasks that end the runtime do not wait for each other") {
    if (in_processes()) return;  // there they have no Runtime
    auto options = small_machine(2);
    options.shutdown_timeout = std::chrono::milliseconds(100);
    std::optional<Runtime> rt(Runtime::start(options));
    g_ended = &*rt;
    const std::vector both{rt->remote<end_it>(), rt->remote<end_it>()};
    g_submitted = true;
    const auto tasks = rt->wait(both, {.count = 2});
    CHECK(tasks.ready.size() == 2);
    rt.reset();
    g_ended = nullptr;
  }

  TEST_CASE("a callback for a promise that is set after the end is called once, by whoever sets it") {
    for (const bool destroyed : {false, true}) {
      CAPTURE(destroyed);
      std::optional<Runtime> rt(Runtime::start(small_machine(1)));
      const Promise<int> set, failed;
      std::thread::id caller;
      int calls = 0, value = 0;
      rt->on_ready(set.ref(), [&](const ObjectRef<int>& ref) { ++calls, value = ref.ready() ? 5 : 0, caller = std::this_thread::get_id(); });
      rt->on_ready(failed.ref(), [&](const ObjectRef<int>& ref) { ++calls, value += ref.failed() ? 100 : 0; });
      const auto waits = rt->remote<square>(set.ref());  // as an argument it never comes in time
      rt->shutdown();
      CHECK_THROWS_AS(rt->get(waits), RuntimeStopped);
      if (destroyed) rt.reset();
      CHECK(calls == 0);
      std::thread setter([&] {
        CHECK(set.set(7));
        CHECK(caller == std::this_thread::get_id());
        CHECK(value == 5);
        CHECK(failed.fail({.message = "no more"}));
        CHECK(!set.set(8));
      });
      setter.join();
      CHECK(calls == 2);
      CHECK(value == 105);
    }
  }
}

}  // namespace manta_test
