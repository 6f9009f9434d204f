// ActorPool, Queue and Promise: what is built on actors by the public API.
#include <algorithm>
#include <atomic>

#include "runtime/actor_pool.hpp"
#include "runtime/queue.hpp"
#include "support.hpp"

namespace manta_test {
namespace {

/// Cannot be copied once it is armed.
struct Mine {
  int x = 0;
  bool armed = false;
  Mine() = default;
  Mine(int value, bool live) : x(value), armed(live) {}
  Mine(Mine&&) = default;
  Mine& operator=(Mine&&) = default;
  Mine& operator=(const Mine&) = default;
  Mine(const Mine& other) : x(other.x), armed(other.armed) {
    if (armed) throw std::runtime_error("no second mine");
  }
  template <class Archive>
  void serialize(Archive& archive) {
    archive(x, armed);
  }
};

int one() { return 1; }

class Solver {
 public:
  int step_on(const Mine& mine) const { return mine.x; }
  Solver() = default;
  explicit Solver(int number) : number_(number) {}
  int solve(int x) const {
    if (x < 0) throw std::domain_error("negative");
    return 1000 * number_ + x;
  }
  int wait(const std::string& gate, int x) const { return pass(gate, 1000 * number_ + x); }
  int number_in(const std::string& text) const { return std::stoi(text); }
  /// Needs a CPU for a task of its own, once the gate is open.
  int nested(Context& ctx, const std::string& gate) const {
    pass(gate, 0);
    return ctx.get(ctx.remote<one>());
  }

