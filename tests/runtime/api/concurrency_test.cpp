// Actors that run several calls at once, limits on what waits, calls that overtake.
#include <unistd.h>

#include <algorithm>
#include <atomic>

#include "support.hpp"

namespace manta_test {
namespace {

/// Notes how many calls are in it at once.
class Busy {
 public:
  Busy() = default;
  explicit Busy(std::string file) : file_(std::move(file)) {}
  ~Busy() {
    if (!file_.empty()) append(file_, "gone\n");
  }
  int hold(const std::string& log, const std::string& gate) {
    const int now = ++now_;
    for (int peak = peak_; now > peak && !peak_.compare_exchange_weak(peak, now);) {
    }
    append(log, "in\n");
    pass(gate, 0);
    return --now_, now;
  }
  int peak() const { return peak_; }
  int pid() const { return ::getpid(); }
  int ping(int x) { return x; }
  int nested(Context& ctx, int x) {
    return ctx.get(ctx.remote<[](int y) { return 2 * y; }>(x));
  }
  int nap(int milliseconds) {
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    return milliseconds;
  }

 private:
  std::string file_;
  std::atomic<int> now_{0}, peak_{0};
};

int same(int x) { return x; }

/// Each call by a handle of its own, which is gone at once. The calls that were made; then whether one more was when these were done.
std::pair<int, bool> call_by_name(Context& ctx, const std::string& name, const std::string& gate, const std::string& log) {
  std::vector<ObjectRef<int>> refs;
  while (refs.size() < 100) {
    try {
      refs.push_back(ctx.find_actor<Busy>(name).call<&Busy::hold>(log, gate));
    } catch (const ResourceExhausted&) {
      break;
    }
  }
  const auto made = static_cast<int>(refs.size());
  append(log, "made\n");
  ctx.get(refs);
  return {made, ctx.get(ctx.find_actor<Busy>(name).call<&Busy::ping>(1)) == 1};
}

struct WaitsToBegin {
  explicit WaitsToBegin(Context& ctx) : got(ctx.get(ctx.task<same>({.deadline = 60s}).remote(4))) {}  // one with a deadline nobody runs for it
  int value() { return got; }
  int got;
};

std::size_t lines(const std::string& file) {
  const auto text = content(file);
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

}  // namespace

TEST_SUITE("runtime/api/concurrency") {
  TEST_CASE("ray 17: as many calls as max_concurrency run at once, never more") {
    Machine machine;
    auto& rt = machine.rt;
    for (bool own : {false, true}) {
      Folder folder;
      Gate gate;
      const std::string log = folder / "log";
      auto busy = rt.actor<Busy>({.max_concurrency = 3, .isolation = own ? own_process : Isolation::kShared}).spawn();
      std::vector<ObjectRef<int>> refs;
      for (int i = 0; i < 10; ++i) refs.push_back(busy.call<&Busy::hold>(log, gate.path()));
      CHECK(eventually([&] { return lines(log) == 3; }));
      gate.open();
      rt.get(refs);
      CHECK(lines(log) == 10);
      CHECK(rt.get(busy.call<&Busy::peak>()) == 3);
    }
  }

  TEST_CASE("a group has its own limit, and a full one does not hold up the others") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    Gate gate;
    const std::string log = folder / "log";
    auto busy = rt.actor<Busy>({.concurrency_groups = {{"hold", 2}, {"other", 1}}}).in_group<&Busy::hold>("hold").spawn();
    std::vector<ObjectRef<int>> refs;
    for (int i = 0; i < 5; ++i) refs.push_back(busy.call<&Busy::hold>(log, gate.path()));
    CHECK(eventually([&] { return lines(log) == 2; }));
    CHECK(rt.get(busy.call<&Busy::ping>(1), 20s) == 1);
    CHECK(rt.get(busy.options({.concurrency_group = "other"}).call<&Busy::ping>(2), 20s) == 2);
    auto behind = busy.options({.concurrency_group = "hold"}).call<&Busy::ping>(3);
    CHECK(lines(log) == 2);
    CHECK_FALSE(behind.ready());
    gate.open();
    CHECK(rt.get(behind) == 3);
    rt.get(refs);
    CHECK(rt.get(busy.call<&Busy::peak>()) == 2);
  }

