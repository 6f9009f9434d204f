// What Ray's own tests demand of actors whose process is killed and of calls whose arguments are late.
#include <unistd.h>

#include <csignal>
#include <random>

#include "support.hpp"

namespace manta_test {
namespace {

class Adder {
 public:
  int add_one(int x) {
    std::this_thread::sleep_for(1ms);
    return x + 1;
  }
  int pid() const { return ::getpid(); }
  int record(int x) {
    seen_.push_back(x);
    return x;
  }
  std::vector<int> seen() const { return seen_; }

 private:
  std::vector<int> seen_;
};

int late(int milliseconds, int value) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
  return value;
}

}  // namespace

TEST_SUITE("runtime/api/actor_restart") {
  TEST_CASE("ray 18: 100 calls in flight, SIGKILL: with retries all 100 are right; a kill past max_restarts is ActorDied") {
    Machine machine;
    auto& rt = machine.rt;
    auto adder = rt.actor<Adder>({.max_restarts = 1, .max_task_retries = -1, .isolation = own_process}).spawn();
    int pid = rt.get(adder.call<&Adder::pid>());
    std::vector<ObjectRef<int>> refs;
    for (int i = 0; i < 100; ++i) refs.push_back(adder.call<&Adder::add_one>(i));
    CHECK(rt.wait(refs, {.count = 10, .timeout = 20s}).ready.size() >= 10);
    ::kill(pid, SIGKILL);
    for (int i = 0; i < 100; ++i) REQUIRE(rt.get(refs[static_cast<std::size_t>(i)], 30s) == i + 1);
    const int second = rt.get(adder.call<&Adder::pid>(), 20s);
    CHECK(second != pid);
    refs.clear();
    for (int i = 0; i < 100; ++i) refs.push_back(adder.call<&Adder::add_one>(i));
    ::kill(second, SIGKILL);
    int died = 0;
    for (auto& ref : refs) {
      const auto result = rt.try_get(ref, 30s);
      if (result.ok()) continue;
      ++died;
      CHECK(result.error().code == ErrorCode::kActorDied);
    }
    CHECK(died > 0);
    CHECK_THROWS_AS(rt.get(adder.call<&Adder::pid>(), 20s), ActorDied);
  }

  TEST_CASE("ray 15: 100 calls with arguments that come at random times run in the order of the calls") {
    Machine machine(small_machine(8));
    auto& rt = machine.rt;
    std::mt19937 random(15);
    auto adder = rt.actor<Adder>().spawn();
    std::vector<int> expected;
    for (int i = 0; i < 100; ++i) {
      adder.call<&Adder::record>(rt.remote<late>(static_cast<int>(random() % 20), i));
      expected.push_back(i);
    }
    CHECK(rt.get(adder.call<&Adder::seen>(), 60s) == expected);
  }
}

}  // namespace manta_test
