// Several Runtimes in one program, one after the other or at once: what a ref and a handle of one are to another.
#include <future>

#include "support.hpp"

namespace manta_test {

namespace {

constexpr std::size_t kLarge = 1u << 20;

Buffer filled(std::size_t bytes, int value) { return Buffer::copy(std::vector<std::byte>(bytes, std::byte(value))); }
Buffer make_large(int value) { return filled(kLarge, value); }
/// -1 unless all bytes are the same.
int value_of(const Buffer& buffer) {
  const auto bytes = buffer.bytes();
  if (bytes.size() != kLarge || std::any_of(bytes.begin(), bytes.end(), [&](std::byte each) { return each != bytes[0]; })) return -1;
  return static_cast<int>(bytes[0]);
}
int value_inside(Context& ctx, const std::vector<ObjectRef<Buffer>>& refs) { return value_of(*ctx.get_shared(refs.at(0))); }
int twice(int x) { return 2 * x; }
Buffer large_when_open(const std::string& gate, int value) { return make_large(pass(gate, value)); }

struct Counter {
  int count = 0;
  int add() { return ++count; }
  int add_when(int by) { return count += by; }
};
int add_there(Context& ctx, ActorHandle<Counter> counter) { return ctx.get(counter.call<&Counter::add>()); }
int add_inside(Context& ctx, const std::vector<ActorHandle<Counter>>& counters) { return add_there(ctx, counters.at(0)); }

/// Its objects belong to its process.
struct Maker {
  ObjectRef<Buffer> make(Context& ctx, int value) { return ctx.put(make_large(value)); }
};

template <auto F, class... Args>
auto apart(Runtime& rt, Args&&... args) {
  return rt.template task<F>({.isolation = own_process}).remote(std::forward<Args>(args)...);
}

/// Declare it before refs.
struct TwoRuntimes {
  const Clean clean{};
  Runtime a = Runtime::start(small_machine()), b = Runtime::start(small_machine());
  ~TwoRuntimes() {
    CHECK(eventually([this] { return a.stats().idle() && b.stats().idle(); }));
  }
};

/// Objects of this Runtime: those that another one's would have been taken for.
std::vector<ObjectRef<Buffer>> make_some(Runtime& rt, int first) {
  std::vector<ObjectRef<Buffer>> made;
  for (int i = 0; i < 4; ++i) {
    made.push_back(apart<make_large>(rt, first + i));
    made.push_back(rt.put(make_large(first + 10 + i)));
    rt.wait(made, {.count = made.size()});
  }
  return made;
}

void works(Runtime& rt) {
  CHECK(rt.get(rt.remote<twice>(4)) == 8);
  CHECK(rt.get(apart<twice>(rt, 5)) == 10);
  auto counter = rt.actor<Counter>().spawn();
  CHECK(rt.get(counter.call<&Counter::add>()) == 1);
}
std::unique_ptr<Runtime> started() { return std::make_unique<Runtime>(Runtime::start(small_machine())); }

/// Starts a Runtime on a thread that lives as long as this.
class StartedElsewhere {
 public:
  StartedElsewhere()
      : thread_([this] {
          made_.set_value(started());
          over_.get_future().wait();
        }),
        rt(made_.get_future().get()) {}
  ~StartedElsewhere() {
    over_.set_value();
    thread_.join();
  }

 private:
  std::promise<std::unique_ptr<Runtime>> made_;
  std::promise<void> over_;
  std::thread thread_;

