// An actor whose constructor could not begin is placed once more.
#include <doctest/doctest.h>

#include "runtime/core/actor_table.hpp"

namespace manta::core {
namespace {

constexpr ActorId kActor{1};

struct Table {
  Table() { actors.create(kActor, {.max_restarts = 1}, 0, effects); }
  ActorEffects take() { return std::exchange(effects, {}); }
  void grant(std::uint64_t lease) {
    actors.lease_granted(kActor, {lease}, effects);
    CHECK(take().create.size() == 1);
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
}

}  // namespace manta::core
