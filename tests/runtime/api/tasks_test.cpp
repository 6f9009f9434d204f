#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <numeric>

#include "support.hpp"

namespace manta_test {
namespace {

int square(int x) { return x * x; }
int add(int a, int b) { return a + b; }
int fail(const std::string& text) { throw std::runtime_error(text); }
int throw_int(int x) { throw x; }
int fail_nested(const std::string& text) {
  try {
    fail(text);
  } catch (...) {
    std::throw_with_nested(std::logic_error("outer"));
  }
  return 0;
}
void nothing(int) {}
std::map<std::string, std::vector<double>> echo_map(const std::map<std::string, std::vector<double>>& m) { return m; }
std::uint64_t bits(double x) {
  std::uint64_t raw;
  std::memcpy(&raw, &x, sizeof raw);
  return raw;
}
double same(double x) { return x; }
std::int64_t same_int(std::int64_t x) { return x; }
int fib(Context& ctx, int n) {
  if (n < 2) return n;
  auto a = ctx.remote<fib>(n - 1);
  return ctx.get(a) + fib(ctx, n - 2);
}
int thread_count(int) { return static_cast<int>(count_entries("/proc/self/task")); }
int parent_of_one(Context& ctx, int x) { return ctx.get(ctx.remote<thread_count>(x)); }
int parent_of_failure(Context& ctx) { return ctx.get(ctx.remote<fail>(std::string("inner"))); }
int wait_of_children(Context& ctx, int n) {
  std::vector<ObjectRef<int>> refs;
  for (int i = 0; i < n; ++i) refs.push_back(ctx.remote<square>(i));
  auto split = ctx.wait(refs, {.count = refs.size()});
  int sum = 0;
  for (int x : ctx.get(refs)) sum += x;
  return split.pending.empty() ? sum : -1;
}
std::string about_me(Context& ctx) { return ctx.name() + "/" + std::to_string(ctx.attempt()) + "/" + ctx.num_cpus().to_string(); }

}  // namespace

TEST_SUITE("runtime/api/tasks") {
  TEST_CASE("a task gives its value, a ref is an argument like any other, and chains follow") {
    Machine machine;
    auto& rt = machine.rt;
    auto nine = rt.remote<square>(3);
    CHECK(rt.get(rt.remote<square>(nine)) == 81);
    CHECK(rt.get(rt.remote<add>(nine, nine)) == 18);
    auto sum = rt.remote<add>(0, 0);
    for (int i = 1; i <= 200; ++i) sum = rt.remote<add>(sum, i);
    CHECK(rt.get(sum) == 20100);
    rt.get(rt.remote<nothing>(1));
    const std::map<std::string, std::vector<double>> m{{"", {}}, {"a", {1, 2}}};
    CHECK(rt.get(rt.remote<echo_map>(m)) == m);
    CHECK(rt.get(rt.remote<square>(rt.put(5))) == 25);
    CHECK(rt.get(rt.remote<[](int x) { return x + 1; }>(4)) == 5);
    CHECK(*rt.get_shared(nine) == 9);
    CHECK(rt.get_shared(nine) == rt.get_shared(nine));
    CHECK(rt.get(rt.task<about_me>({.name = "me", .num_cpus = 2}).remote()) == "me/1/2");
  }

  TEST_CASE("numbers travel bit for bit") {
    Machine machine;
    auto& rt = machine.rt;
    using L = std::numeric_limits<double>;
    for (double x : {0.0, -0.0, L::infinity(), -L::infinity(), L::quiet_NaN(), -L::quiet_NaN(), L::denorm_min(), L::max(), 0.1})
      CHECK(bits(rt.get(rt.remote<same>(x))) == bits(x));
    for (auto x : {std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()})
      CHECK(rt.get(rt.remote<same_int>(x)) == x);
  }

  TEST_CASE("five thousand tasks give their own answers") {
    Machine machine;
    std::vector<ObjectRef<int>> refs;
    for (int i = 0; i < 5000; ++i) refs.push_back(machine.rt.remote<square>(i));
    const auto values = machine.rt.get(refs);
    for (int i = 0; i < 5000; ++i) REQUIRE(values[static_cast<std::size_t>(i)] == i * i);
  }

  TEST_CASE("what a task throws comes back with its type, its text and the task's name") {
    Machine machine;
    auto& rt = machine.rt;
    auto failed = rt.remote<fail>("boom");
    auto error = error_of<TaskError>([&] { rt.get(failed); });
    CHECK(error.message == "boom");
    CHECK(error.remote_type == "std::runtime_error");
    CHECK(contains(error.where, "fail"));
    CHECK(contains(error.where, "attempt 1"));
    CHECK(failed.failed());
    error = error_of<TaskError>([&] { rt.get(rt.remote<throw_int>(1)); });
    CHECK(error.remote_type == "int");
    CHECK_FALSE(error.message.empty());
    error = error_of<TaskError>([&] { rt.get(rt.remote<fail_nested>("inner")); });
    CHECK(error.remote_type == "std::logic_error");
    CHECK(error.message == "outer");
    REQUIRE(error.cause);
    CHECK(error.cause->remote_type == "std::runtime_error");
    CHECK(error.cause->message == "inner");
  }

  TEST_CASE("a task whose argument failed does not run and names the cause") {
    Machine machine;
    auto& rt = machine.rt;
    auto error = error_of<TaskError>([&] { rt.get(rt.remote<square>(rt.remote<square>(rt.remote<fail>("root")))); });
    REQUIRE(error.cause);
    REQUIRE(error.cause->cause);
    CHECK(error.cause->cause->message == "root");
    CHECK(contains(error.to_string(), "caused by"));
    error = error_of<TaskError>([&] { rt.get(rt.remote<parent_of_failure>()); });
    REQUIRE(error.cause);
    CHECK(contains(error.to_string(), "inner"));
    auto failed = rt.remote<fail>("early");
    CHECK(eventually([&] { return failed.failed(); }));
    CHECK_THROWS_AS(rt.get(rt.remote<add>(1, failed)), TaskError);
  }

  TEST_CASE("get with a timeout throws Timeout and the task goes on") {
    Machine machine;
    auto& rt = machine.rt;
    Gate gate;
    auto ref = rt.remote<pass>(gate.path(), 7);
    CHECK_THROWS_AS(rt.get(ref, 20ms), Timeout);
    CHECK_THROWS_AS(rt.get(ref, -1s), Timeout);
    CHECK_THROWS_AS(rt.get(std::vector{ref}, 1ms), Timeout);
    CHECK(rt.try_get(ref, SteadyClock::now() + 1ms).error().code == ErrorCode::kTimeout);
    gate.open();
    CHECK(rt.get(ref, std::chrono::hours::max()) == 7);
    CHECK(rt.try_get(ref).value() == 7);
    CHECK(rt.try_get(rt.remote<fail>("x")).error().message == "x");
    CHECK_THROWS_AS(rt.get(ObjectRef<int>{}), InvalidArgument);
  }

  TEST_CASE("get of many fails at the first failure without waiting for the slow") {
    Machine machine;
    auto& rt = machine.rt;
    Gate gate;
    std::vector refs{rt.remote<pass>(gate.path(), 1), rt.remote<fail>("fast")};
    CHECK(error_of<TaskError>([&] { rt.get(refs); }).message == "fast");
    CHECK_FALSE(refs[0].ready());
  }

  TEST_CASE("wait splits refs, and refuses what can never come true") {
    Machine machine;
    auto& rt = machine.rt;
    Gate gate;
    std::vector refs{rt.remote<pass>(gate.path(), 1), rt.remote<square>(2), rt.remote<fail>("x")};
    auto two = rt.wait(refs, {.count = 2});
    REQUIRE(two.ready.size() == 2);
    CHECK(two.ready[0] == refs[1]);
    CHECK(two.ready[1] == refs[2]);
    CHECK(two.pending == std::vector{refs[0]});
    auto late = rt.wait(refs, {.count = 3, .timeout = 10ms});
    CHECK(late.ready.size() == 2);
    CHECK(rt.wait(refs, {.count = 0}).pending.size() == 1);
    CHECK_THROWS_AS(rt.wait(std::vector{refs[0], refs[0]}), InvalidArgument);
    CHECK_THROWS_AS(rt.wait(refs, {.count = 4}), InvalidArgument);
    CHECK_THROWS_AS(rt.wait(std::vector{ObjectRef<int>{}}), InvalidArgument);
    gate.open();
    CHECK(rt.wait(refs, {.count = 3}).ready == refs);
  }

  TEST_CASE("fault 33: nested tasks end on one CPU, without a thread for each") {
    Machine machine(small_machine(1));
    auto& rt = machine.rt;
    CHECK(rt.get(rt.remote<fib>(12)) == 144);
    CHECK(rt.get(rt.remote<wait_of_children>(50)) == 40425);
    std::vector<ObjectRef<int>> parents;
    for (int i = 0; i < 200; ++i) parents.push_back(rt.remote<parent_of_one>(i));
    int most = 0;
    for (int threads : rt.get(parents)) most = std::max(most, threads);
    CHECK(most < 100);
  }
}

}  // namespace manta_test
