// Waiting for several refs: as they finish, by callback, with timeouts.
#include <atomic>
#include <csignal>
#include <future>
#include <mutex>
#include <numeric>
#include <set>

#include <unistd.h>

#include "runtime/base/log.hpp"
#include "support.hpp"

namespace manta_test {
namespace {

int twice(int x) { return 2 * x; }
int fail(const std::string& text) { throw std::runtime_error(text); }
int die(int signal) { return ::raise(signal); }
std::vector<int> numbers(int n) {
  std::vector<int> all(static_cast<std::size_t>(n));
  std::iota(all.begin(), all.end(), 0);
  return all;
}
int sum_as_completed(Context& ctx, int n) {
  std::vector<ObjectRef<int>> refs;
  for (int i = 0; i < n; ++i) refs.push_back(ctx.remote<twice>(i));
  int sum = 0;
  for (auto& ref : ctx.as_completed(refs)) sum += ctx.get(ref);
  return sum;
}

}  // namespace

TEST_SUITE("runtime/api/waiting") {
  TEST_CASE("as_completed gives refs as they finish, each once, failed ones too") {
    Machine machine;
    auto& rt = machine.rt;
    Gate gate;
    const auto slow = rt.remote<pass>(gate.path(), 1);
    const auto fast = rt.remote<twice>(2);
    const auto failed = rt.remote<fail>("x");
    auto finished = rt.as_completed(std::vector{slow, fast, failed});
    std::vector<ObjectRef<int>> first{*finished.next(), *finished.next()};
    CHECK(((first[0] == fast && first[1] == failed) || (first[0] == failed && first[1] == fast)));
    CHECK(finished.left() == 1);
    CHECK_THROWS_AS(finished.next(5ms), Timeout);
    const auto late = error_of<Timeout>([&] { finished.next(150ms); }).to_string();
    CHECK_MESSAGE((contains(late, "1 refs") && contains(late, "runs since")), late);
    gate.open();
    CHECK(*finished.next(20s) == slow);
    CHECK_FALSE(finished.next());
    CHECK(finished.left() == 0);
  }

  TEST_CASE("as_completed of refs that had finished keeps the order given; one given twice comes twice; of none ends at once") {
    Machine machine;
    auto& rt = machine.rt;
    std::vector<ObjectRef<int>> refs;
    for (int i = 0; i < 100; ++i) refs.push_back(rt.remote<twice>(i));
    refs.push_back(refs.front());
    rt.get(refs);
    std::vector<ObjectRef<int>> seen;
    for (auto& ref : rt.as_completed(refs)) seen.push_back(ref);
    CHECK(seen == refs);
    for (auto& ref : rt.as_completed(std::vector<ObjectRef<int>>{})) FAIL_CHECK(ref.ready());
    CHECK_THROWS_AS(rt.as_completed(std::vector{ObjectRef<int>{}}), InvalidArgument);
  }

  TEST_CASE("as_completed over thousands that still run, also in a task on one CPU") {
    Machine machine(small_machine(1));
    auto& rt = machine.rt;
    std::vector<ObjectRef<int>> refs;
    for (int i = 0; i < 3000; ++i) refs.push_back(rt.remote<twice>(i));
    long sum = 0;
    for (auto& ref : rt.as_completed(refs)) sum += rt.get(ref);
    CHECK(sum == 2999l * 3000);
    CHECK(rt.get(rt.remote<sum_as_completed>(50)) == 2450);
  }

  TEST_CASE("a range that is dropped leaves nothing with refs that still run") {
    Machine machine;
    auto& rt = machine.rt;
    Gate gate;
    const auto slow = rt.remote<pass>(gate.path(), 7);
    for (int i = 0; i < 100; ++i) {
      auto finished = rt.as_completed(std::vector{slow, rt.remote<twice>(i)});
      auto moved = std::move(finished);
      CHECK(rt.get(*moved.next()) == 2 * i);
    }
    gate.open();
    CHECK(rt.get(slow) == 7);
  }

  TEST_CASE("on_ready calls back once for a value, an error, and what had finished before; callbacks may call the runtime") {
    Machine machine;
    auto& rt = machine.rt;
    std::mutex mutex;
    std::set<std::thread::id> threads;
    std::vector<int> values;
    std::atomic<int> failures{0}, calls{0};
    auto note = [&](const ObjectRef<int>& ref) {
      std::lock_guard lock(mutex);
      threads.insert(std::this_thread::get_id());
      ref.failed() ? void(++failures) : values.push_back(rt.get(ref));
      ++calls;
    };
    Gate gate;
    const auto late = rt.remote<pass>(gate.path(), 5);
    const auto early = rt.remote<twice>(4);
    rt.get(early);
    rt.on_ready(late, note);
    rt.on_ready(early, note);
    rt.on_ready(rt.remote<fail>("x"), note);
    CHECK(eventually([&] { return calls == 2; }));
    CHECK(failures == 1);
    gate.open();
    CHECK(eventually([&] { return calls == 3; }));
    std::lock_guard lock(mutex);
    CHECK(values == std::vector{8, 5});
    CHECK(threads.size() == 1);
    CHECK_FALSE(threads.contains(std::this_thread::get_id()));
  }

  TEST_CASE("a callback of on_ready may hold what cannot be copied") {
    Machine machine;
    auto& rt = machine.rt;
    std::promise<int> seen;
    auto sum = seen.get_future();
    rt.on_ready(rt.remote<twice>(4), [&rt, box = std::make_unique<int>(5), seen = std::move(seen)](const ObjectRef<int>& ref) mutable {
      seen.set_value(rt.get(ref) + *box);
    });
    CHECK(sum.get() == 13);
  }

  TEST_CASE("a callback of a ref that is ready is called at once after the end of the runtime") {
    auto rt = Runtime::start(small_machine());
    const auto ref = rt.remote<twice>(4);
    rt.get(ref);
    rt.shutdown();
    std::thread::id thread;
    rt.on_ready(ref, [&](const auto&) { thread = std::this_thread::get_id(); });
    CHECK(thread == std::this_thread::get_id());
  }

  TEST_CASE("a callback that throws harms nobody, one that is due at the end of the runtime is called") {
    std::atomic<int> calls{0};
    {
      Machine machine;
      auto& rt = machine.rt;
      set_log_level(LogLevel::kOff);
      rt.on_ready(rt.remote<twice>(1), [&](const auto&) {
        ++calls;
        throw std::runtime_error("ignored");
      });
      CHECK(eventually([&] { return calls == 1; }));
      for (int i = 0; i < 100; ++i) rt.on_ready(rt.remote<twice>(i), [&](const auto&) { ++calls; });
    }
    set_log_level(LogLevel::kWarning);
    CHECK(calls == 101);
    CHECK_THROWS_AS((Machine().rt.on_ready(ObjectRef<int>{}, [](const auto&) {})), InvalidArgument);
  }

  TEST_CASE("get of many keeps order and duplicates, and does not wait for the slow when a worker has died") {
    Machine machine;
    auto& rt = machine.rt;
    const auto one = rt.remote<twice>(1);
    const auto two = rt.remote<twice>(2);
    CHECK(rt.get(std::vector{two, one, two, two}) == std::vector{4, 2, 4, 4});
    Gate gate;
    const auto slow = rt.remote<pass>(gate.path(), 1);
    const auto dead = rt.task<die>({.max_retries = 0, .isolation = own_process}).remote(SIGKILL);
    CHECK_THROWS_AS(rt.get(std::vector{slow, dead}), WorkerCrashed);
    CHECK_FALSE(slow.ready());
  }

  TEST_CASE("get_shared and try_get take timeouts as durations, and copy nothing where nothing is copied") {
    Machine machine;
    auto& rt = machine.rt;
    Gate gate;
    const auto slow = rt.remote<pass>(gate.path(), 1);
    CHECK_THROWS_AS(rt.get_shared(slow, 2ms), Timeout);
    CHECK(rt.try_get(slow, 2ms).error().code == ErrorCode::kTimeout);
    gate.open();
    CHECK(rt.try_get(slow, 20s).value() == 1);
    const auto many = rt.remote<numbers>(1000);
    CHECK(rt.get_shared(many, 20s) == rt.get_shared(many, std::chrono::hours::max()));
  }
}

}  // namespace manta_test
