// When the name of an actor is free again, and that kill() is before what the same caller does afterwards.
#include <atomic>

#include "support.hpp"

namespace manta_test {
namespace {

struct Log {
  int add(int x) { return sum_ += x; }
  int wait_at(const std::string& gate) { return pass(gate, 1); }
  int leave(Context& ctx) {
    ctx.exit_actor();
    return 0;
  }
  int sum_ = 0;
};
struct Maker {
  ActorHandle<Log> make(Context& ctx, const std::string& name) { return ctx.actor<Log>({.name = name}).spawn(); }
};

/// Spawns, uses and lets go of an actor of one name, again and again.
int reuse(Client& client, const std::string& name, int times, bool kill, Isolation isolation = Isolation::kShared) {
  int right = 0;
  for (int i = 0; i < times; ++i) {
    auto actor = client.actor<Log>({.name = name, .isolation = isolation}).spawn();
    right += client.get(actor.template call<&Log::add>(1));
    if (kill) actor.kill();
  }
  return right;
}
int reuse_in_task(Context& ctx, const std::string& name, int times, bool kill) { return reuse(ctx, name, times, kill); }

}  // namespace

TEST_SUITE("runtime/api/names") {
  TEST_CASE("a name is free when the last handle has gone, and when kill has returned") {
    Machine machine;
    auto& rt = machine.rt;
    for (const bool kill : {false, true}) {
      CHECK(reuse(rt, "loop", 100, kill) == 100);
      CHECK(rt.get(rt.remote<reuse_in_task>("loop", 50, kill)) == 50);
      CHECK(reuse(rt, "own", 3, kill, own_process) == 3);
    }
  }

  TEST_CASE("a name is free for a killed actor whose method still runs") {
    Machine machine;
    auto& rt = machine.rt;
    Gate gate;
    auto first = rt.actor<Log>({.name = "busy"}).spawn();
    auto call = first.call<&Log::wait_at>(gate.path());
    first.kill();
    auto second = rt.actor<Log>({.name = "busy"}).spawn();
    CHECK(rt.get(second.call<&Log::add>(3)) == 3);
    error_of<ActorDied>([&] { rt.get(call); });
    gate.open();
    CHECK(rt.find_actor<Log>("busy") == second);
    error_of<InvalidArgument>([&] { rt.actor<Log>({.name = "busy"}).spawn(); });
  }

  TEST_CASE("an actor that was killed is not found, whoever killed it") {
    Machine machine;
    auto& rt = machine.rt;
    auto maker = rt.actor<Maker>().spawn();
    for (int i = 0; i < 20; ++i) {
      const auto name = "n" + std::to_string(i);
      auto own = rt.actor<Log>({.name = "own " + name}).spawn();
      auto borrowed = rt.get(maker.call<&Maker::make>("their " + name));
      if (i % 2) rt.get(std::vector{own.call<&Log::add>(1), borrowed.call<&Log::add>(1)});
      own.kill();
      CHECK_THROWS_AS(rt.find_actor<Log>("own " + name), NotFound);
      borrowed.kill();
      CHECK_THROWS_AS(rt.find_actor<Log>("their " + name), NotFound);
    }
  }

  TEST_CASE("who sees that an actor has ended by itself may give its name to another one") {
    Machine machine;
    auto& rt = machine.rt;
    for (int i = 0; i < 20; ++i) {
      auto actor = rt.actor<Log>({.name = "leaves"}).spawn();
      rt.get(actor.call<&Log::leave>());
      CHECK_THROWS_AS(rt.get(actor.call<&Log::add>(1)), ActorDied);
    }
  }

  TEST_CASE("no call after kill is run, also through a handle of an actor that another process spawned") {
    Machine machine;
    auto& rt = machine.rt;
    for (auto isolation : {Isolation::kShared, own_process}) {
      auto maker = rt.actor<Maker>({.isolation = isolation}).spawn();
      int ran = 0;
      for (int i = 0; i < 30; ++i) {
        auto actor = rt.get(maker.call<&Maker::make>(""));
        auto other = actor;
        if (i % 2) CHECK(rt.get(actor.call<&Log::add>(1)) == 1);
        actor.kill();
        ran += rt.try_get(other.call<&Log::add>(1)).ok();
        CHECK(rt.try_get(actor.call<&Log::add>(1)).error().code == ErrorCode::kActorDied);
      }
      CHECK(ran == 0);
    }
  }

  TEST_CASE("a call that runs when its actor is killed by another process fails there at once") {
    Machine machine;
    auto& rt = machine.rt;
    Gate gate;
    auto maker = rt.actor<Maker>({.isolation = own_process}).spawn();
    auto actor = rt.get(maker.call<&Maker::make>(""));
    CHECK(rt.get(actor.call<&Log::add>(1)) == 1);
    auto call = actor.call<&Log::wait_at>(gate.path());
    actor.kill();
    CHECK(error_of<ActorDied>([&] { rt.get(call); }).message.find("kill()") != std::string::npos);
  }
}

}  // namespace manta_test
