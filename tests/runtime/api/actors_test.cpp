#include "support.hpp"

namespace manta_test {
namespace {

/// Says on a file when it ends.
class Recorder {
 public:
  Recorder() = default;
  explicit Recorder(std::string file) : file_(std::move(file)) {}
  ~Recorder() {
    if (!file_.empty()) append(file_, "gone\n");
  }
  int add(int x) {
    seen_.push_back(x);
    return x;
  }
  std::vector<int> seen() const { return seen_; }
  int boom(const std::string& text) { throw std::logic_error(text); }
  int wait_at(const std::string& gate) { return pass(gate, 1); }
  int nested(Context& ctx, int n);

 private:
  std::string file_;
  std::vector<int> seen_;
};
int twice(int x) { return 2 * x; }
int Recorder::nested(Context& ctx, int n) { return ctx.get(ctx.remote<twice>(n)); }

int fail(int) { throw std::runtime_error("no argument"); }

struct Unborn {
  Unborn() = default;
  explicit Unborn(int code) { throw std::out_of_range("code " + std::to_string(code)); }
  int one() { return 1; }
};

}  // namespace

TEST_SUITE("runtime/api/actors") {
  TEST_CASE("calls run in the order in which they were made, also when an argument is late") {
    Machine machine;
    auto& rt = machine.rt;
    Gate gate;
    auto recorder = rt.actor<Recorder>().spawn();
    recorder.call<&Recorder::add>(1);
    auto late = recorder.call<&Recorder::add>(rt.remote<pass>(gate.path(), 2));
    for (int i = 3; i <= 100; ++i) recorder.call<&Recorder::add>(i);
    auto seen = recorder.call<&Recorder::seen>();
    CHECK_FALSE(late.ready());
    gate.open();
    std::vector<int> expected;
    for (int i = 1; i <= 100; ++i) expected.push_back(i);
    CHECK(rt.get(seen) == expected);
  }

  TEST_CASE("a call whose argument failed is left out and the others go on") {
    Machine machine;
    auto& rt = machine.rt;
    auto recorder = rt.actor<Recorder>().spawn();
    recorder.call<&Recorder::add>(1);
    auto broken = recorder.call<&Recorder::add>(rt.remote<fail>(0));
    recorder.call<&Recorder::add>(3);
    CHECK(rt.get(recorder.call<&Recorder::seen>()) == std::vector{1, 3});
    CHECK(contains(error_of<TaskError>([&] { rt.get(broken); }).to_string(), "no argument"));
    CHECK(error_of<TaskError>([&] { rt.get(recorder.call<&Recorder::boom>("oops")); }).remote_type == "std::logic_error");
    CHECK(rt.get(recorder.call<&Recorder::nested>(21)) == 42);
  }

  TEST_CASE("two callers: each one's order is kept") {
    Machine machine;
    auto& rt = machine.rt;
    auto recorder = rt.actor<Recorder>().spawn();
    auto call_all = [recorder](int base) {
      for (int i = 0; i < 500; ++i) recorder.call<&Recorder::add>(base + i);
    };
    std::thread other(call_all, 1000);
    call_all(0);
    other.join();
    const auto seen = rt.get(recorder.call<&Recorder::seen>());
    CHECK(seen.size() == 1000);
    int next[2]{0, 1000};
    for (int x : seen) REQUIRE(x == next[x >= 1000]++);
  }

  TEST_CASE("the destructor runs when the last handle goes, after the calls that were made") {
    for (bool own : {false, true}) {
      Machine machine;
      auto& rt = machine.rt;
      Folder folder;
      const std::string file = folder / "log";
      Gate gate;
      auto recorder = rt.actor<Recorder>({.isolation = own ? own_process : Isolation::kShared}).spawn(file);
      auto held = recorder.call<&Recorder::wait_at>(gate.path());
      auto last = recorder.call<&Recorder::add>(5);
      auto copy = recorder;
      recorder = {};
      copy = {};
      CHECK(content(file).empty());
      gate.open();
      CHECK(rt.get(last) == 5);
      CHECK(eventually([&] { return content(file) == "gone\n"; }));
    }
  }

  TEST_CASE("the destructor of an idle actor in a process of its own runs at kill and at shutdown") {
    Folder folder;
    const std::string killed = folder / "killed", shut = folder / "shut";
    auto rt = Runtime::start(small_machine());
    auto first = rt.actor<Recorder>({.num_cpus = 1, .isolation = own_process}).spawn(killed);
    auto second = rt.actor<Recorder>({.num_cpus = 1, .isolation = own_process}).spawn(shut);
    CHECK(rt.get(first.call<&Recorder::add>(1)) + rt.get(second.call<&Recorder::add>(1)) == 2);
    first.kill();
    CHECK(eventually([&] { return content(killed) == "gone\n"; }));
    CHECK(eventually([&] { return rt.available_resources()["CPU"] == Amount(3); }));
    CHECK(content(shut).empty());
    rt.shutdown();
    CHECK(content(shut) == "gone\n");
  }

  TEST_CASE("the destructor runs at kill, and what was called fails with ActorDied") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    const std::string file = folder / "log";
    Gate gate;
    auto recorder = rt.actor<Recorder>({.name = "victim"}).spawn(file);
    CHECK(rt.get(recorder.call<&Recorder::add>(0)) == 0);
    auto running = recorder.call<&Recorder::wait_at>(gate.path());
    auto queued = recorder.call<&Recorder::add>(1);
    recorder.kill();
    auto error = error_of<ActorDied>([&] { rt.get(queued, 60s); });
    CHECK(contains(error.to_string(), "victim"));
    CHECK_THROWS_AS(rt.get(running, 60s), ActorDied);
    CHECK_THROWS_AS(rt.get(recorder.call<&Recorder::add>(2), 60s), ActorDied);
    recorder.kill();
    gate.open();
    CHECK(eventually([&] { return content(file) == "gone\n"; }));
  }

