// Fault 34: an actor waits for a call of its own, or two wait for each other's: DeadlockDetected says the cycle.
#include "../api/support.hpp"

namespace manta_test {
namespace {

class Waiter {
 public:
  void know(ActorHandle<Waiter> other) { other_ = std::move(other); }
  int one() const { return 1; }
  /// Asks the other one to ask the next one, `depth` times.
  int ask(Context& ctx, int depth) {
    if (depth == 0) return 1;
    return 1 + ctx.get(other_.call<&Waiter::ask>(depth - 1));
  }
  std::string ask_and_catch(Context& ctx) {
    try {
      return std::to_string(ctx.get(other_.call<&Waiter::one>()));
    } catch (const DeadlockDetected& e) {
      return e.info().message;
    }
  }
  int slow(const std::string& gate) { return pass(gate, 2); }
  int wait_for_slow(Context& ctx, const std::string& gate) { return ctx.get(other_.call<&Waiter::slow>(gate)); }

 private:
  ActorHandle<Waiter> other_;
};

constexpr Isolation kBoth[] = {Isolation::kShared, own_process};

}  // namespace

TEST_SUITE("runtime/faults") {
  TEST_CASE("fault 34: an actor that waits for its own call is told so, and goes on") {
    Machine machine;
    auto& rt = machine.rt;
    for (auto where : kBoth) {
      auto self = rt.actor<Waiter>({.isolation = where}).spawn();
      rt.get(self.call<&Waiter::know>(self));
      const auto text = rt.get(self.call<&Waiter::ask_and_catch>(), 30s);
      CHECK_MESSAGE(contains(text, "waits for its own actor"), text);
      CHECK(contains(text, "ask_and_catch"));
      CHECK(rt.get(self.call<&Waiter::one>(), 20s) == 1);
      rt.get(self.call<&Waiter::know>(ActorHandle<Waiter>{}));
    }
  }

  TEST_CASE("fault 34: a cycle over several actors and processes fails with DeadlockDetected and its members") {
    Machine machine;
    auto& rt = machine.rt;
    for (auto where : kBoth) {
      auto a = rt.actor<Waiter>().spawn();
      auto b = rt.actor<Waiter>({.isolation = where}).spawn();
      auto c = rt.actor<Waiter>().spawn();
      rt.get(a.call<&Waiter::know>(b));
      rt.get(b.call<&Waiter::know>(c));
      rt.get(c.call<&Waiter::know>(a));
      CHECK(rt.get(a.call<&Waiter::ask>(2), 30s) == 3);
      const auto error = error_of<TaskError>([&] { rt.get(a.call<&Waiter::ask>(3), 30s); });
      CHECK_MESSAGE(contains(error.to_string(), "DeadlockDetected"), error.to_string());
      CHECK(contains(error.to_string(), "Waiter::ask"));
      for (auto& each : {a, b, c}) CHECK(rt.get(each.call<&Waiter::one>(), 30s) == 1);
      for (auto& each : {a, b, c}) rt.get(each.call<&Waiter::know>(ActorHandle<Waiter>{}));
    }
  }

  TEST_CASE("fault 34: a wait that is only long is not a deadlock") {
    Machine machine;
    auto& rt = machine.rt;
    for (auto where : kBoth) {
      Gate gate;
      auto a = rt.actor<Waiter>({.isolation = where}).spawn();
      auto b = rt.actor<Waiter>().spawn();
      rt.get(a.call<&Waiter::know>(b));
      rt.get(b.call<&Waiter::know>(a));
      auto waits = a.call<&Waiter::wait_for_slow>(gate.path());
      CHECK_THROWS_AS(rt.get(waits, 600ms), Timeout);
      gate.open();
      CHECK(rt.get(waits, 20s) == 2);
      for (auto& each : {a, b}) rt.get(each.call<&Waiter::know>(ActorHandle<Waiter>{}));
    }
  }
}

}  // namespace manta_test