  TEST_CASE("options that can never work are refused with the reason") {
    Machine machine;
    auto& rt = machine.rt;
    CHECK_THROWS_AS(rt.actor<Busy>({.max_concurrency = 0}).spawn(), InvalidArgument);
    CHECK_THROWS_AS(rt.actor<Busy>({.concurrency_groups = {{"", 1}}}).spawn(), InvalidArgument);
    CHECK_THROWS_AS(rt.actor<Busy>({.concurrency_groups = {{"io", -1}}}).spawn(), InvalidArgument);
    CHECK_THROWS_AS(rt.actor<Busy>({.max_pending_calls = 0}).spawn(), InvalidArgument);
    auto error = error_of<InvalidArgument>([&] { rt.actor<Busy>({.concurrency_groups = {{"io", 1}}}).in_group<&Busy::ping>("oi").spawn(); });
    CHECK(contains(error.message, "it has io"));
    CHECK(contains(error.message, "Busy::ping"));
    auto busy = rt.actor<Busy>().spawn();
    error = error_of<InvalidArgument>([&] { busy.options({.concurrency_group = "io"}).call<&Busy::ping>(1); });
    CHECK(contains(error.message, "it has none"));
  }

  TEST_CASE("ray 25: with max_pending_calls = 10 the eleventh call throws, and it works again when they are done") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    Gate gate;
    auto busy = rt.actor<Busy>({.name = "bounded", .max_pending_calls = 10}).spawn();
    std::vector<ObjectRef<int>> refs;
    for (int i = 0; i < 10; ++i) refs.push_back(busy.call<&Busy::hold>(folder / "log", gate.path()));
    auto error = error_of<ResourceExhausted>([&] { busy.call<&Busy::ping>(1); });
    CHECK(contains(error.to_string(), "bounded"));
    gate.open();
    rt.get(refs);
    for (int i = 0; i < 100; ++i) REQUIRE(rt.get(busy.call<&Busy::ping>(i)) == i);
  }

  // Each handle's link counted its own, and went with it: a process that looked its actor up anew each time had no limit.
  TEST_CASE("calls of a process count together, whichever handles they are made by") {
    Machine machine;
    auto& rt = machine.rt;
    for (auto place : {Isolation::kShared, own_process}) {
      Folder folder;
      Gate gate;
      auto busy = rt.actor<Busy>({.name = "bounded", .max_pending_calls = 3}).spawn();
      auto made = rt.task<call_by_name>({.isolation = place}).remote("bounded", gate.path(), folder / "log");
      CHECK(eventually([&] { return contains(content(folder / "log"), "made"); }));
      gate.open();
      CHECK(rt.get(made, 60s) == std::pair(3, true));
    }
  }

  TEST_CASE("an unordered actor runs first what is ready first") {
    Machine machine;
    auto& rt = machine.rt;
    Gate gate;
    auto busy = rt.actor<Busy>({.unordered = true}).spawn();
    auto late = busy.call<&Busy::ping>(rt.remote<pass>(gate.path(), 1));
    CHECK(rt.get(busy.call<&Busy::ping>(2), 20s) == 2);
    CHECK_FALSE(late.ready());
    gate.open();
    CHECK(rt.get(late) == 1);
  }

  TEST_CASE("calls that all wait for tasks lend the actor's CPU") {
    Machine machine(small_machine(1));
    auto& rt = machine.rt;
    auto busy = rt.actor<Busy>({.num_cpus = 1, .max_concurrency = 4}).spawn();
    std::vector<ObjectRef<int>> refs;
    for (int i = 0; i < 40; ++i) refs.push_back(busy.call<&Busy::nested>(i));
    const auto values = rt.get(refs, 30s);
    for (int i = 0; i < 40; ++i) CHECK(values[static_cast<std::size_t>(i)] == 2 * i);
  }

