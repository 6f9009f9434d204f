// Coroutine tasks and methods, and actors that end themselves.
#include "support.hpp"

namespace manta_test {
namespace {

Async<int> fib(Context& ctx, int n) {
  if (n < 2) co_return n;
  auto a = ctx.remote<fib>(n - 1);
  auto b = ctx.remote<fib>(n - 2);
  const int left = co_await a;
  co_return left + co_await b;
}

int fail_with(const std::string& text) { throw std::out_of_range(text); }

Async<std::string> catching(Context& ctx, const std::string& text) {
  auto broken = ctx.remote<fail_with>(text);
  std::string caught;
  try {
    co_await broken;
  } catch (const TaskError& e) {
    caught = e.info().remote_type + ": " + e.info().message;
  }
  co_return caught;
}
Async<void> letting_pass(Context& ctx, std::string text) {
  auto broken = ctx.remote<fail_with>(text);
  co_await broken;
}
Async<int> helper(Context& ctx, int n) {
  auto part = ctx.remote<fib>(n);
  co_return 100 * co_await part;
}
Async<int> nesting(Context& ctx, const std::vector<int>& ns) {
  int sum = 0;
  for (int n : ns) sum += co_await helper(ctx, n);
  co_return sum;
}

Async<std::pair<int, std::string>> in_braces(Context& ctx) {
  auto part = ctx.remote<fib>(6);
  const int value = co_await part;
  co_return {value, "eight"};
}
std::unique_ptr<int> boxed(int x) { return std::make_unique<int>(x); }
/// The value of a box that is made, and of one that is put, which is one object; of what has failed -1.
Async<int> sharing(Context& ctx) {
  auto made = ctx.task<boxed>({.isolation = own_process}).remote(30);
  auto put = ctx.put(std::make_unique<int>(4));
  auto broken = ctx.remote<fail_with>("gone");
  const std::shared_ptr<const std::unique_ptr<int>> box = co_await shared(made);
  const auto once = co_await shared(put);
  const auto again = co_await shared(put);
  int sum = **box + **once + (once == again ? 0 : 100);
  try {
    co_await shared(broken);
  } catch (const TaskError&) {
    sum -= 1;
  }
  co_return sum;
}

/// Says on a file when it goes.
struct Mark {
  std::string file, text;
  ~Mark() {
    if (!file.empty()) append(file, text + "\n");
  }
};

class Desk {
 public:
  Desk() = default;
  explicit Desk(std::string file) : mark_{std::move(file), "desk"} {}
  void start(Context& ctx, const std::string& gate) { shared_ = ctx.remote<pass>(gate, 7); }
  Async<int> wait(int i) {
    ++waiting_;
    auto shared = shared_;
    const int value = co_await shared;
    --waiting_;
    co_return value + i;
  }
  Async<int> wait_marked(std::string file) {
    const Mark frame{std::move(file), "frame"};
    auto shared = shared_;
    co_return co_await shared;
  }
  /// So many frames that each await the next, the last one the gate. The outermost and the innermost say when they go.
  Async<int> wait_below(std::string file, int depth) {
    const Mark outermost{file, "outermost"};
    co_return co_await down(std::move(file), depth);
  }
  Async<int> twice(Context& ctx, int n) {
    auto first = ctx.remote<fib>(n);
    const int a = co_await first;
    auto second = ctx.remote<fib>(n);
    co_return a + co_await second;
  }
  int waiting() const { return waiting_; }
  std::size_t threads() const { return count_entries("/proc/self/task"); }
  int leave(Context& ctx, const std::string& gate) {
    pass(gate, 0);
    ctx.exit_actor();
    return 3;
  }
  Async<int> leave_later(Context& ctx) {
    ctx.exit_actor();
    auto shared = shared_;
    co_return co_await shared;
  }
  int one() const { return 1; }

