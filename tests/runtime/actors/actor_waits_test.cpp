// What a process answers when the node asks whether a wait stands, and which errors of the node it takes for that wait.
#include "runtime/actors/actor_waits.hpp"

#include <doctest/doctest.h>

namespace manta::detail {
namespace {

constexpr ActorId kWaiter{1}, kTarget{2};

class ConfirmedRounds final : public Router {
 public:
  ProcessId self() const override { return 7; }
  void send(ProcessId, wire::Message message) override {
    const auto* waiting = std::get_if<wire::ActorWaiting>(&message);
    if (waiting && waiting->round) rounds_.push_back(waiting->round);
  }
  const std::vector<std::uint64_t>& rounds() const { return rounds_; }

 private:
  std::vector<std::uint64_t> rounds_;
};

struct Scene {
  ConfirmedRounds router;
  ActorWaits waits{router};
  Cell call{type_ops<Void>()};
  std::function<bool()> is_over() {
    return [this] { return call.settled(); };
  }
  void ask(std::uint64_t round) { waits.deliver({.waiter = kWaiter, .round = round}); }
  void say_cycle(std::uint64_t round) {
    waits.deliver({.waiter = kWaiter, .error = {.code = ErrorCode::kDeadlockDetected, .message = "a cycle"}, .round = round});
  }
};

using Rounds = std::vector<std::uint64_t>;

}  // namespace

TEST_SUITE("runtime/actors/actor_waits") {
  TEST_CASE("a wait stands until its call has been settled, even where its thread has not seen that") {
    Scene scene;
    ActorWaits::Wait wait(scene.waits, kWaiter, "C::m", kTarget, scene.is_over());
    scene.ask(5);
    CHECK(scene.router.rounds() == Rounds{5});
    scene.call.set_value(std::make_shared<const Void>());
    scene.ask(6);
    CHECK(scene.router.rounds() == Rounds{5});
  }

  TEST_CASE("a wait that has ended is not confirmed, nor one of which nothing was told") {
    Scene scene;
    { ActorWaits::Wait wait(scene.waits, kWaiter, "C::m", kTarget, scene.is_over()); }
    scene.ask(5);
    scene.waits.deliver({.waiter = kTarget, .round = 6});
    CHECK(scene.router.rounds().empty());
  }

  // It failed the next wait of the actor, which would have ended.
  TEST_CASE("an error of the node's that comes late is of no wait but its own") {
    Scene scene;
    {
      ActorWaits::Wait first(scene.waits, kWaiter, "C::m", kTarget, scene.is_over());
      scene.ask(5);
      CHECK(scene.router.rounds() == Rounds{5});
    }
    ActorWaits::Wait second(scene.waits, kWaiter, "C::m", kTarget, scene.is_over());
    scene.say_cycle(5);
    CHECK_FALSE(second.alarm()->settled());
    scene.ask(6);
    CHECK(scene.router.rounds() == Rounds{5, 6});
    scene.say_cycle(5);
    CHECK_FALSE(second.alarm()->settled());
    scene.say_cycle(6);
    REQUIRE(second.alarm()->settled());
    CHECK(second.alarm()->error()->code == ErrorCode::kDeadlockDetected);
  }
}

}  // namespace manta::detail