 public:
  std::unique_ptr<Runtime> rt;
};

std::unique_ptr<Runtime> g_started_inside;
void start_inside() { g_started_inside = started(); }
struct Landlord {
  Runtime inner = Runtime::start(small_machine());
  int ask(int x) { return inner.get(inner.remote<twice>(x)); }
};

}  // namespace

// The story: the end waited for ever for what CAF had left on the thread of the start.
TEST_SUITE("runtime/api/runtimes of several threads") {
  TEST_CASE("a Runtime ends on another thread than the one that started it") {
    const Clean clean;
    auto destroyed = started(), shut_down = started();
    works(*destroyed);
    works(*shut_down);
    std::thread([&] { destroyed.reset(); }).join();
    std::thread([&] { shut_down->shutdown(); }).join();
    CHECK_THROWS_AS(shut_down->remote<twice>(1), RuntimeStopped);
  }

  TEST_CASE("a Runtime that was started on a thread that lives on ends on this one") {
    const Clean clean;
    StartedElsewhere other;
    works(*other.rt);
    other.rt.reset();
    StartedElsewhere again;
    works(*again.rt);
    again.rt->shutdown();
  }

  TEST_CASE("two Runtimes that were started on two threads end on one, in either order") {
    for (const bool own_first : {true, false}) {
      const Clean clean;
      auto own = started();
      StartedElsewhere other;
      works(*own);
      works(*other.rt);
      std::thread([&] {
        (own_first ? own : other.rt).reset();
        works(*(own_first ? other.rt : own));
        (own_first ? other.rt : own).reset();
      }).join();
    }
  }

  TEST_CASE("a Runtime that a task has started ends outside, and an actor may have one as a member") {
    if (in_processes()) return;
    Machine machine;
    auto& rt = machine.rt;
    rt.get(rt.remote<start_inside>());
    works(*g_started_inside);
    g_started_inside.reset();
    auto landlord = rt.actor<Landlord>().spawn();
    CHECK(rt.get(landlord.call<&Landlord::ask>(21)) == 42);
  }
}

TEST_SUITE("runtime/api/runtimes") {
  TEST_CASE("a ref of a Runtime that has ended has its value in the next one, as an argument and inside a value too") {
    // The story: worker processes got the number that the object had in the old store, and read the new one's object of that number.
    ObjectRef<Buffer> made, put;
    ObjectRef<int> small;
    {
      auto before = Runtime::start(small_machine());
      made = apart<make_large>(before, 33);
      put = before.put(make_large(34));
      small = apart<twice>(before, 21);
      before.wait(std::vector{made, put}, {.count = 2});
      before.get(small);
    }
    Machine machine;
    auto& rt = machine.rt;
    const auto others = make_some(rt, 50);
    CHECK(value_of(rt.get(made)) == 33);
    CHECK(value_of(rt.get(put)) == 34);
    CHECK(rt.get(apart<value_of>(rt, made)) == 33);
    CHECK(rt.get(rt.remote<value_of>(made)) == 33);
    CHECK(rt.get(apart<value_of>(rt, put)) == 34);
    CHECK(rt.get(apart<value_inside>(rt, std::vector{made})) == 33);
    CHECK(rt.get(apart<value_inside>(rt, std::vector{put})) == 34);
    CHECK(rt.get(apart<twice>(rt, small)) == 84);
    CHECK(value_of(rt.get(made)) == 33);
    CHECK(rt.explain(made) == "ready");
    made = {}, put = {}, small = {};
  }

  TEST_CASE("of two Runtimes at once each reads the other's objects, and keeps its own copy of them") {
    TwoRuntimes both;
    auto &a = both.a, &b = both.b;
    Gate gate;
    auto of_a = make_some(a, 10), of_b = make_some(b, 40);
    for (std::size_t i = 0; i < of_a.size(); ++i) {
      CAPTURE(i);
      const auto expected_a = value_of(a.get(of_a[i])), expected_b = value_of(b.get(of_b[i]));
      REQUIRE(expected_a != expected_b);
      CHECK(b.get(apart<value_of>(b, of_a[i])) == expected_a);
      CHECK(a.get(apart<value_inside>(a, std::vector{of_b[i]})) == expected_b);
      CHECK(a.get(apart<value_of>(a, of_a[i])) == expected_a);
      CHECK(b.get(apart<value_inside>(b, std::vector{of_a[i]})) == expected_a);
      CHECK(value_of(b.get(of_a[i])) == expected_a);
    }
    auto pending = apart<large_when_open>(a, gate.path(), 77);
    auto waits = apart<value_of>(b, pending);
    auto looks = apart<value_inside>(b, std::vector{pending});
    gate.open();
    CHECK(b.get(waits) == 77);
    CHECK(b.get(looks) == 77);
  }

  TEST_CASE("a copy that another Runtime made of an object is not made twice, and goes with the object") {
    TwoRuntimes both;
    auto &a = both.a, &b = both.b;
    auto made = apart<make_large>(a, 5);
    a.wait(std::vector{made});
    CHECK(b.stats().stored_objects == 0);
    for (int i = 0; i < 3; ++i) CHECK(b.get(apart<value_of>(b, made)) == 5);
    CHECK(b.stats().stored_objects == 1);
    CHECK(a.stats().stored_objects == 1);
    made = {};
    CHECK(eventually([&] { return a.stats().stored_objects + b.stats().stored_objects == 0; }));
  }

  TEST_CASE("a ref that its Runtime has left without a value says RuntimeStopped in the next one") {
    Gate gate;
    ObjectRef<Buffer> left;
    {
      auto options = small_machine();
      options.shutdown_timeout = 1ms;
      auto before = Runtime::start(options);
      left = apart<large_when_open>(before, gate.path(), 1);
    }
    Machine machine;
    auto& rt = machine.rt;
    CHECK_THROWS_AS(rt.get(left), RuntimeStopped);
    CHECK_THROWS_AS(rt.get(apart<value_of>(rt, left)), RuntimeStopped);
    CHECK(error_of<TaskError>([&] { rt.get(apart<value_inside>(rt, std::vector{left})); }).cause->code == ErrorCode::kRuntimeStopped);
  }

  TEST_CASE("a large value that belonged to a worker process ends with its Runtime, and says so") {
    // The story: the next Runtime said NotFound, or gave an object of its own.
    ObjectRef<Buffer> left;
    {
      auto before = Runtime::start(small_machine());
      auto maker = before.actor<Maker>({.isolation = own_process}).spawn();
      left = before.get(maker.call<&Maker::make>(9));
      CHECK(value_of(before.get(left)) == 9);
    }
    Machine machine;
    auto& rt = machine.rt;
    const auto others = make_some(rt, 50);
    CHECK_THROWS_AS(rt.get(left), RuntimeStopped);
    CHECK_THROWS_AS(rt.get(apart<value_of>(rt, left)), RuntimeStopped);
    CHECK(error_of<TaskError>([&] { rt.get(apart<value_inside>(rt, std::vector{left})); }).cause->code == ErrorCode::kRuntimeStopped);
    left = {};
  }

  TEST_CASE("a handle to an actor works in the program, and other Runtimes' worker processes are refused it") {
    // The story: it named the actor of that number of the Runtime that it was passed to.
    ActorHandle<Counter> counter;
    Machine machine;
    auto& rt = machine.rt;
    auto own = rt.actor<Counter>().spawn();
    rt.get(own.call<&Counter::add>());
    {
      auto other = Runtime::start(small_machine());
      counter = other.actor<Counter>().spawn();
      CHECK(rt.get(counter.call<&Counter::add>()) == 1);
      CHECK(contains(error_of<InvalidArgument>([&] { apart<add_there>(rt, counter); }).message, "another Runtime"));
      CHECK_THROWS_AS(apart<add_inside>(rt, std::vector{counter}), InvalidArgument);
      CHECK_THROWS_AS(rt.get(apart<add_there>(rt, other.put(counter))), InvalidArgument);
      CHECK(other.get(apart<add_there>(other, counter)) == 2);
      if (!in_processes()) CHECK(rt.get(rt.remote<add_there>(counter)) == 3);
    }
    CHECK_THROWS_AS(counter.call<&Counter::add>(), RuntimeStopped);
    CHECK_THROWS_AS(apart<add_there>(rt, counter), RuntimeStopped);
    CHECK(rt.get(apart<add_there>(rt, own)) == 2);
  }

  TEST_CASE("cancel of another Runtime's ref cancels nothing of this one's") {
    // The story: tasks are cancelled by number, and both Runtimes counted from 1.
    TwoRuntimes both;
    auto &a = both.a, &b = both.b;
    Gate gate;
    auto of_a = a.task<pass>({.num_cpus = 0}).remote(gate.path(), 1);
    auto of_b = b.task<pass>({.num_cpus = 0}).remote(gate.path(), 2);
    a.cancel(of_b);
    b.cancel(of_a);
    gate.open();
    CHECK(a.get(of_a) == 1);
    CHECK(b.get(of_b) == 2);
  }

  TEST_CASE("explain of another Runtime's ref says whose it is, also at the end of a chain") {
    // The story: it said of a task that runs there that it had ended.
    TwoRuntimes both;
    auto &a = both.a, &b = both.b;
    Gate gate;
    auto of_a = a.remote<pass>(gate.path(), 1);
    auto counter = a.actor<Counter>().spawn();
    auto call = counter.call<&Counter::add_when>(of_a);
    auto of_b = b.task<twice>({.name = "of b"}).remote(of_a);
    CHECK(eventually([&] { return contains(a.explain(of_a), "runs since "); }));
    for (const auto& ref : {of_a, call}) {
      const auto said = b.explain(ref);
      CHECK_MESSAGE(contains(said, "belongs to another Runtime of this program"), said);
    }
    const auto said = b.explain(of_b);
    CHECK_MESSAGE(contains(said, "task of b: waits for its argument 1: \n  not ready: it belongs to another Runtime"), said);
    gate.open();
    CHECK(b.get(of_b, 60s) == 2);
    CHECK(a.get(call, 60s) == 1);
    CHECK(b.explain(of_a) == "ready");
  }

  TEST_CASE("after shutdown what is ready can still be got and waited for, and what would make anything says RuntimeStopped") {
    auto rt = Runtime::start(small_machine());
    auto large = apart<make_large>(rt, 4);
    auto small = apart<twice>(rt, 4);
    rt.wait(std::vector{large});
    rt.get(small);
    rt.shutdown();
    rt.shutdown();
    CHECK(value_of(rt.get(large)) == 4);
    CHECK(rt.try_get(small).value() == 8);
    CHECK(rt.wait(std::vector{large}).ready.size() == 1);
    int seen = 0;
    for (const auto& ref : rt.as_completed(std::vector{large})) seen += value_of(rt.get(ref));
    CHECK(seen == 4);
    CHECK_THROWS_AS(rt.remote<twice>(1), RuntimeStopped);
    CHECK_THROWS_AS(rt.actor<Counter>().spawn(), RuntimeStopped);
    CHECK_THROWS_AS(rt.put(1), RuntimeStopped);
    CHECK_THROWS_AS(rt.stats(), RuntimeStopped);
    CHECK_THROWS_AS(rt.list_durable(), RuntimeStopped);
    CHECK_THROWS_AS(rt.find_durable<int>("x"), RuntimeStopped);
  }
}

}  // namespace manta_test
