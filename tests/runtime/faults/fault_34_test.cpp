// Fault 34: an actor waits for a call of its own, or two wait for each other's: DeadlockDetected says the cycle.
#include <signal.h>
#include <unistd.h>

#include "../api/support.hpp"

namespace manta_test {
namespace {

class Waiter {
 public:
  void know(ActorHandle<Waiter> other) { other_ = std::move(other); }
  int one() const { return 1; }
  int pid() const { return ::getpid(); }
  /// Asks the other one to ask the next one, `depth` times.
  int ask(Context& ctx, int depth) {
    if (depth == 0) return 1;
    return 1 + ctx.get(other_.call<&Waiter::ask>(depth - 1));
  }
  /// Asks with a deadline of the call's own.
  std::string ask_by_deadline(Context& ctx) {
    try {
      return std::to_string(ctx.get(other_.options({.deadline = 900ms}).call<&Waiter::one>()));
    } catch (const Timeout& e) {
      return e.info().message;
    }
  }
  std::string ask_and_catch(Context& ctx) {
    try {
      return std::to_string(ctx.get(other_.call<&Waiter::one>()));
    } catch (const DeadlockDetected& e) {
      return e.info().message;
    }
  }
  int ask_list(Context& ctx, int depth) {
    if (depth == 0) return 1;
    return 1 + ctx.get(std::vector{ctx.put(5), other_.call<&Waiter::ask_list>(depth - 1)}).back();
  }
  /// Waits for calls of the other one, after a slow call of `first` if there is one.
  std::string wait_and_catch(Context& ctx, const std::string& how, const ActorHandle<Waiter>& first, const std::string& gate) {
    std::vector<ObjectRef<int>> refs{first ? first.call<&Waiter::slow>(gate) : ctx.put(5), other_.call<&Waiter::one>()};
    try {
      if (how == "get") ctx.get(refs);
      if (how == "wait") ctx.wait(refs, {.count = refs.size()});
      if (how == "as_completed")
        for (auto& ref : ctx.as_completed(refs)) ctx.get(ref);
      return "all came";
    } catch (const DeadlockDetected& e) {
      return e.info().message;
    }
  }
  /// Asks the other one, which waits for this one, until the Timeout says so.
  std::string ask_in_time(Context& ctx) {
    auto answer = other_.call<&Waiter::ask>(1);
    std::string said;
    eventually([&] {
      const auto result = ctx.try_get(answer, 300ms);
      said = result ? "it came" : result.error().message;
      return result.ok() || contains(said, "waits in turn");
    }, 30s);
    return said;
  }
  int slow(const std::string& gate) { return pass(gate, 2); }
  int wait_for_slow(Context& ctx, const std::string& gate) { return ctx.get(other_.call<&Waiter::slow>(gate)); }

 private:
  ActorHandle<Waiter> other_;
};

/// Its destructor takes long once, when that has been armed: a std::map of ten million nodes, say.
struct Heavy {
  static inline std::atomic<bool> armed{false};
  std::vector<int> pad;
  Heavy() = default;
  explicit Heavy(std::size_t size) : pad(size) {}
  Heavy(const Heavy&) = default;
  Heavy(Heavy&&) = default;
  Heavy& operator=(const Heavy&) = default;
  ~Heavy() {
    if (!pad.empty() && armed.exchange(false)) std::this_thread::sleep_for(1200ms);
  }
  template <class Archive>
  void serialize(Archive& archive) { archive(pad); }
};
int take(const Heavy&) { return 0; }

class Asker;
class Asked {
 public:
  std::string slow(const std::string& begun) {
    append(begun, "x");
    std::this_thread::sleep_for(400ms);
    return "it came";
  }
  int ask(Context& ctx, const ActorHandle<Asker>& other);
};
class Asker {
 public:
  /// While a thread of it submits tasks, and so handles this process's events; one of these takes long when the answer comes.
  std::string ask(Context& ctx, const ActorHandle<Asked>& other, const std::string& begun) {
    std::atomic<bool> over{false};
    std::thread helper([&] {
      const auto begin = SteadyClock::now();
      bool armed = false;
      while (!over && SteadyClock::now() - begin < 5s) {
        if (!armed && SteadyClock::now() - begin > 330ms) Heavy::armed = armed = true;
        ctx.remote<take>(Heavy(4));
      }
    });
    const auto answer = ctx.try_get(other.call<&Asked::slow>(begun));
    Heavy::armed = false;
    over = true;
    helper.join();
    return answer ? *answer : answer.error().message;
  }
  int two() { return 2; }
};
int Asked::ask(Context& ctx, const ActorHandle<Asker>& other) { return ctx.get(other.call<&Asker::two>()); }

/// All its threads: on a busy machine some still run when kill has returned.
bool is_stopped(int pid) {
  for (const auto& thread : fs::directory_iterator("/proc/" + std::to_string(pid) + "/task")) {
    const auto text = content(thread.path() / "stat");  // "id (name) state …"
    if (!contains(text.substr(text.rfind(')') + 1, 3), "T")) return false;
  }
  return true;
}

class Paused {
 public:
  explicit Paused(int pid) : pid_(pid) {
    REQUIRE(::kill(pid_, SIGSTOP) == 0);
    REQUIRE(eventually([this] { return is_stopped(pid_); }));
  }
  ~Paused() { ::kill(pid_, SIGCONT); }
  Paused(const Paused&) = delete;
  Paused& operator=(const Paused&) = delete;