 private:
  Async<int> down(std::string file, int depth) {
    if (depth > 0) co_return co_await down(std::move(file), depth - 1);
    const Mark innermost{std::move(file), "innermost"};
    auto shared = shared_;
    co_return co_await shared;
  }
  Mark mark_{};  // goes last
  std::atomic<int> waiting_{0};
  ObjectRef<int> shared_{};
};

Async<int> await_what_was_moved(Context& ctx) {
  auto first = helper(ctx, 1);
  auto second = std::move(first);
  std::string said;
  try {
    co_await std::move(first);
  } catch (const InvalidArgument& e) {
    said = e.info().message;
  }
  const int value = co_await std::move(second);
  if (said.find("moved from") == std::string::npos) co_return -1;
  co_return value;
}
Async<int> return_what_was_moved(Context& ctx) {
  auto made = helper(ctx, 1);
  const auto kept = std::move(made);
  return made;
}

void leave_task(Context& ctx) { ctx.exit_actor(); }

constexpr Isolation kBoth[] = {Isolation::kShared, own_process};

}  // namespace

TEST_SUITE("runtime/api/async") {
  TEST_CASE("coroutine tasks that wait for one another need neither CPUs nor threads meanwhile") {
    Machine machine(small_machine(1));
    CHECK(machine.rt.get(machine.rt.remote<fib>(12), 60s) == 144);
    CHECK(count_entries("/proc/self/task") < 60);
  }

  TEST_CASE("an error is thrown at the co_await, and passes on with its cause when nobody catches it") {
    Machine machine;
    auto& rt = machine.rt;
    for (auto where : kBoth) {
      CHECK(rt.get(rt.task<catching>({.isolation = where}).remote("gone")) == "std::out_of_range: gone");
      auto error = error_of<TaskError>([&] { rt.get(rt.task<letting_pass>({.isolation = where}).remote("far")); });
      CHECK(contains(error.to_string(), "std::out_of_range"));
      CHECK(contains(error.to_string(), "letting_pass"));
    }
  }

  TEST_CASE("a coroutine shares what it awaits, also what cannot be copied, and returns what stands in braces") {
    Machine machine;
    auto& rt = machine.rt;
    for (auto where : kBoth) {
      CHECK(rt.get(rt.task<sharing>({.isolation = where}).remote(), 60s) == 33);
      CHECK(rt.get(rt.task<in_braces>({.isolation = where}).remote(), 60s) == std::pair(8, std::string("eight")));
    }
  }

  TEST_CASE("a coroutine awaits another one") {
    Machine machine;
    CHECK(machine.rt.get(machine.rt.remote<nesting>(std::vector{1, 5, 7})) == 100 * (1 + 5 + 13));
  }

  TEST_CASE("900 calls of one actor wait at once, without a thread each, and others run meanwhile") {
    for (auto where : kBoth) {
      Machine machine;
      auto& rt = machine.rt;
      Gate gate;
      auto desk = rt.actor<Desk>({.isolation = where}).spawn();
      rt.get(desk.call<&Desk::start>(gate.path()));
      std::vector<ObjectRef<int>> refs;
      for (int i = 0; i < 900; ++i) refs.push_back(desk.call<&Desk::wait>(i));
      CHECK(rt.get(desk.call<&Desk::one>(), 20s) == 1);
      CHECK(rt.get(desk.call<&Desk::waiting>()) == 900);
      CHECK(rt.get(desk.call<&Desk::threads>()) < 60);
      gate.open();
      const auto values = rt.get(refs, 30s);
      for (int i = 0; i < 900; ++i) REQUIRE(values[static_cast<std::size_t>(i)] == 7 + i);
      CHECK(rt.get(desk.call<&Desk::waiting>()) == 0);
    }
  }

  TEST_CASE("max_coroutines holds up the calls behind") {
    Machine machine;
    auto& rt = machine.rt;
    for (int threads : {1, 3}) {
      Gate gate;
      auto desk = rt.actor<Desk>({.max_concurrency = threads, .max_coroutines = 2}).spawn();
      rt.get(desk.call<&Desk::start>(gate.path()));
      std::vector<ObjectRef<int>> refs;
      for (int i = 0; i < 5; ++i) refs.push_back(desk.call<&Desk::wait>(i));
      auto behind = desk.call<&Desk::waiting>();
      CHECK_THROWS_AS(rt.get(behind, 50ms), Timeout);
      gate.open();
      rt.get(refs, 20s);
      CHECK(rt.get(behind, 20s) <= 1);
    }
  }

  TEST_CASE("an actor all of whose calls wait lends its CPU") {
    Machine machine(small_machine(1));
    auto& rt = machine.rt;
    for (int threads : {1, 4}) {
      auto desk = rt.actor<Desk>({.num_cpus = 1, .max_concurrency = threads}).spawn();
      std::vector<ObjectRef<int>> refs;
      for (int i = 0; i < 200; ++i) refs.push_back(desk.call<&Desk::twice>(i % 5));
      const int fibs[] = {0, 1, 1, 2, 3};
      const auto values = rt.get(refs, 60s);
      for (std::size_t i = 0; i < 200; ++i) REQUIRE(values[i] == 2 * fibs[i % 5]);
    }
  }

  TEST_CASE("kill destroys the frame of a call that waits, then the object") {
    Machine machine;
    auto& rt = machine.rt;
    for (int threads : {1, 2}) {
      Folder folder;
      Gate gate;
      const std::string file = folder / "log";
      auto desk = rt.actor<Desk>({.max_concurrency = threads}).spawn(file);
      rt.get(desk.call<&Desk::start>(gate.path()));
      auto waits = desk.call<&Desk::wait_marked>(file);
      rt.get(desk.call<&Desk::one>());
      desk.kill();
      CHECK_THROWS_AS(rt.get(waits, 60s), ActorDied);
      CHECK(eventually([&] { return content(file) == "frame\ndesk\n"; }));
    }
  }

  // Each frame owns the next one, so that they went on the stack of the first.
  TEST_CASE("kill destroys 200,000 frames that await one another, the innermost first") {
#ifdef MANTA_SANITIZED
    constexpr int kDepth = 2'000;
#else
    constexpr int kDepth = 200'000;
#endif
    Machine machine;
    auto& rt = machine.rt;
    for (int threads : {1, 2}) {
      Folder folder;
      Gate gate;
      const std::string file = folder / "log";
      auto bystander = rt.actor<Desk>().spawn();
      auto desk = rt.actor<Desk>({.max_concurrency = threads}).spawn(file);
      rt.get(desk.call<&Desk::start>(gate.path()));
      auto waits = desk.call<&Desk::wait_below>(file, kDepth);
      rt.get(desk.call<&Desk::one>());
      desk.kill();
      CHECK_THROWS_AS(rt.get(waits, 60s), ActorDied);
      CHECK(eventually([&] { return content(file) == "innermost\noutermost\ndesk\n"; }));
      CHECK(rt.get(bystander.call<&Desk::one>(), 20s) == 1);
    }
  }

  TEST_CASE("an Async that was moved from is refused") {
    Machine machine;
    auto& rt = machine.rt;
    for (auto where : kBoth) {
      CHECK(rt.get(rt.task<await_what_was_moved>({.isolation = where}).remote(), 20s) == 100);
      const auto error = error_of<Error>([&] { rt.get(rt.task<return_what_was_moved>({.isolation = where}).remote(), 20s); });
      CHECK(contains(error.to_string(), "moved from"));
    }
  }

  TEST_CASE("exit_actor: the call ends as usual, what is behind fails, the destructor runs, no restart") {
    for (auto where : kBoth)
      for (int threads : {1, 2}) {
        Machine machine;
        auto& rt = machine.rt;
        Folder folder;
        Gate gate;
        const std::string file = folder / "log";
        auto desk = rt.actor<Desk>({.name = "tired", .num_cpus = 1, .max_restarts = 5, .max_concurrency = threads, .isolation = where})
                        .spawn(file);
        rt.get(desk.call<&Desk::one>());
        auto last = desk.call<&Desk::leave>(gate.path());
        std::vector<ObjectRef<int>> behind;
        if (threads == 1)
          for (int i = 0; i < 3; ++i) behind.push_back(desk.call<&Desk::one>());
        gate.open();
        CHECK(rt.get(last, 20s) == 3);
        for (auto& ref : behind) CHECK_THROWS_AS(rt.get(ref, 20s), ActorDied);
        CHECK(eventually([&] { return content(file) == "desk\n"; }));
        auto error = error_of<ActorDied>([&] { rt.get(desk.call<&Desk::one>(), 20s); });
        CHECK(contains(error.to_string(), "exit_actor"));
        CHECK(contains(error.to_string(), "tired"));
        CHECK(eventually([&] { return rt.available_resources() == rt.total_resources(); }));
      }
  }

  TEST_CASE("exit_actor in a coroutine waits for its end; in a task it is refused") {
    Machine machine;
    auto& rt = machine.rt;
    Gate gate;
    auto desk = rt.actor<Desk>().spawn();
    rt.get(desk.call<&Desk::start>(gate.path()));
    auto last = desk.call<&Desk::leave_later>();
    CHECK(rt.get(desk.call<&Desk::one>(), 20s) == 1);
    gate.open();
    CHECK(rt.get(last, 20s) == 7);
    CHECK(eventually([&] { return !rt.try_get(desk.call<&Desk::one>()).ok(); }));
    CHECK(contains(error_of<TaskError>([&] { rt.get(rt.remote<leave_task>()); }).to_string(), "exit_actor"));
  }
}

}  // namespace manta_test
