// What it costs that very many works let go of one ref. The story: each took its own waiter back, and looked through all the
// others for it; a hundred thousand cancelled works kept their owner busy for minutes.
// And cancels of very many calls of one actor. The story: for each one that had begun its whole queue was looked through, and of many
// coroutines that waited when they were cancelled only the last ones heard that what they submit is not wanted either.
#include <algorithm>
#include <atomic>

#include "runtime/promise.hpp"
#include "support.hpp"

namespace manta_test {
namespace {

constexpr int kWorks = 4000;

/// Waits at a cell like a work, and counts how often somebody looks through those who wait there.
class Spy final : public detail::Cell::Waiter {
 public:
  void settled() override {}
  const void* whose() const noexcept override {
    ++looks;
    return this;
  }
  mutable std::atomic<int> looks{0};
};

int take(int value) { return value; }
struct Taker {
  int take(int value) { return value; }
  int nap(int milliseconds) { return std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds)), milliseconds; }
};

/// Its coroutines wait for ever; told that nobody wants them, they try to submit something.
class Desk {
 public:
  Async<int> wait(Context& ctx) {
    ++waiting_;
    auto turn = never_.ref();
    try {
      co_await turn;
    } catch (const Cancelled&) {
      submit(ctx);
    }
    co_return 1;
  }
  int waiting() const { return waiting_; }
  int submitted() const { return submitted_; }
  int refused() const { return refused_; }
  int be_busy(const std::string& gate, const std::string& log) {
    append(log, "busy;");
    return pass(gate, 1);
  }

 private:
  void submit(Context& ctx) try {
    ctx.remote<take>(1);
    ++submitted_;
  } catch (const Cancelled&) {
    ++refused_;
  }
  Promise<int> never_;
  std::atomic<int> waiting_{0}, submitted_{0}, refused_{0};
};

/// Has no end: each submits three more like it, and waits for them.
int go_on(Context& ctx, int depth) {
  std::vector<ObjectRef<int>> children;
  for (int i = 0; i < 3; ++i) children.push_back(ctx.remote<go_on>(depth + 1));
  ctx.wait(children, {.count = children.size()});
  return depth;
}

/// Submits what waits for the ref, and waits for it.
int submit_many(Context& ctx, const std::vector<ObjectRef<int>>& first, const std::string& log) {
  std::vector<ObjectRef<int>> all;
  for (int i = 0; i < kWorks; ++i) all.push_back(ctx.remote<take>(first.at(0)));
  append(log, "submitted;");
  return ctx.get(all.front());
}

}  // namespace