 private:
  const int pid_;
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

  // Only a get of a single ref was looked at: these waited for ever.
  TEST_CASE("fault 34: an actor that waits for its own call among several is told so, by get, wait and as_completed") {
    Machine machine;
    auto& rt = machine.rt;
    for (auto where : kBoth) {
      auto self = rt.actor<Waiter>({.isolation = where}).spawn();
      rt.get(self.call<&Waiter::know>(self));
      for (const std::string how : {"get", "wait", "as_completed"}) {
        CAPTURE(how);
        const auto text = rt.get(self.call<&Waiter::wait_and_catch>(how, ActorHandle<Waiter>{}, ""), 30s);
        CHECK_MESSAGE(contains(text, "waits for its own actor"), text);
        CHECK(contains(text, "wait_and_catch"));
      }
      CHECK(rt.get(self.call<&Waiter::one>(), 20s) == 1);
      rt.get(self.call<&Waiter::know>(ActorHandle<Waiter>{}));
    }
  }

  TEST_CASE("fault 34: a cycle that begins behind a call that only takes long is found when that has come") {
    Machine machine;
    auto& rt = machine.rt;
    for (auto where : kBoth) {
      auto self = rt.actor<Waiter>({.isolation = where}).spawn();
      auto other = rt.actor<Waiter>().spawn();
      rt.get(self.call<&Waiter::know>(self));
      for (const std::string how : {"get", "wait", "as_completed"}) {
        CAPTURE(how);
        Gate gate;
        auto call = self.call<&Waiter::wait_and_catch>(how, other, gate.path());
        CHECK_THROWS_AS(rt.get(call, 600ms), Timeout);
        gate.open();
        const auto text = rt.get(call, 30s);
        CHECK_MESSAGE(contains(text, "waits for its own actor"), text);
      }
      rt.get(self.call<&Waiter::know>(ActorHandle<Waiter>{}));
    }
  }

  TEST_CASE("fault 34: calls among several that only take long all come") {
    Machine machine;
    auto& rt = machine.rt;
    for (auto where : kBoth) {
      auto a = rt.actor<Waiter>({.isolation = where}).spawn();
      auto b = rt.actor<Waiter>().spawn();
      rt.get(a.call<&Waiter::know>(b));
      for (const std::string how : {"get", "wait", "as_completed"}) {
        Gate gate;
        auto call = a.call<&Waiter::wait_and_catch>(how, b, gate.path());
        CHECK_THROWS_AS(rt.get(call, 600ms), Timeout);
        gate.open();
        CHECK(rt.get(call, 30s) == "all came");
      }
      rt.get(a.call<&Waiter::know>(ActorHandle<Waiter>{}));
    }
  }

  TEST_CASE("fault 34: a cycle of waits for several fails with DeadlockDetected and its members") {
    Machine machine;
    auto& rt = machine.rt;
    for (auto where : kBoth) {
      auto a = rt.actor<Waiter>().spawn();
      auto b = rt.actor<Waiter>({.isolation = where}).spawn();
      rt.get(a.call<&Waiter::know>(b));
      rt.get(b.call<&Waiter::know>(a));
      CHECK(rt.get(a.call<&Waiter::ask_list>(1), 30s) == 2);
      const auto error = error_of<TaskError>([&] { rt.get(a.call<&Waiter::ask_list>(2), 30s); });
      CHECK_MESSAGE(contains(error.to_string(), "DeadlockDetected"), error.to_string());
      CHECK(contains(error.to_string(), "Waiter::ask_list"));
      for (auto& each : {a, b}) CHECK(rt.get(each.call<&Waiter::one>(), 30s) == 1);
      for (auto& each : {a, b}) rt.get(each.call<&Waiter::know>(ActorHandle<Waiter>{}));
    }
  }

