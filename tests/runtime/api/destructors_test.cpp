// Values whose destructors use the runtime: they drop handles and refs, submit and cancel, wherever the runtime lets go of them. The
// story: some were destroyed under a lock of the runtime's that the same call needs.
#include <atomic>

#include "runtime/promise.hpp"
#include "support.hpp"

namespace manta_test {
namespace {

int same(int x) { return x; }
std::atomic<Client*> g_client{nullptr};
std::atomic<int> g_talked{0};

class Counter {
 public:
  int add() { return ++count_; }

 private:
  int count_ = 0;
};

/// Talks in the process that made it: a copy that came over the wire has nothing to say.
struct Talkative {
  ActorHandle<Counter> handle{};
  std::vector<ObjectRef<int>> refs{};
  bool talks = false;

  Talkative() = default;
  explicit Talkative(Client& client) : handle(client.actor<Counter>({.num_cpus = 0}).spawn()), refs{client.put(1)}, talks(true) {}
  Talkative(const Talkative&) = default;
  Talkative(Talkative&& other) noexcept : handle(std::move(other.handle)), refs(std::move(other.refs)), talks(std::exchange(other.talks, false)) {}
  Talkative& operator=(const Talkative&) = default;
  Talkative& operator=(Talkative&&) = default;
  ~Talkative() {
    if (auto* client = talks ? g_client.load() : nullptr) try {
        const auto child = client->remote<same>(1);
        static_cast<void>(handle.call<&Counter::add>());
        client->cancel(child);
        ++g_talked;
      } catch (const RuntimeStopped&) {
      }
  }
  template <class Archive>
  void serialize(Archive& archive) {
    archive(handle, refs);
  }
};

/// Waits in the process that made it.
std::atomic<int> g_waited{0};
struct Waiting {
  bool waits = false;
  Waiting() = default;
  explicit Waiting(bool waits) : waits(waits) {}
  Waiting(Waiting&& other) noexcept : waits(std::exchange(other.waits, false)) {}
  Waiting& operator=(Waiting&& other) noexcept { return waits = std::exchange(other.waits, false), *this; }
  ~Waiting() {
    if (auto* client = waits ? g_client.load() : nullptr) try {
        g_waited += client->get(client->remote<same>(1), 60s);
      } catch (const Error&) {
      }
  }
  template <class Archive>
  void save(Archive& archive) const { archive(false); }
  template <class Archive>
  void load(Archive& archive) { archive(waits); }
};
int look_at(const Waiting&) { return 1; }
Waiting give_waiting() { return Waiting(true); }

int take(const Talkative&, int x) { return x; }
Talkative give(Context& ctx) {
  Talkative made;
  made.refs = {ctx.put(2)};
  return made;
}

struct Unmade {
  explicit Unmade(const std::string& gate) { throw std::runtime_error("no desk " + std::to_string(pass(gate, 1))); }
  int take(const Waiting&) { return 1; }
};

class Desk {
 public:
  int look(const Waiting&) { return 1; }
  int wait(const std::string& gate) { return pass(gate, 1); }
  int take(const Talkative&) { return 1; }
  Async<int> hold(std::vector<ObjectRef<int>> never, Talkative) {
    auto ref = never.front();
    co_return co_await ref;
  }
};

/// Lets destructors talk while it lives.
struct Talking {
  explicit Talking(Client& client) { g_client = &client; }
  ~Talking() { g_client = nullptr; }
};

}  // namespace

TEST_SUITE("runtime/api") {
  TEST_CASE("destructors of arguments and results may submit, call, cancel and drop handles") {
    Machine machine(small_machine(2));
    auto& rt = machine.rt;
    const Talking talking(rt);
    const int before = g_talked;
    for (int round = 0; round < 5; ++round) {
      Gate gate;
      std::vector<ObjectRef<int>> blockers, tasks;
      for (int i = 0; i < 20; ++i) rt.get(rt.remote<same>(i));  // they are known to be short, so that they travel in batches
      for (int i = 0; i < 2; ++i) blockers.push_back(rt.remote<pass>(gate.path(), i));
      for (int i = 0; i < 40; ++i) tasks.push_back(rt.remote<take>(Talkative(rt), i));
      for (std::size_t i = 0; i < tasks.size(); i += 2) rt.cancel(tasks[i]);
      gate.open();
      for (std::size_t i = 1; i < tasks.size(); i += 2) CHECK(rt.get(tasks[i]) == static_cast<int>(i));
      for (std::size_t i = 0; i < tasks.size(); i += 2)
        if (const auto result = rt.try_get(tasks[i]); !result.ok()) CHECK(result.error().code == ErrorCode::kCancelled);  // or it ran first
      for (int i = 0; i < 5; ++i) CHECK(rt.get(rt.get(rt.remote<give>()).refs.front()) == 2);
    }
    CHECK(eventually([&] { return g_talked >= before + 200; }));
  }

  // They ran in the owner's actor, which alone could bring what they waited for: nothing went on, and the runtime could not end.
  TEST_CASE("destructors of arguments and results may wait for the runtime, and what is large or slow in them holds up no other task") {
    Machine machine(small_machine(2));
    auto& rt = machine.rt;
    const Talking talking(rt);
    const int before = g_waited;
    CHECK(rt.get(rt.remote<look_at>(Waiting(true)), 60s) == 1);
    Gate gate;
    std::vector<ObjectRef<int>> blockers;
    for (int i = 0; i < 2; ++i) blockers.push_back(rt.remote<pass>(gate.path(), i));
    auto queued = rt.remote<look_at>(Waiting(true));
    rt.cancel(queued);
    CHECK_THROWS_AS(rt.get(queued, 60s), Cancelled);
    gate.open();
    CHECK(rt.get(blockers, 60s).size() == 2);
    CHECK(rt.get(rt.remote<same>(7), 60s) == 7);
    CHECK(eventually([&] { return g_waited >= before + 2; }));
    if (in_processes()) return;  // there the results are bytes
    for (int i = 0; i < 50; ++i) {
      auto result = rt.remote<give_waiting>();
      rt.wait(std::vector{result});  // the runtime has refs of its own still
    }
    CHECK(rt.get(rt.remote<same>(7), 60s) == 7);
    CHECK(eventually([&] { return g_waited >= before + 52; }));
  }

  TEST_CASE("destructors of what an actor that is killed has queued, or holds in coroutines, may do so too") {
    Machine machine(small_machine(2));
    auto& rt = machine.rt;
    const Talking talking(rt);
    Promise<int> never;
    for (const int several : {1, 2}) {
      Gate gate;
      auto desk = rt.actor<Desk>({.num_cpus = 0, .max_concurrency = several}).spawn();
      std::vector<ObjectRef<int>> calls;
      for (int i = 0; i < 5; ++i) calls.push_back(desk.call<&Desk::hold>(std::vector{never.ref()}, Talkative(rt)));
      for (int i = 0; i < 2; ++i) calls.push_back(desk.call<&Desk::wait>(gate.path()));
      for (int i = 0; i < 20; ++i) calls.push_back(desk.call<&Desk::take>(Talkative(rt)));
      rt.cancel(calls.back());
      desk.kill();
      CHECK_THROWS_AS(rt.get(calls.front(), 60s), ActorDied);  // by now the kill has come to it: the gate lets no call run on
      gate.open();
      for (const auto& call : calls) CHECK_FALSE(rt.try_get(call).ok());
    }
  }

  TEST_CASE("a runtime that ends with such values in its queues ends") {
    auto rt = std::make_unique<Runtime>(Runtime::start(small_machine(1)));
    const Talking talking(*rt);
    std::vector<ObjectRef<int>> tasks;
    Promise<int> never;
    for (int i = 0; i < 200; ++i) tasks.push_back(rt->remote<take>(Talkative(*rt), never.ref()));
    for (int i = 0; i < 200; ++i) tasks.push_back(rt->remote<take>(Talkative(*rt), i));
    rt->shutdown();
    for (const auto& task : tasks) CHECK(task.ready());
  }

  // They went with the call, in the owner's actor: nothing went on, and call() itself did not return.
  TEST_CASE("destructors of arguments of calls that fail with their actor may wait for the runtime") {
    Machine machine(small_machine(2));
    auto& rt = machine.rt;
    const Talking talking(rt);
    const int before = g_waited;
    {
      Gate gate;
      auto unmade = rt.actor<Unmade>().spawn(gate.path());
      const auto call = unmade.call<&Unmade::take>(Waiting(true));
      gate.open();
      CHECK_THROWS_AS(rt.get(call, 60s), ActorCreationFailed);
      CHECK(rt.get(rt.remote<same>(7), 30s) == 7);
    }
    {
      auto dead = rt.actor<Desk>().spawn();
      CHECK(rt.get(dead.call<&Desk::look>(Waiting()), 60s) == 1);
      dead.kill();
      CHECK(eventually([&] { return !rt.try_get(dead.call<&Desk::look>(Waiting()), 60s).ok(); }));
      CHECK_THROWS_AS(rt.get(dead.call<&Desk::look>(Waiting(true)), 60s), ActorDied);
      CHECK(rt.get(rt.remote<same>(8), 30s) == 8);
    }
    {
      auto pending = rt.actor<Desk>({.resources = {{"desks", 1}}, .wait_if_infeasible = true}).spawn();
      const auto call = pending.call<&Desk::look>(Waiting(true));
      pending.kill();
      CHECK_THROWS_AS(rt.get(call, 60s), ActorDied);
      CHECK(rt.get(rt.remote<same>(9), 30s) == 9);
    }
    CHECK(eventually([&] { return g_waited >= before + 3; }));
  }
}

}  // namespace manta_test
