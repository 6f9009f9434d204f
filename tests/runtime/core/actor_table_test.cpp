#include "runtime/core/actor_table.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <set>

namespace manta::core {
namespace {

constexpr ActorId kActor{1};
const auto all_hold_up = [](const CallNode&) { return true; };

struct Table {
  explicit Table(ActorTable::Limits limits = {}, std::uint32_t unresolved = 0) { actors.create(kActor, limits, unresolved, effects); }
  CallNode& call(std::uint32_t unresolved = 0) {
    calls.push_back(std::make_unique<CallNode>());
    calls.back()->id = {calls.size()};
    calls.back()->actor = kActor;
    calls.back()->unresolved = unresolved;
    actors.call(*calls.back(), effects);
    return *calls.back();
  }
  ActorEffects take() { return std::exchange(effects, {}); }
  /// Granted and constructed.
  ActorEffects live(std::uint64_t lease = 1) {
    actors.lease_granted(kActor, {lease}, effects);
    actors.created(kActor, {lease}, effects);
    return take();
  }
  ActorState state() const { return actors.state(kActor); }
  ActorTable actors{};
  ActorEffects effects{};
  std::vector<std::unique_ptr<CallNode>> calls{};
};

std::vector<CallNode*> sent(const ActorEffects& effects) {
  std::vector<CallNode*> nodes;
  for (const auto& send : effects.sends) nodes.push_back(send.call);
  return nodes;
}
std::vector<CallNode*> failed(const ActorEffects& effects, CallFailure why) {
  std::vector<CallNode*> nodes;
  for (const auto& failure : effects.failures)
    if (failure.why == why) nodes.push_back(failure.call);
  return nodes;
}

}  // namespace

TEST_SUITE("runtime/core/actor_table") {
  TEST_CASE("an actor that ends itself fails what is not finished, gives its lease back and is not restarted") {
    Table table({.max_restarts = -1, .max_task_retries = -1});
    auto& running = table.call();
    table.live(7);
    auto& late = table.call(1);
    table.actors.exited(kActor, table.effects);
    auto effects = table.take();
    CHECK(failed(effects, CallFailure::kActorDied) == std::vector{&running, &late});
    CHECK(effects.give_back == std::vector{LeaseId{7}});
    CHECK(effects.want.empty());
    CHECK(table.state() == ActorState::kDead);
    table.actors.exited(kActor, table.effects);
    table.actors.lease_lost({7}, table.effects);
    effects = table.take();
    CHECK(effects.give_back.empty());
    CHECK(effects.want.empty());
    table.actors.dropped(kActor, table.effects);
    CHECK(table.take().forgotten == std::vector{kActor});
  }

  TEST_CASE("calls behind one that may run again are sent when it is done, also when it is cancelled, or its actor restarts") {
    Table table({.max_restarts = 1, .max_task_retries = 1});
    auto made = [&](bool holds_back) -> CallNode& {
      table.calls.push_back(std::make_unique<CallNode>(CallNode{.id = {table.calls.size() + 1}, .actor = kActor, .holds_back = holds_back}));
      table.actors.call(*table.calls.back(), table.effects);
      return *table.calls.back();
    };
    auto& before = made(false);
    auto& busy = made(true);
    auto& second = made(true);
    auto& last = made(false);
    CHECK(sent(table.live(1)) == std::vector{&before, &busy});
    CHECK_FALSE(table.actors.place_of(last, all_hold_up).sent);
    CHECK(table.actors.again(busy, table.effects));
    CHECK(sent(table.take()) == std::vector{&busy});
    table.actors.finished(before, table.effects);
    CHECK(table.take().sends.empty());
    table.actors.finished(busy, table.effects);
    CHECK(sent(table.take()) == std::vector{&second});
    CHECK(table.actors.may_restart(kActor));
    table.actors.lease_lost({1}, table.effects);
    table.take();
    CHECK(sent(table.live(2)) == std::vector{&second});
    CHECK_FALSE(table.actors.may_restart(kActor));
    CHECK_FALSE(table.actors.cancel(second, table.effects));
    CHECK(table.take().sends.empty());
    table.actors.finished(second, table.effects);
    CHECK(sent(table.take()) == std::vector{&last});
    table.actors.finished(last, table.effects);
    table.actors.dropped(kActor, table.effects);
    CHECK(table.take().destroy.size() == 1);
  }

  TEST_CASE("an unordered actor holds back nothing; a dropped one ends after what was held back") {
    Table unordered({.unordered = true});
    unordered.live(1);
    CallNode free{.id = {9}, .actor = kActor, .holds_back = true};
    unordered.actors.call(free, unordered.effects);
    auto& other = unordered.call();
    CHECK(sent(unordered.take()) == std::vector{&free, &other});
    Table table;
    CallNode busy{.id = {1}, .actor = kActor, .holds_back = true};
    table.live(1);
    table.actors.call(busy, table.effects);
    auto& held = table.call();
    table.actors.dropped(kActor, table.effects);
    table.take();
    table.actors.finished(busy, table.effects);
    auto effects = table.take();
    CHECK(sent(effects) == std::vector{&held});
    CHECK(effects.destroy.empty());
    table.actors.finished(held, table.effects);
    CHECK(table.take().destroy.size() == 1);
  }

  TEST_CASE("coroutines hold up nobody: only other calls are ahead of one") {
    Table table;
    auto& coroutine = table.call();
    auto& second = table.call();
    auto& third = table.call();
    coroutine.interleaves = true;
    table.live(1);
    CHECK((table.actors.place_of(second, all_hold_up).sent && table.actors.place_of(second, all_hold_up).ahead == 0));
    const auto place = table.actors.place_of(third, all_hold_up);
    CHECK((place.ahead == 1 && place.first == &second && place.coroutines == 1));
    CHECK(table.actors.place_of(third, [&](const CallNode& each) { return &each != &second; }).ahead == 0);  // of another concurrency group, say
    table.call(1);
    auto& behind = table.call();
    CHECK((table.actors.place_of(behind, all_hold_up).ahead == 3 && !table.actors.place_of(behind, all_hold_up).sent));  // in order, whatever it is
  }

  TEST_CASE("a call that is to run again goes ahead of those that wait, unless its actor has ended") {
    Table table;
    auto& first = table.call();
    table.live();
    auto& late = table.call(1);
    CHECK(table.actors.again(first, table.effects));
    CHECK(sent(table.take()) == std::vector{&first});
    CHECK_FALSE(table.actors.again(late, table.effects));
    table.actors.kill(kActor, table.effects);
    CHECK_FALSE(table.actors.again(first, table.effects));
  }

  TEST_CASE("unordered: what is ready goes at once, also when it was called while the actor started") {
    Table table({.unordered = true});
    auto& early = table.call(1);
    auto& second = table.call();
    CHECK(sent(table.live()) == std::vector{&second});
    auto& third = table.call();
    CHECK(sent(table.take()) == std::vector{&third});
    early.unresolved = 1;
    table.actors.argument_ready(early, table.effects);
    CHECK(sent(table.take()) == std::vector{&early});
  }

  TEST_CASE("calls wait for the constructor and go in order; one with late arguments holds back those behind it") {
    Table table;
    CHECK(table.take().want == std::vector{kActor});
    auto& a = table.call();
    auto& late = table.call(2);
    auto& c = table.call();
    CHECK(table.take().sends.empty());
    CHECK(sent(table.live()) == std::vector{&a});
    table.actors.argument_ready(late, table.effects);
    CHECK(table.take().sends.empty());
    table.actors.argument_ready(late, table.effects);
    CHECK(sent(table.take()) == std::vector{&late, &c});
  }

  TEST_CASE("a call that is withdrawn frees those behind it") {
    Table table;
    table.live();
    auto& broken = table.call(1);
    auto& next = table.call();
    CHECK(table.take().sends.empty());
    table.actors.withdraw(broken, table.effects);
    CHECK(sent(table.take()) == std::vector{&next});
  }

  TEST_CASE("a cancelled call that waits is taken out; one in flight ends where it is and never goes again") {
    Table table({.max_restarts = 1, .max_task_retries = -1});
    table.live();
    auto& running = table.call();
    auto& late = table.call(1);
    auto& behind = table.call();
    CHECK(sent(table.take()) == std::vector{&running});
    CHECK(table.actors.cancel(late, table.effects));
    CHECK(sent(table.take()) == std::vector{&behind});
    CHECK_FALSE(table.actors.cancel(running, table.effects));
    table.actors.lease_lost({1}, table.effects);
    CHECK(failed(table.take(), CallFailure::kUnavailable) == std::vector{&running});
    CHECK(sent(table.live(2)) == std::vector{&behind});
  }

  TEST_CASE("a lost process without restarts fails all calls") {
    Table table;
    table.live();
    auto& a = table.call();
    auto& waiting = table.call(1);
    table.take();
    table.actors.lease_lost({1}, table.effects);
    auto effects = table.take();
    CHECK(failed(effects, CallFailure::kActorDied) == std::vector{&a, &waiting});
    CHECK(effects.want.empty());
    CHECK(table.state() == ActorState::kDead);
    auto& after = table.call();
    CHECK(failed(table.take(), CallFailure::kActorDied) == std::vector{&after});
    table.actors.dropped(kActor, table.effects);
    CHECK(table.take().forgotten == std::vector{kActor});
    CHECK(table.actors.size() == 0);
  }

  TEST_CASE("a restart without task retries fails what was in flight and keeps what waited") {
    Table table({.max_restarts = 1});
    table.live();
    auto& a = table.call();
    auto& b = table.call();
    auto& waiting = table.call(1);
    table.take();
    table.actors.lease_lost({1}, table.effects);
    auto effects = table.take();
    CHECK(failed(effects, CallFailure::kUnavailable) == std::vector{&a, &b});
    CHECK(effects.want == std::vector{kActor});
    CHECK(table.state() == ActorState::kRestarting);
    table.actors.argument_ready(waiting, table.effects);
    CHECK(sent(table.live(2)) == std::vector{&waiting});
    table.take();
    table.actors.lease_lost({1}, table.effects);  // an old lease: of no effect
    CHECK(table.state() == ActorState::kAlive);
    table.actors.lease_lost({2}, table.effects);
    CHECK(failed(table.take(), CallFailure::kActorDied) == std::vector{&waiting});
  }

  TEST_CASE("with task retries what was in flight goes again, in order, before newer calls") {
    Table table({.max_restarts = -1, .max_task_retries = 1});
    table.live();
    auto& a = table.call();
    auto& b = table.call();
    table.take();
    table.actors.lease_lost({1}, table.effects);
    auto& c = table.call();
    CHECK(table.take().failures.empty());
    CHECK(sent(table.live(2)) == std::vector{&a, &b, &c});
    table.actors.finished(a, table.effects);
    table.actors.lease_lost({2}, table.effects);
    const auto effects = table.take();
    CHECK(failed(effects, CallFailure::kUnavailable) == std::vector{&b});  // b has used its retry, c has not
    CHECK(sent(table.live(3)) == std::vector{&c});
  }

  TEST_CASE("a process that dies while the constructor runs counts as a restart") {
    Table table({.max_restarts = 1});
    table.actors.lease_granted(kActor, {1}, table.effects);
    table.take();
    table.actors.lease_lost({1}, table.effects);
    CHECK(table.take().want == std::vector{kActor});
    table.actors.created(kActor, {1}, table.effects);  // late news of the dead one
    CHECK(table.state() == ActorState::kRestarting);
    table.actors.lease_granted(kActor, {2}, table.effects);
    table.take();
    table.actors.lease_lost({2}, table.effects);
    CHECK(table.state() == ActorState::kDead);
  }

  TEST_CASE("a process that dies before the constructor has begun there costs no restart; later it does") {
    Table table;
    auto& waiting = table.call();
    table.actors.lease_granted(kActor, {1}, table.effects);
    table.take();
    table.actors.lease_lost({1}, table.effects, {.unused = true});
    const auto effects = table.take();
    CHECK(effects.want == std::vector{kActor});
    CHECK(effects.failures.empty());
    CHECK(table.state() == ActorState::kRestarting);
    CHECK(sent(table.live(2)) == std::vector{&waiting});
    table.actors.lease_lost({2}, table.effects, {.unused = true});  // it has lived there
    CHECK(failed(table.take(), CallFailure::kActorDied) == std::vector{&waiting});
    CHECK(table.state() == ActorState::kDead);
  }

  TEST_CASE("kill in each state") {
    SUBCASE("waiting for arguments") {
      Table table({}, 1);
      auto& a = table.call();
      table.actors.kill(kActor, table.effects);
      const auto effects = table.take();
      CHECK(failed(effects, CallFailure::kActorDied) == std::vector{&a});
      CHECK(effects.withdraw.empty());
      table.actors.constructor_argument_ready(kActor, table.effects);
      CHECK(table.take().want.empty());
    }
    SUBCASE("pending: the request is withdrawn, a grant that crosses it goes back") {
      Table table;
      table.take();
      table.actors.kill(kActor, table.effects);
      CHECK(table.take().withdraw == std::vector{kActor});
      table.actors.lease_granted(kActor, {1}, table.effects);
      CHECK(table.take().give_back == std::vector{LeaseId{1}});
    }
    SUBCASE("starting") {
      Table table;
      table.actors.lease_granted(kActor, {1}, table.effects);
      table.take();
      table.actors.kill(kActor, table.effects);
      CHECK(table.take().destroy.size() == 1);
      table.actors.created(kActor, {1}, table.effects);
      CHECK(table.state() == ActorState::kDead);
      table.actors.destroyed(kActor, table.effects);
      CHECK(table.take().give_back == std::vector{LeaseId{1}});
    }
    SUBCASE("alive, and its process dies before the destructor has run") {
      Table table({.max_restarts = 5});
      table.live();
      auto& a = table.call();
      table.take();
      table.actors.kill(kActor, table.effects);
      const auto effects = table.take();
      CHECK(failed(effects, CallFailure::kActorDied) == std::vector{&a});
      CHECK(effects.destroy.size() == 1);
      table.actors.kill(kActor, table.effects);
      CHECK(table.take().destroy.empty());
      table.actors.lease_lost({1}, table.effects);
      CHECK(table.take().want.empty());  // no restart
    }
    SUBCASE("restarting") {
      Table table({.max_restarts = 1});
      table.live();
      table.actors.lease_lost({1}, table.effects);
      table.take();
      table.actors.kill(kActor, table.effects);
      CHECK(table.take().withdraw == std::vector{kActor});
      CHECK(table.state() == ActorState::kDead);
    }
  }

  TEST_CASE("dropping the last handle ends the actor after its calls") {
    Table table;
    table.live();
    auto& a = table.call();
    auto& late = table.call(1);
    table.take();
    table.actors.dropped(kActor, table.effects);
    CHECK(table.take().destroy.empty());
    table.actors.finished(a, table.effects);
    CHECK(table.take().destroy.empty());
    table.actors.argument_ready(late, table.effects);
    table.actors.finished(late, table.effects);
    CHECK(table.take().destroy.size() == 1);
    table.actors.destroyed(kActor, table.effects);
    const auto effects = table.take();
    CHECK(effects.give_back == std::vector{LeaseId{1}});
    CHECK(effects.forgotten == std::vector{kActor});
    CHECK(table.actors.size() == 0);
  }

  TEST_CASE("a handle dropped while the actor starts ends it when it has started") {
    Table table;
    table.actors.lease_granted(kActor, {1}, table.effects);
    table.actors.dropped(kActor, table.effects);
    CHECK(table.take().destroy.empty());
    table.actors.created(kActor, {1}, table.effects);
    CHECK(table.take().destroy.size() == 1);
  }

  TEST_CASE("a handle dropped before a lease came, with calls to do, still does them") {
    Table table;
    auto& a = table.call();
    table.actors.dropped(kActor, table.effects);
    CHECK(table.take().forgotten.empty());
    CHECK(sent(table.live()) == std::vector{&a});
    table.actors.finished(a, table.effects);
    CHECK(table.take().destroy.size() == 1);
  }

  TEST_CASE("a constructor that throws, or whose argument failed, fails all calls so, and the lease goes back") {
    Table table;
    auto& a = table.call();
    table.actors.lease_granted(kActor, {1}, table.effects);
    table.take();
    table.actors.creation_failed(kActor, {1}, table.effects);
    auto effects = table.take();
    CHECK(failed(effects, CallFailure::kCreationFailed) == std::vector{&a});
    CHECK(effects.give_back == std::vector{LeaseId{1}});
    auto& after = table.call();
    CHECK(failed(table.take(), CallFailure::kCreationFailed) == std::vector{&after});
    Table other({}, 2);
    auto& b = other.call();
    other.actors.constructor_argument_failed(kActor, other.effects);
    other.actors.constructor_argument_failed(kActor, other.effects);
    CHECK(failed(other.take(), CallFailure::kCreationFailed) == std::vector{&b});
  }

  TEST_CASE("a lease that is granted twice, or one too many, is taken once") {
    Table table;
    table.actors.lease_granted(kActor, {1}, table.effects);
    table.actors.lease_granted(kActor, {1}, table.effects);
    table.actors.lease_granted(kActor, {2}, table.effects);
    const auto effects = table.take();
    CHECK(effects.create.size() == 1);
    CHECK(effects.give_back == std::vector{LeaseId{2}});
  }

  TEST_CASE("whatever comes, each call ends once, leases go back, and nothing is remembered") {
    for (unsigned seed = 0; seed < 400; ++seed) {
      CAPTURE(seed);
      std::mt19937 random(seed);
      Table table({.max_restarts = static_cast<int>(random() % 3), .max_task_retries = static_cast<int>(random() % 2)}, random() % 2);
      int late_arguments = table.state() == ActorState::kWaitingForArguments ? 1 : 0;
      std::vector<CallNode*> in_flight;
      std::set<CallNode*> ended;
      std::uint64_t lease = 0, next_lease = 0;
      int wanted = 0;
      bool starting = false, destroying = false, emptying = false, pausing = false, forgotten = false;
      std::size_t last_sent = 0;
      auto take = [&] {
        auto effects = table.take();
        wanted += static_cast<int>(effects.want.size()) - static_cast<int>(effects.withdraw.size());
        pausing |= !effects.back_off.empty();
        for (const auto& failure : effects.failures) {
          REQUIRE(ended.insert(failure.call).second);
          std::erase(in_flight, failure.call);
        }
        for (const auto& send : effects.sends) {
          REQUIRE(send.lease == LeaseId{lease});
          REQUIRE_FALSE(ended.contains(send.call));
          REQUIRE(send.call->id.value > last_sent);
          last_sent = send.call->id.value;
          in_flight.push_back(send.call);
        }
        if (!effects.create.empty()) starting = true;
        if (!effects.destroy.empty()) destroying = true;
        for (auto each : effects.give_back) {
          REQUIRE(each == LeaseId{lease});
          lease = 0;
        }
        forgotten |= !effects.forgotten.empty();
      };
      auto step = [&](unsigned what) {
        switch (what) {
          case 0: if (!forgotten) table.call(random() % 4 == 0); break;
          case 1: if (wanted > 0 && !lease) --wanted, lease = ++next_lease, last_sent = 0, table.actors.lease_granted(kActor, {lease}, table.effects); break;
          case 2: if (starting && lease) {
            starting = false;
            if (const auto how = random() % 8; how > 2) table.actors.created(kActor, {lease}, table.effects);
            else if (how == 0) table.actors.creation_failed(kActor, {lease}, table.effects);
            else if ((emptying = table.actors.construct_again(kActor, {lease}, how == 1, table.effects))) late_arguments += how == 1;
          } break;
          case 3: if (!in_flight.empty() && !destroying) {
            auto* call = in_flight.front();
            in_flight.erase(in_flight.begin());
            REQUIRE(ended.insert(call).second);
            table.actors.finished(*call, table.effects);
          } break;
          case 4: if (lease && random() % 4 == 0) {
            const auto lost = std::exchange(lease, 0);
            in_flight.clear();
            starting = destroying = emptying = false;
            table.actors.lease_lost({lost}, table.effects);
          } break;
          case 5: {
            auto late = std::find_if(table.calls.begin(), table.calls.end(),
                                     [&](const auto& call) { return call->unresolved && !ended.contains(call.get()); });
            if (late != table.calls.end() && !forgotten) table.actors.argument_ready(**late, table.effects);
          } break;
          case 6: if (random() % 20 == 0) table.actors.kill(kActor, table.effects); break;
          case 7: if ((destroying || emptying) && lease) destroying = emptying = false, table.actors.destroyed(kActor, table.effects); break;
          case 9: if (std::exchange(pausing, false)) table.actors.restart_due(kActor, table.effects); break;
          case 8: if (late_arguments > 0) --late_arguments, table.actors.constructor_argument_ready(kActor, table.effects); break;
        }
        take();
      };
      for (int i = 0; i < 200; ++i) step(random() % 10);
      table.actors.dropped(kActor, table.effects);
      take();
      for (int i = 0; i < 20000 && !forgotten; ++i) {
        const auto what = random() % 10;
        if (what != 0 && what != 4 && what != 6) step(what);
      }
      REQUIRE(forgotten);
      REQUIRE(ended.size() == table.calls.size());
      REQUIRE(lease == 0);
      REQUIRE(table.actors.size() == 0);
    }
  }
}

}  // namespace manta::core
