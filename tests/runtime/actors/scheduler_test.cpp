#include "runtime/actors/scheduler.hpp"

#include <doctest/doctest.h>

#include <thread>

#include "runtime/actors/control.hpp"

namespace manta::detail {
namespace {

using namespace std::chrono_literals;

struct ElasticConfig : caf::actor_system_config {
  ElasticConfig() { load<ElasticScheduler>(); }
};

bool eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + 10s;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

void start(caf::actor_system& system, std::function<void()> job) {
  auto body = [](caf::event_based_actor* self, const std::function<void()>& work) -> caf::behavior {
    return {[work, self](WakeAtom) {
      work();
      self->quit();
    }};
  };
  auto actor = system.spawn(body, std::move(job));
  caf::anon_send(actor, WakeAtom::value);
}

}  // namespace

TEST_SUITE("runtime/actors/scheduler") {
  TEST_CASE("five hundred actors that sleep starve nobody, and surplus threads go") {
    ElasticConfig config;
    caf::actor_system system{config};
    auto& scheduler = ElasticScheduler::of(system);
    scheduler.set_parallelism(2);
    std::atomic<bool> release{false};
    std::atomic<int> asleep{0}, done{0};
    for (int i = 0; i < 500; ++i)
      start(system, [&] {
        ++asleep;
        while (!release) std::this_thread::sleep_for(5ms);
        ++done;
      });
    CHECK(eventually([&] { return asleep == 500; }));  // though no sleeper has ended
    std::atomic<bool> quick{false};
    start(system, [&] { quick = true; });
    CHECK(eventually([&] { return quick.load(); }));
    CHECK(scheduler.thread_count() <= 700);
    release = true;
    CHECK(eventually([&] { return done == 500; }));
    CHECK(eventually([&] { return scheduler.thread_count() <= 2; }));
  }

  TEST_CASE("a wait that is announced costs no stall time and no lasting thread") {
    ElasticConfig config;
    caf::actor_system system{config};
    auto& scheduler = ElasticScheduler::of(system);
    scheduler.set_parallelism(1);
    for (int round = 0; round < 20; ++round) {
      std::atomic<int> stage{0};
      start(system, [&] {
        ElasticScheduler::BlockedSection blocked;
        while (stage != 1) std::this_thread::sleep_for(100us);
        stage = 2;
      });
      start(system, [&] { stage = 1; });
      REQUIRE(eventually([&] { return stage == 2; }));
    }
    CHECK(scheduler.thread_count() <= 4);
  }

  TEST_CASE("a control actor handles events in order, each once, whoever sends") {
    ElasticConfig config;
    caf::actor_system system{config};
    std::vector<std::vector<int>> seen(4);
    std::atomic<int> count{0};
    ControlActor<std::pair<int, int>> actor(system, [&](std::vector<std::pair<int, int>>& events) {
      for (auto& [who, what] : events) seen[static_cast<std::size_t>(who)].push_back(what), ++count;
    });
    std::vector<std::thread> senders;
    for (int who = 0; who < 4; ++who)
      senders.emplace_back([&actor, who] {
        for (int i = 0; i < 5000; ++i) actor.tell({who, i});
      });
    for (auto& sender : senders) sender.join();
    REQUIRE(eventually([&] { return count == 20000; }));
    for (const auto& each : seen)
      for (int i = 0; i < 5000; ++i) REQUIRE(each[static_cast<std::size_t>(i)] == i);
    actor.stop();
    actor.tell({0, 0});
    CHECK(count == 20000);
  }
}

}  // namespace manta::detail
