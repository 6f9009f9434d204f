// An actor is placed once more: one whose constructor could not begin, and one that is a generator task, by the rules for tasks.
#include <doctest/doctest.h>

#include "runtime/core/actor_table.hpp"

namespace manta::core {
namespace {

constexpr ActorId kActor{1};

struct Table {
  explicit Table(ActorTable::Limits limits = {.max_restarts = 1}) { actors.create(kActor, limits, 0, effects); }
  ActorEffects take() { return std::exchange(effects, {}); }
  void grant(std::uint64_t lease) {
    actors.lease_granted(kActor, {lease}, effects);
    CHECK(take().create.size() == 1);
  }
  /// Granted, constructed, its process lost.
  ActorEffects lose(std::uint64_t lease, ProcessLoss loss) {
    grant(lease);
    actors.created(kActor, {lease}, effects);
    take();
    actors.lease_lost({lease}, effects, loss);
    return take();
  }
  ActorTable actors{};
  ActorEffects effects{};
};

}  // namespace

TEST_SUITE("runtime/core/actor_again") {
  TEST_CASE("an actor whose constructor found its argument lost is placed again, which is no restart, once its place is empty and the argument there") {
    for (const bool argument_first : {true, false}) {
      Table table;
      CallNode call{.id = {1}, .actor = kActor};
      table.actors.call(call, table.effects);
      table.grant(1);
      CHECK_FALSE(table.actors.construct_again(kActor, {2}, true, table.effects));
      REQUIRE(table.actors.construct_again(kActor, {1}, true, table.effects));
      CHECK(table.actors.state(kActor) == ActorState::kWaitingForArguments);
      if (argument_first) table.actors.constructor_argument_ready(kActor, table.effects);
      CHECK(table.take().want.empty());
      table.actors.destroyed(kActor, table.effects);
      const auto emptied = table.take();
      CHECK(emptied.give_back == std::vector{LeaseId{1}});
      CHECK(emptied.want.size() == (argument_first ? 1 : 0));
      if (!argument_first) table.actors.constructor_argument_ready(kActor, table.effects);
      table.grant(2);
      table.actors.created(kActor, {2}, table.effects);
      const auto sends = table.take().sends;
      REQUIRE(sends.size() == 1);
      CHECK(sends[0].call == &call);
      CHECK(table.actors.may_restart(kActor));
    }
    Table gone;  // its worker dies before it says that the place is empty
    gone.grant(1);
    REQUIRE(gone.actors.construct_again(kActor, {1}, false, gone.effects));
    gone.actors.lease_lost({1}, gone.effects);
    CHECK(gone.take().want == std::vector{kActor});
    gone.grant(2);
    REQUIRE(gone.actors.construct_again(kActor, {2}, true, gone.effects));
    gone.actors.kill(kActor, gone.effects);
    gone.actors.dropped(kActor, gone.effects);
    CHECK(gone.take().destroy.empty());
    gone.actors.destroyed(kActor, gone.effects);
    const auto end = gone.take();
    CHECK(end.give_back == std::vector{LeaseId{2}});
    CHECK(end.forgotten == std::vector{kActor});
  }

  // It was restarted at once and without an end.
  TEST_CASE("a generator task that ends its processes by its own doing is poisoned with the third one; an actor is restarted") {
    for (const bool of_task : {true, false}) {
      Table table({.max_restarts = -1, .max_task_retries = -1, .of_task = of_task, .own_process = true});
      CallNode call{.id = {1}, .actor = kActor};
      table.actors.call(call, table.effects);
      CHECK(table.lose(1, {.own_doing = true}).want == std::vector{kActor});
      CHECK(table.lose(2, {}).want == std::vector{kActor});  // ended by somebody else
      CHECK(table.lose(3, {.own_doing = true}).want == std::vector{kActor});
      const auto end = table.lose(4, {.own_doing = true});
      CHECK(end.want.size() == (of_task ? 0 : 1));
      CHECK(end.failures.size() == (of_task ? 1 : 0));
      REQUIRE(end.poisoned.size() == (of_task ? 1 : 0));
      if (of_task) CHECK(end.poisoned[0].deaths == 3);
      CHECK(table.actors.state(kActor) == (of_task ? ActorState::kDead : ActorState::kRestarting));
    }
  }

  TEST_CASE("a generator task whose process others used too is not charged and has one of its own from then on, unless it runs at most once") {
    Table table({.max_restarts = 1, .max_task_retries = 1, .of_task = true});
    CallNode call{.id = {1}, .actor = kActor};
    table.actors.call(call, table.effects);
    const auto lost = table.lose(1, {.shared = true});
    CHECK(lost.isolate == std::vector{kActor});
    CHECK(lost.want == std::vector{kActor});
    CHECK(lost.failures.empty());
    CHECK(call.crashes == 0);
    CHECK(table.lose(2, {.shared = true}).isolate.empty());
    CHECK(call.crashes == 1);
    const auto end = table.lose(3, {});
    CHECK(end.failures.size() == 1);
    CHECK(end.poisoned.empty());
    Table shared({.max_restarts = 1, .of_task = true});
    shared.lose(1, {});
    CHECK(shared.actors.may_restart(kActor));  // in company; so what it is constructed from is still wanted
    CHECK(shared.lose(2, {.shared = true}).isolate.size() == 1);
    CHECK_FALSE(shared.actors.may_restart(kActor));
    Table once({.of_task = true});
    CHECK_FALSE(once.actors.may_restart(kActor));
    CHECK(once.lose(1, {.shared = true}).want.empty());
    CHECK(once.actors.state(kActor) == ActorState::kDead);
  }

  TEST_CASE("a generator task waits before its next place where it has a back-off, or was ended for memory") {
    Table table({.max_restarts = 3, .of_task = true, .backs_off = true, .own_process = true});
    auto lost = table.lose(1, {});
    CHECK(lost.want.empty());
    REQUIRE(lost.back_off.size() == 1);
    CHECK(lost.back_off[0].deaths == 1);
    table.actors.lease_granted(kActor, {9}, table.effects);  // of none that it asked for
    CHECK(table.take().give_back == std::vector{LeaseId{9}});
    table.actors.restart_due(kActor, table.effects);
    table.actors.restart_due(kActor, table.effects);
    CHECK(table.take().want == std::vector{kActor});
    CHECK(table.lose(2, {}).back_off.size() == 1);
    table.actors.kill(kActor, table.effects);
    table.actors.restart_due(kActor, table.effects);
    CHECK(table.take().want.empty());
    Table memory({.max_restarts = 1, .of_task = true});
    lost = memory.lose(1, {.shared = true, .for_memory = true});
    CHECK(lost.isolate.size() == 1);
    CHECK(lost.want.empty());
    REQUIRE(lost.back_off.size() == 1);
    CHECK(lost.back_off[0].deaths == 0);
    memory.actors.restart_due(kActor, memory.effects);
    CHECK(memory.take().want.size() == 1);
    CHECK(memory.lose(2, {.for_memory = true}).back_off.size() == 1);
  }
}

}  // namespace manta::core