  TEST_CASE("the destructor runs at shutdown") {
    Folder folder;
    const std::string file = folder / "log";
    ActorHandle<Recorder> recorder;
    {
      auto rt = Runtime::start(small_machine());
      recorder = rt.actor<Recorder>().spawn(file);
      CHECK(rt.get(recorder.call<&Recorder::add>(1)) == 1);
    }
    CHECK(content(file) == "gone\n");
    CHECK_THROWS_AS(recorder.call<&Recorder::add>(2), RuntimeStopped);
    recorder.kill();
  }

  TEST_CASE("a constructor that throws fails every call with the reason") {
    Machine machine;
    auto& rt = machine.rt;
    auto unborn = rt.actor<Unborn>({.num_cpus = 1}).spawn(42);
    auto early = unborn.call<&Unborn::one>();
    auto error = error_of<ActorCreationFailed>([&] { rt.get(early); });
    CHECK(contains(error.to_string(), "code 42"));
    CHECK_THROWS_AS(rt.get(unborn.call<&Unborn::one>()), ActorCreationFailed);
    auto orphan = rt.actor<Recorder>().spawn(rt.remote<[](int) -> std::string { throw std::runtime_error("no name"); }>(1));
    error = error_of<ActorCreationFailed>([&] { rt.get(orphan.call<&Recorder::add>(1)); });
    CHECK(contains(error.to_string(), "no name"));
    CHECK_THROWS_AS(ActorHandle<Recorder>{}.call<&Recorder::add>(1), InvalidArgument);
  }

  TEST_CASE("an actor holds its resources for life and waits for them") {
    Machine machine(small_machine(1, 1));
    auto& rt = machine.rt;
    auto first = rt.actor<Recorder>({.num_cpus = 1, .num_gpus = 1}).spawn();
    CHECK(rt.get(first.call<&Recorder::add>(1)) == 1);
    CHECK(rt.available_resources()["CPU"] == Amount(0));
    auto second = rt.actor<Recorder>({.num_cpus = 1, .num_gpus = 1}).spawn();
    auto waits = second.call<&Recorder::add>(2);
    CHECK_THROWS_AS(rt.get(waits, 20ms), Timeout);
    first = {};
    CHECK(rt.get(waits, 60s) == 2);
    auto never = rt.actor<Recorder>({.num_cpus = 1, .num_gpus = 1}).spawn();
    auto lost = never.call<&Recorder::add>(3);
    never.kill();
    CHECK_THROWS_AS(rt.get(lost, 60s), ActorDied);
    CHECK_THROWS_AS(rt.actor<Recorder>({.num_gpus = 2}).spawn(), InfeasibleResources);
  }

  TEST_CASE("actors come and go by the hundred") {
    // The story: each actor that ended left a note for CAF's clock, which nobody read; after 64 of them all threads hung.
    Machine machine;
    for (int i = 0; i < 300; ++i) {
      auto recorder = machine.rt.actor<Recorder>().spawn();
      REQUIRE(machine.rt.get(recorder.call<&Recorder::add>(i), 20s) == i);
    }
  }

  TEST_CASE("an actor that waits for a task lends it its CPU") {
    Machine machine(small_machine(1));
    auto recorder = machine.rt.actor<Recorder>({.num_cpus = 1}).spawn();
    CHECK(machine.rt.get(recorder.call<&Recorder::nested>(4), 60s) == 8);
  }
}

}  // namespace manta_test
