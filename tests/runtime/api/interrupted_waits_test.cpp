// A wait that ends before the value is there leaves nothing behind with the ref, which may live as long as the program. The
// story: each left a wake-up, so a ref that was waited for in a loop grew.
#include "runtime/promise.hpp"
#include "support.hpp"

namespace manta_test {
namespace {

int same(int x) { return x; }

class Desk {
 public:
  Async<int> wait(std::vector<ObjectRef<int>> refs) {
    auto ref = refs.front();
    co_return co_await ref;
  }
  int take(int x) { return x; }
};

int look(Context& ctx, const std::vector<ObjectRef<int>>& refs) { return ctx.try_get(refs.front(), 1ms).ok() ? 1 : 0; }
int get_it(Context& ctx, const std::vector<ObjectRef<int>>& refs) { return ctx.get(refs.front()); }

std::size_t waiters(const ObjectRef<int>& ref) { return ref.cell()->waiters(); }

}  // namespace

TEST_SUITE("runtime/api") {
  TEST_CASE("thousands of waits with a timeout leave nothing with a ref") {
    Machine machine;
    auto& rt = machine.rt;
    Promise<int> promise, other;
    const auto ref = promise.ref();
    for (int i = 0; i < 800; ++i) {
      CHECK_THROWS_AS(rt.get(ref, 0ms), Timeout);
      CHECK_FALSE(rt.try_get(ref, 1us).ok());
      CHECK(rt.wait(std::vector{ref, other.ref()}, {.count = 1, .timeout = 0ms}).ready.empty());
      CHECK_THROWS_AS(rt.get(std::vector{ref, ref, other.ref()}, 1us), Timeout);
    }
    CHECK(waiters(ref) == 0);
    for (int i = 0; i < 100; ++i) {
      auto completions = rt.as_completed(std::vector{ref, other.ref()});
      CHECK_THROWS_AS(completions.next(0ms), Timeout);
    }
    CHECK(waiters(ref) == 0);
    CHECK(waiters(other.ref()) == 0);
    promise.set(1);
    CHECK(rt.get(ref) == 1);
  }

  TEST_CASE("tasks and calls that are cancelled while they wait for an argument leave nothing with it") {
    Machine machine;
    auto& rt = machine.rt;
    Promise<int> promise;
    const auto ref = promise.ref();
    auto desk = rt.actor<Desk>().spawn();
    for (int i = 0; i < 300; ++i) {
      const auto task = rt.remote<same>(ref);
      const auto late = rt.task<same>({.deadline = 1us}).remote(ref);
      const auto call = desk.call<&Desk::take>(ref);
      rt.cancel(task);
      rt.cancel(call);
      CHECK_THROWS_AS(rt.get(task), Cancelled);
      CHECK_THROWS_AS(rt.get(late), Timeout);
      CHECK_THROWS_AS(rt.get(call), Cancelled);
    }
    CHECK(eventually([&] { return waiters(ref) == 0; }));
    auto killed = rt.actor<Desk>().spawn();
    const auto call = killed.call<&Desk::take>(ref);
    killed.kill();
    CHECK_THROWS_AS(rt.get(call), ActorDied);
    CHECK(eventually([&] { return waiters(ref) == 0; }));
    promise.set(5);
    CHECK(rt.get(desk.call<&Desk::take>(ref)) == 5);
  }

  TEST_CASE("coroutines that are cancelled while they wait for a ref leave nothing with it") {
    Machine machine;
    auto& rt = machine.rt;
    Promise<int> promise;
    const auto ref = promise.ref();
    auto desk = rt.actor<Desk>().spawn();
    for (int round = 0; round < 5; ++round) {
      std::vector<ObjectRef<int>> calls;
      for (int i = 0; i < 40; ++i) calls.push_back(desk.call<&Desk::wait>(std::vector{ref}));
      const std::size_t all = in_processes() ? 1 : 40;  // a process that waits is one that waits
      CHECK(eventually([&] { return waiters(ref) == all; }));
      for (const auto& call : calls) rt.cancel(call);
      for (const auto& call : calls) CHECK_THROWS_AS(rt.get(call), Cancelled);
      calls.clear();
      CHECK(eventually([&] { return waiters(ref) == 0; }));
    }
    const auto last = desk.call<&Desk::wait>(std::vector{ref});
    promise.set(5);
    CHECK(rt.get(last) == 5);
  }

  TEST_CASE("a process that asks for a value again and again is one that waits, and none when its refs are gone") {
    Machine machine;
    auto& rt = machine.rt;
    Promise<int> promise;
    const auto ref = promise.ref();
    for (int i = 0; i < 100; ++i) {
      CHECK(rt.get(rt.task<look>({.isolation = i % 50 == 0 ? own_process : Isolation::kShared}).remote(std::vector{ref})) == 0);
      CHECK(waiters(ref) <= 8);
    }
    CHECK(eventually([&] { return waiters(ref) == 0; }));
    promise.set(1);
    CHECK(rt.get(rt.remote<get_it>(std::vector{ref})) == 1);
  }

  TEST_CASE("looks at a placement group that waits are one wait") {
    Machine machine(small_machine(2));
    auto& rt = machine.rt;
    const auto first = rt.placement_group({.bundles = {{.num_cpus = 2}}});
    CHECK(rt.wait(first, 60s));
    const auto second = rt.placement_group({.bundles = {{.num_cpus = 2}}});
    const auto ready = rt.ready(second);
    for (int i = 0; i < 100; ++i) {
      CHECK_FALSE(rt.wait(second, 0ms));
      CHECK(rt.ready(second) == ready);
    }
    rt.remove(first);
    CHECK(rt.wait(second, 60s));
    rt.remove(second);
  }
}

}  // namespace manta_test