  // An actor of several calls kept them.
  TEST_CASE("cpus_while_idle = false gives the CPUs to others between calls, whether one runs at a time or several") {
    for (const int calls : {1, 3}) {
      Machine machine(small_machine(1));
      auto& rt = machine.rt;
      Folder folder;
      Gate gate;
      const std::string log = folder / "log";
      auto busy = rt.actor<Busy>({.num_cpus = 1, .cpus_while_idle = false, .max_concurrency = calls}).spawn();
      auto free_cpus = [&](int cpus) { return eventually([&] { return rt.available_resources()["CPU"] == Amount(cpus); }, 30s); };
      CHECK(rt.get(busy.call<&Busy::ping>(1), 30s) == 1);
      CHECK(rt.get(rt.remote<same>(2), 30s) == 2);
      std::vector<ObjectRef<int>> held;
      for (int i = 0; i < 3; ++i) held.push_back(busy.call<&Busy::hold>(log, gate.path()));
      CHECK(eventually([&] { return lines(log) == static_cast<std::size_t>(calls); }));
      CHECK(free_cpus(0));
      gate.open();
      rt.get(held);
      CHECK(free_cpus(1));
      CHECK(rt.get(rt.remote<same>(3), 30s) == 3);
    }
  }

  TEST_CASE("the constructor of an actor of several calls lends its CPU while it waits") {
    Machine machine(small_machine(1));
    auto& rt = machine.rt;
    auto actor = rt.actor<WaitsToBegin>({.num_cpus = 1, .max_concurrency = 2}).spawn();
    CHECK(rt.get(actor.call<&WaitsToBegin::value>(), 30s) == 4);
  }

  TEST_CASE("the destructor runs once, after the last call that runs, at kill and when the last handle goes") {
    for (bool kill : {false, true}) {
      Machine machine;
      auto& rt = machine.rt;
      Folder folder;
      Gate gate;
      const std::string log = folder / "log", file = folder / "end";
      auto busy = rt.actor<Busy>({.max_concurrency = 2}).spawn(file);
      std::vector<ActorHandle<Busy>> others;
      for (const int home = rt.get(busy.call<&Busy::pid>()); others.empty() || rt.get(others.back().call<&Busy::pid>()) != home;)
        others.push_back(rt.actor<Busy>().spawn());
      std::vector<ObjectRef<int>> refs;
      for (int i = 0; i < 4; ++i) refs.push_back(busy.call<&Busy::hold>(log, gate.path()));
      CHECK(eventually([&] { return lines(log) == 2; }));
      if (kill) busy.kill();
      busy = {};
      // The kill takes its way. Behind the second call to its process it has arrived: the first one is sent after it was made.
      for (int i = 0; i < 2; ++i) rt.get(others.back().call<&Busy::ping>(i));
      CHECK(content(file).empty());
      gate.open();
      CHECK(eventually([&] { return content(file) == "gone\n"; }));
      CHECK(lines(log) == (kill ? 2 : 4));
      for (auto& ref : refs) CHECK(rt.try_get(ref).ok() == !kill);
    }
  }

  TEST_CASE("500 actors whose methods sleep do not keep a call of another one waiting") {
    Machine machine;
    auto& rt = machine.rt;
    std::vector<ActorHandle<Busy>> sleepers;
    std::vector<ObjectRef<int>> naps;
    for (int i = 0; i < 500; ++i) {
      sleepers.push_back(rt.actor<Busy>().spawn());
      naps.push_back(sleepers.back().call<&Busy::nap>(1500));
    }
    auto awake = rt.actor<Busy>().spawn();
    for (int i = 0; i < 20; ++i) CHECK(rt.get(awake.call<&Busy::ping>(i), 60s) == i);
    const auto ready = rt.wait(naps, {.count = 500, .timeout = 120s}).ready.size();
    CHECK(ready == 500);
  }
}

}  // namespace manta_test