  // It said that the value was not there in time, and nothing of why.
  TEST_CASE("fault 34: a Timeout says who waits for whom") {
    Machine machine;
    auto& rt = machine.rt;
    for (auto where : kBoth) {
      auto a = rt.actor<Waiter>({.isolation = where}).spawn();
      auto b = rt.actor<Waiter>().spawn();
      rt.get(a.call<&Waiter::know>(b));
      rt.get(b.call<&Waiter::know>(a));
      const auto inside = rt.get(a.call<&Waiter::ask_in_time>(), 60s);
      CHECK_MESSAGE(contains(inside, "Its actor waits in turn: "), inside);
      CHECK_MESSAGE(contains(inside, "Waiter::ask of actor #"), inside);
      CHECK_MESSAGE(contains(inside, " waits for actor #"), inside);
      CHECK_MESSAGE(contains(inside, "This wait is of actor #"), inside);
      Gate gate;
      auto waits = a.call<&Waiter::wait_for_slow>(gate.path());
      const auto said = [&](auto timeout) { return error_of<Timeout>([&] { rt.get(std::vector{waits}, timeout); }).message; };
      std::string outside;
      eventually([&] { return contains(outside = said(300ms), "Waiter::wait_for_slow of actor #"); }, 30s);
      CHECK_MESSAGE(contains(outside, "Its actor waits in turn: "), outside);
      CHECK_MESSAGE(contains(outside, "its actor "), outside);
      CHECK_FALSE(contains(said(20ms), "explain says"));  // one of many looks, perhaps
      gate.open();
      CHECK(rt.get(waits, 20s) == 2);
      for (auto& each : {a, b}) rt.get(each.call<&Waiter::know>(ActorHandle<Waiter>{}));
    }
  }

  // The node has heard of a wait that is over, but not of its end: what is asked of that actor meanwhile only looked like a cycle.
  TEST_CASE("fault 34: a process that is paused while the answer to its actor's wait comes is in no cycle") {
    Machine machine;
    auto& rt = machine.rt;
    Gate gate;
    auto a = rt.actor<Waiter>({.isolation = own_process}).spawn();
    auto b = rt.actor<Waiter>({.isolation = own_process}).spawn();
    rt.get(a.call<&Waiter::know>(b));
    rt.get(b.call<&Waiter::know>(a));
    const int pid = rt.get(a.call<&Waiter::pid>());
    auto waits = a.call<&Waiter::wait_for_slow>(gate.path());
    CHECK_THROWS_AS(rt.get(waits, 600ms), Timeout);
    ObjectRef<int> asks;
    {
      const Paused paused(pid);
      gate.open();
      asks = b.call<&Waiter::ask>(1);
      CHECK_THROWS_AS(rt.get(asks, 1s), Timeout);
    }
    CHECK(rt.get(asks, 30s) == 2);
    CHECK(rt.get(waits, 30s) == 2);
    for (auto& each : {a, b}) rt.get(each.call<&Waiter::know>(ActorHandle<Waiter>{}));
  }

  // It ends by itself: who waits has said how long it wants to.
  TEST_CASE("fault 34: a wait for a call that has a deadline ends with its Timeout") {
    Machine machine;
    auto& rt = machine.rt;
    for (auto where : kBoth) {
      auto self = rt.actor<Waiter>({.isolation = where}).spawn();
      rt.get(self.call<&Waiter::know>(self));
      const auto text = rt.get(self.call<&Waiter::ask_by_deadline>(), 30s);
      CHECK_MESSAGE(contains(text, "deadline of 900 ms"), text);
      CHECK(rt.get(self.call<&Waiter::one>(), 20s) == 1);
      rt.get(self.call<&Waiter::know>(ActorHandle<Waiter>{}));
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

  // The question whether its wait stands was answered 100 ms later; the answer that ended the wait lay in the inbox of an owner that was held up.
  TEST_CASE("fault 34: a wait that is over is no part of a cycle, though its process is slow to see that") {
    Machine machine;
    auto& rt = machine.rt;
    for (int round = 0; round < 3; ++round) {
      auto asker = rt.actor<Asker>({.isolation = own_process}).spawn();
      auto asked = rt.actor<Asked>({.isolation = own_process}).spawn();
      CHECK(rt.get(asker.call<&Asker::two>()) == 2);
      const Folder folder;
      const std::string begun = folder / "begun";
      auto first = asker.call<&Asker::ask>(asked, begun);
      REQUIRE(eventually([&] { return fs::exists(begun); }));  // else the second one is served first, and it is a deadlock
      std::this_thread::sleep_for(150ms);
      auto second = asked.call<&Asked::ask>(asker);
      CHECK(rt.get(second, 60s) == 2);
      CHECK(rt.get(first, 60s) == "it came");
    }
  }
}

}  // namespace manta_test