 private:
  int number_ = 0;
};

std::vector<ActorHandle<Solver>> solvers(Runtime& rt, int count) {
  std::vector<ActorHandle<Solver>> made;
  for (int i = 0; i < count; ++i) made.push_back(rt.actor<Solver>().spawn(i));
  return made;
}

/// The first result is there last.
int use_pool(Context& ctx, const std::vector<ActorHandle<Solver>>& actors, const std::string& gate, const std::string& log) {
  ActorPool<Solver, int> pool(ctx, actors);
  pool.submit<&Solver::nested>(gate);
  pool.submit<&Solver::solve>(2);
  append(log, "waits;");
  const int first = pool.get_next();
  return first + pool.get_next() % 1000;
}

std::vector<int> numbers(int count) {
  std::vector<int> all;
  for (int i = 0; i < count; ++i) all.push_back(i);
  return all;
}

}  // namespace

TEST_SUITE("runtime/api/pool_and_queue") {
  TEST_CASE("a pool maps in order, or as they come, over all its actors") {
    Machine machine;
    ActorPool<Solver, int> pool(machine.rt, solvers(machine.rt, 3));
    auto results = pool.map<&Solver::solve>(numbers(60));
    REQUIRE(results.size() == 60);
    std::vector<bool> used(3);
    for (int i = 0; i < 60; ++i) {
      const int result = results[static_cast<std::size_t>(i)];
      CHECK(result % 1000 == i);
      used.at(static_cast<std::size_t>(result / 1000)) = true;
    }
    CHECK(std::count(used.begin(), used.end(), true) == 3);
    results = pool.map_unordered<&Solver::solve>(numbers(60));
    for (auto& result : results) result %= 1000;
    std::sort(results.begin(), results.end());
    CHECK(results == numbers(60));
    CHECK(pool.map<&Solver::solve>(std::vector<int>{}).empty());
  }

  TEST_CASE("what an argument throws as it is copied is the result of its own call, and the pool goes on") {
    Machine machine;
    Gate gate;
    ActorPool<Solver, int> pool(machine.rt, solvers(machine.rt, 1));
    pool.submit<&Solver::wait>(gate.path(), 1);
    pool.submit<&Solver::step_on>(Mine(2, true));
    pool.submit<&Solver::solve>(3);
    gate.open();
    CHECK(pool.get_next() == 1);
    CHECK(contains(error_of<TaskError>([&] { pool.get_next(); }).to_string(), "no second mine"));
    CHECK(pool.get_next() == 3);
  }

  TEST_CASE("results of submit come in order, or the first one that is there") {
    Machine machine;
    Gate gate;
    ActorPool<Solver, int> pool(machine.rt, solvers(machine.rt, 2));
    CHECK_THROWS_AS(pool.get_next(), NotFound);
    pool.submit<&Solver::wait>(gate.path(), 1);
    pool.submit<&Solver::solve>(2);
    pool.submit<&Solver::solve>(machine.rt.put(3));
    CHECK(pool.get_next_unordered() % 1000 == 2);
    CHECK(pool.get_next_unordered() % 1000 == 3);
    CHECK_THROWS_AS(pool.map<&Solver::solve>(numbers(1)), InvalidArgument);
    gate.open();
    CHECK(pool.get_next() % 1000 == 1);
    CHECK_FALSE(pool.has_next());
    CHECK(pool.has_free());
    CHECK(pool.pop_idle());
    CHECK(pool.pop_idle());
    CHECK_FALSE(pool.pop_idle());
  }

  TEST_CASE("a call that throws ends the map, not the pool; an actor that is gone leaves it") {
    Machine machine;
    auto& rt = machine.rt;
    CHECK_THROWS_AS((ActorPool<Solver, int>(rt, {})), InvalidArgument);
    auto actors = solvers(rt, 2);
    ActorPool<Solver, int> pool(rt, actors);
    CHECK_THROWS_AS(pool.map<&Solver::solve>(std::vector{1, -1, 2, 3}), TaskError);
    CHECK(pool.map<&Solver::solve>(numbers(10)).size() == 10);
    std::vector<ActorHandle<Solver>> free;  // until both are, one may still have a call that the first map left behind
    CHECK(eventually([&] {
      if (auto each = pool.pop_idle()) free.push_back(std::move(each));
      return free.size() == 2;
    }));
    for (auto& each : free) pool.push(std::move(each));
    actors[0].kill();
    int died = 0;
    for (int i = 0; i < 10; ++i) {
      pool.submit<&Solver::solve>(i);
      try {
        const int result = pool.get_next();  // not inside CHECK, which would catch
        CHECK(result == 1000 + i);
      } catch (const ActorDied&) {
        ++died;
      }
    }
    CHECK(died == 1);
    actors[1].kill();
    CHECK_THROWS_AS(pool.map<&Solver::solve>(numbers(3)), ActorDied);
    CHECK_THROWS_AS(pool.map<&Solver::solve>(numbers(3)), ActorDied);
    pool.push(rt.actor<Solver>().spawn(7));
    CHECK(pool.map<&Solver::solve>(std::vector{5}) == std::vector{7005});
  }

  // It turned at full speed, kept its CPU, which the first call waited for, and heard no cancel.
  TEST_CASE("who waits for the oldest result while a later one is there lends its CPUs, and can be cancelled") {
    Machine machine(small_machine(1));
    auto& rt = machine.rt;
    Folder folder;
    const auto log = folder / "log";
    const std::vector<ActorHandle<Solver>> actors{rt.actor<Solver>({.num_cpus = 0}).spawn(), rt.actor<Solver>({.num_cpus = 0}).spawn()};
    for (const bool cancelled : {false, true}) {
      CAPTURE(cancelled);
      Gate gate;
      const auto waits = rt.remote<use_pool>(actors, gate.path(), log);
      CHECK(eventually([&] { return content(log) == "waits;"; }));
      CHECK_THROWS_AS(rt.get(waits, 300ms), Timeout);  // the second result is there
      if (cancelled) {
        rt.cancel(waits);
        CHECK_THROWS_AS(rt.get(waits, 20s), Cancelled);
        CHECK(eventually([&] { return rt.available_resources()["CPU"] == Amount(1); }, 20s));
      }
      gate.open();
      if (!cancelled) CHECK(rt.get(waits, 20s) == 3);
      fs::remove(log);
    }
  }

  TEST_CASE("what waits for a free actor has its arguments, whatever becomes of the caller's") {
    Machine machine;
    Gate gate;
    ActorPool<Solver, int> pool(machine.rt, solvers(machine.rt, 1));
    pool.submit<&Solver::wait>(gate.path(), 0);
    char text[64];
    for (int i = 1; i <= 3; ++i) {
      std::snprintf(text, sizeof text, "%d and more, which no small string holds in itself", 1000 + i);
      if (i == 1) pool.submit<&Solver::number_in>(text);
      if (i == 2) pool.submit<&Solver::number_in>(std::string_view(text));
      if (i == 3) pool.submit<&Solver::number_in>(static_cast<const char*>(text));
    }
    std::snprintf(text, sizeof text, "0");
    gate.open();
    CHECK(pool.get_next() == 0);
    for (int i = 1; i <= 3; ++i) CHECK(pool.get_next() == 1000 + i);
  }

  TEST_CASE("an actor of a pool stays in it when an argument of its call is of an actor that has died") {
    Machine machine;
    auto& rt = machine.rt;
    ActorPool<Solver, int> pool(rt, {rt.actor<Solver>().spawn(1)});
    for (const bool late : {false, true}) {
      auto dead = rt.actor<Solver>().spawn(2);
      Gate gate;
      const auto argument = late ? dead.call<&Solver::solve>(rt.remote<pass>(gate.path(), 1)) : [&] { dead.kill(); return dead.call<&Solver::solve>(1); }();
      pool.submit<&Solver::solve>(argument);
      dead.kill();
      gate.open();
      CHECK_THROWS_AS(pool.get_next(), ActorDied);
      pool.submit<&Solver::solve>(3);
      CHECK(pool.get_next() == 1003);
    }
  }

  TEST_CASE("a queue is first in, first out, and a full one holds up who puts") {
    Machine machine;
    auto& rt = machine.rt;
    Queue<int> queue(rt, 3);
    CHECK(queue.capacity() == 3);
    std::atomic<int> put{0};
    std::thread producer([&] {
      for (int i = 0; i < 100; ++i) queue.put(rt, i), ++put;
    });
    CHECK(eventually([&] { return put == 3; }));
    CHECK(queue.size(rt) == 3);
    CHECK_FALSE(queue.try_put(rt, 7));
    for (int i = 0; i < 100; ++i) REQUIRE(queue.get(rt) == i);
    producer.join();
    CHECK_FALSE(queue.try_get(rt));
    CHECK(queue.size(rt) == 0);
    CHECK_THROWS_AS(Queue<int>(rt, 0), InvalidArgument);
  }

  TEST_CASE("who gave up waiting neither puts nor takes") {
    Machine machine;
    auto& rt = machine.rt;
    Queue<std::string> queue(rt, 1);
    CHECK_FALSE(queue.get(rt, 10ms));
    CHECK(queue.put(rt, "first", 10s));
    CHECK_FALSE(queue.put(rt, "second", 10ms));
    CHECK(queue.size(rt) == 1);
    CHECK(queue.get(rt, 60s) == "first");
    CHECK_FALSE(queue.try_get(rt));
    auto waiting = queue.get_async();
    CHECK(queue.try_put(rt, "third"));
    CHECK(rt.get(waiting) == "third");
  }

  TEST_CASE("errors of a queue speak of a Queue") {
    Machine machine;
    auto& rt = machine.rt;
    const Queue<int> queue(rt, 1);
    const auto waits = queue.get_async();
    rt.cancel(waits);
    const auto where = error_of<Cancelled>([&] { rt.get(waits); }).where;
    CHECK_MESSAGE(where.starts_with("Queue #"), where);
  }

  TEST_CASE("any number may wait at a queue") {
    Machine machine;
    auto& rt = machine.rt;
    Queue<int> queue(rt, 1);
    std::vector<ObjectRef<std::optional<int>>> waiting;
    for (int i = 0; i < 3000; ++i) waiting.push_back(queue.get_async());
    for (int i = 0; i < 3000; ++i) queue.put(rt, i);
    for (int i = 0; i < 3000; ++i) REQUIRE(rt.get(waiting[static_cast<std::size_t>(i)]) == i);
  }

  TEST_CASE("a promise is kept once, or its ref says that it was not") {
    Machine machine;
    auto& rt = machine.rt;
    Promise<int> promise;
    auto ref = promise.ref();
    CHECK_FALSE(ref.ready());
    CHECK(promise.set(5));
    CHECK_FALSE(promise.set(6));
    CHECK(rt.get(ref) == 5);
    CHECK(rt.get(rt.remote<[](int x) { return x + 1; }>(ref)) == 6);
    ref = Promise<int>().ref();
    CHECK_THROWS_AS(rt.get(ref), ObjectLost);
    Promise<int> broken;
    CHECK(broken.fail({.code = ErrorCode::kCancelled, .message = "not today"}));
    CHECK_THROWS_AS(rt.get(broken.ref()), Cancelled);
  }
}

}  // namespace manta_test