TEST_SUITE("runtime/api") {
  TEST_CASE("works that wait for one ref let go of it in few looks, not in one each, whether they end together or one by one") {
    if (in_processes()) return;  // the cell that is looked at is this process's
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    const auto log = folder / "log";
    Gate gate;
    const auto late = rt.remote<pass>(gate.path(), 1);
    const auto spy = std::make_shared<Spy>();
    late.cell()->on_settled(spy);
    SUBCASE("the children of a task that is cancelled") {
      const auto parent = rt.remote<submit_many>(std::vector{late}, log);
      CHECK(eventually([&] { return content(log) == "submitted;"; }));
      CHECK(eventually([&] { return late.cell()->waiters() > static_cast<std::size_t>(kWorks); }));
      rt.cancel(parent);
      CHECK_THROWS_AS(rt.get(parent), Cancelled);
    }
    SUBCASE("tasks that are cancelled one by one") {
      std::vector<ObjectRef<int>> all;
      for (int i = 0; i < kWorks; ++i) all.push_back(rt.remote<take>(late));
      CHECK(eventually([&] { return late.cell()->waiters() > static_cast<std::size_t>(kWorks); }));
      for (const auto& each : all) rt.cancel(each);
      for (const auto& each : all) CHECK_THROWS_AS(rt.get(each), Cancelled);
    }
    SUBCASE("the calls of an actor that is killed") {
      auto actor = rt.actor<Taker>().spawn();
      std::vector<ObjectRef<int>> calls;
      for (int i = 0; i < kWorks; ++i) calls.push_back(actor.call<&Taker::take>(late));
      CHECK(eventually([&] { return late.cell()->waiters() > static_cast<std::size_t>(kWorks); }));
      actor.kill();
      for (const auto& call : calls) CHECK_THROWS_AS(rt.get(call), ActorDied);
    }
    CHECK(eventually([&] { return late.cell()->waiters() == 1; }));  // but for the spy all have gone
    CHECK_MESSAGE(spy->looks < kWorks / 10, spy->looks.load());
    gate.open();
    CHECK(rt.get(late) == 1);
  }

  TEST_CASE("of thousands of calls some have begun and wait, the others are queued: all are cancelled, in any order, and the actor goes on") {
    Machine machine;
    auto& rt = machine.rt;
    for (const int at_once : {1, 2})
      for (const bool last_first : {false, true}) {
        CAPTURE(at_once);
        CAPTURE(last_first);
        ActorOptions options{.max_concurrency = at_once, .max_coroutines = 100};
        if (at_once > 1) options.concurrency_groups = {{"others", 1}};
        auto desk = rt.actor<Desk>(options).spawn();
        CHECK(rt.get(desk.call<&Desk::waiting>()) == 0);  // it is there: what comes now is sent to it at once
        std::vector<ObjectRef<int>> calls;
        for (int i = 0; i < kWorks; ++i) {
          const bool other = at_once > 1 && i % 2;
          calls.push_back(other ? desk.options({.concurrency_group = "others"}).call<&Desk::wait>() : desk.call<&Desk::wait>());
        }
        if (last_first) std::reverse(calls.begin(), calls.end());
        for (const auto& call : calls) rt.cancel(call);
        for (const auto& call : calls) CHECK_THROWS_AS(rt.get(call), Cancelled);
        CHECK(rt.get(desk.call<&Desk::submitted>(), 60s) == 0);
      }
  }

  // The story: a look at all tasks for each level of the tree was slower than the tree grew. Twenty seconds later it had ten times the tasks.
  TEST_CASE("a recursion without an end is cancelled: it ends") {
    Machine machine;
    auto& rt = machine.rt;
    const auto root = rt.remote<go_on>(0);
    CHECK(eventually([&] { return rt.stats().leases > 3; }));
    std::this_thread::sleep_for(300ms);
    rt.cancel(root);
    CHECK_THROWS_AS(rt.get(root), Cancelled);
    CHECK(eventually([&] { return rt.stats().idle(); }, 20s));
  }

  // The story: the second cancel took the call off a list where the kill had just done so: the driver crashed.
  TEST_CASE("a call is cancelled once more as its actor is killed, or its deadline passes then") {
    Machine machine;
    auto& rt = machine.rt;
    std::atomic<bool> stop{false};
    std::thread others([&] {
      for (int i = 1; !stop; ++i) {  // so that both come at once
        const auto other = rt.remote<take>(1);
        if (i % 64 == 0) rt.get(other);  // or a slow machine would have 100,000 of them left to do
      }
    });
    for (int i = 0; i < (in_processes() ? 100 : 400); ++i) {
      auto actor = rt.actor<Taker>().spawn();
      CHECK(rt.get(actor.call<&Taker::take>(1)) == 1);
      const auto ref = i % 2 ? actor.call<&Taker::nap>(3) : actor.options({.deadline = 2ms}).call<&Taker::nap>(3);
      if (i % 2) rt.cancel(ref);
      static_cast<void>(rt.try_get(ref, 30s));
      actor.kill();
      rt.cancel(ref);
    }
    stop = true;
    others.join();
  }

  TEST_CASE("a thousand coroutines are cancelled while their actor is busy: what any of them submits afterwards is refused") {
    constexpr int kMany = 1000;
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    const std::string log = folder / "log";
    Gate gate;
    auto desk = rt.actor<Desk>({.max_coroutines = 2 * kMany}).spawn();
    std::vector<ObjectRef<int>> calls;
    for (int i = 0; i < kMany; ++i) calls.push_back(desk.call<&Desk::wait>());
    CHECK(eventually([&] { return rt.get(desk.call<&Desk::waiting>()) == kMany; }));
    const auto busy = desk.call<&Desk::be_busy>(gate.path(), log);
    CHECK(eventually([&] { return content(log) == "busy;"; }));
    for (const auto& call : calls) rt.cancel(call);
    for (const auto& call : calls) CHECK_THROWS_AS(rt.get(call), Cancelled);
    gate.open();
    CHECK(rt.get(busy) == 1);
    CHECK(eventually([&] { return rt.get(desk.call<&Desk::refused>()) + rt.get(desk.call<&Desk::submitted>()) == kMany; }));
    CHECK(rt.get(desk.call<&Desk::submitted>()) == 0);
  }
}

}  // namespace manta_test
