// What runs in an actor when that is ended: it is told as by cancel. The story: a kill dropped what was queued and settled the refs, but a
// method that waited for something, or looked at ctx.cancelled(), went on for ever, and the actor's resources with it.
#include <unistd.h>

#include <csignal>

#include "runtime/queue.hpp"
#include "support.hpp"

namespace manta_test {
namespace {

void until_told(Context& ctx, const std::string& log, const std::string& who) {
  append(log, who + " runs;");
  eventually([&] { return ctx.cancelled(); }, 60s);
  append(log, who + (ctx.cancelled() ? " told;" : " not told;"));
}
int child(Context& ctx, const std::string& log) { return until_told(ctx, log, "child"), 1; }

struct Worker {
  int take(Context& ctx, const Queue<int>& queue, const std::string& log) {
    append(log, "waits;");
    try {
      return queue.get(ctx);
    } catch (const Cancelled&) {
      append(log, "cancelled;");
      throw;
    }
  }
  int loop(Context& ctx, const std::string& log) { return until_told(ctx, log, "method"), 1; }
  int with_child(Context& ctx, const std::string& log) {
    const auto ref = ctx.remote<child>(log);
    return loop(ctx, log);
  }
};
int nap(int x) { return std::this_thread::sleep_for(2ms), x; }
/// Gives away what it has begun.
struct Trainer {
  std::vector<ObjectRef<int>> evaluate(Context& ctx, int count) {
    std::vector<ObjectRef<int>> begun;
    for (int i = 0; i < count; ++i) begun.push_back(ctx.task<nap>({.num_cpus = 0}).remote(i));
    return begun;
  }
  Async<ObjectRef<int>> evaluate_later(Context& ctx) {
    auto first = ctx.task<nap>({.num_cpus = 0}).remote(1);
    co_await first;
    auto second = ctx.task<nap>({.num_cpus = 0}).remote(2);
    co_return second;
  }
  Generator<ObjectRef<int>> evaluations(Context& ctx) {
    for (int i = 0; i < 2; ++i) {
      auto begun = ctx.task<nap>({.num_cpus = 0}).remote(i);
      co_yield begun;
    }
  }
};
Generator<ObjectRef<int>> two_evaluations(Context& ctx) {
  for (int i = 0; i < 2; ++i) {
    auto begun = ctx.task<nap>({.num_cpus = 0}).remote(i);
    co_yield begun;
  }
}

struct SlowToMake {
  SlowToMake(Context& ctx, const std::string& log) { until_told(ctx, log, "constructor"); }
  int one() { return 1; }
};

RuntimeOptions machine_with_disk() {
  auto options = small_machine();
  options.resources = {{"disk", 2}};
  return options;
}
bool all_back(Runtime& rt) {
  return eventually([&] { return rt.available_resources() == rt.total_resources(); }, 20s);
}

/// Has an actor in another process that works for it, and dies.
int die_with_actor(Context& ctx, const std::string& log) {
  auto actor = ctx.actor<Worker>({.resources = {{"disk", 1}}}).spawn();
  actor.call<&Worker::loop>(log);
  eventually([&] { return content(log) == "method runs;"; });
  ::kill(::getpid(), SIGKILL);
  return 0;
}

/// As code does that starts programs of its own.
int leave_its_group(const std::string& log) {
  append(log, ::setpgid(0, ::getpgid(::getppid())) == 0 ? "left;" : "did not;");
  while (true) ::pause();
}

}  // namespace

TEST_SUITE("runtime/api/kill_running") {
  // It was killed by its group, which it was not in: it stayed, and its lease with it.
  TEST_CASE("a task that has left its process group is ended by force") {
    if (!in_processes()) return;
    Machine machine(machine_with_disk());
    auto& rt = machine.rt;
    Folder folder;
    const auto left = rt.task<leave_its_group>({.resources = {{"disk", 1}}, .isolation = own_process}).remote(folder / "log");
    CHECK(eventually([&] { return content(folder / "log") == "left;"; }));
    rt.cancel(left, {.force = true});
    CHECK_THROWS_AS(rt.get(left, 20s), Cancelled);
    CHECK(all_back(rt));
  }

  TEST_CASE("a method that waits when its actor is killed gets Cancelled, and the actor's resources come back") {
    for (const int at_once : {1, 2}) {
      Machine machine(machine_with_disk());
      auto& rt = machine.rt;
      Folder folder;
      const std::string log = folder / "log";
      const Queue<int> queue(rt, 1);
      auto actor = rt.actor<Worker>({.resources = {{"disk", 1}}, .max_concurrency = at_once}).spawn();
      const auto taken = actor.call<&Worker::take>(queue, log);
      CHECK(eventually([&] { return content(log) == "waits;"; }));
      actor.kill();
      CHECK_THROWS_AS(rt.get(taken, 20s), ActorDied);
      CHECK(eventually([&] { return content(log) == "waits;cancelled;"; }, 20s));
      CHECK(all_back(rt));
    }
  }

  TEST_CASE("a method that runs when its actor is killed is told, and so are the tasks that it submitted") {
    for (const int at_once : {1, 2}) {
      Machine machine(machine_with_disk());
      auto& rt = machine.rt;
      Folder folder;
      const std::string log = folder / "log", other = folder / "other";
      auto actor = rt.actor<Worker>({.resources = {{"disk", 1}}, .max_concurrency = at_once}).spawn();
      const auto parent = actor.call<&Worker::with_child>(log);
      std::vector<ObjectRef<int>> beside;
      if (at_once > 1) {
        beside.push_back(actor.call<&Worker::loop>(other));
        CHECK(eventually([&] { return content(other) == "method runs;"; }));
      }
      CHECK(eventually([&] { return contains(content(log), "method runs;") && contains(content(log), "child runs;"); }));
      actor.kill();
      CHECK_THROWS_AS(rt.get(parent, 20s), ActorDied);
      CHECK(eventually([&] { return contains(content(log), "method told;") && contains(content(log), "child told;"); }, 20s));
      CHECK(all_back(rt));
      if (at_once > 1) CHECK(content(other) == "method runs;method told;");
    }
  }

  // The value was there a moment before the call was over, and a kill in that moment took the call for one that runs.
  TEST_CASE("what a call has submitted and given its caller goes on when the caller has its value and kills the actor, or drops the stream") {
    Machine machine;
    auto& rt = machine.rt;
    for (const int at_once : {1, 2})
      for (int round = 0; round < 60; ++round) {
        auto trainer = rt.actor<Trainer>({.num_cpus = 0, .max_concurrency = at_once}).spawn();
        const auto begun = rt.get(trainer.call<&Trainer::evaluate>(3));
        trainer.kill();
        CHECK(rt.get(begun, 60s) == std::vector{0, 1, 2});
        auto other = rt.actor<Trainer>({.num_cpus = 0, .max_concurrency = at_once}).spawn();
        const auto later = rt.get(other.call<&Trainer::evaluate_later>());
        other.kill();
        CHECK(rt.get(later, 60s) == 2);
        auto third = rt.actor<Trainer>({.num_cpus = 0, .max_concurrency = at_once}).spawn();
        auto items = std::optional(third.call<&Trainer::evaluations>());
        const auto of_method = rt.get(*items->next());
        items.reset();
        CHECK(rt.get(of_method, 60s) == 0);
        auto tasks = std::optional(rt.remote<two_evaluations>());
        const auto of_task = rt.get(*tasks->next());
        tasks.reset();
        CHECK(rt.get(of_task, 60s) == 0);
      }
  }

  TEST_CASE("a constructor that runs when its actor is killed is told") {
    for (const int at_once : {1, 2}) {
      Machine machine(machine_with_disk());
      auto& rt = machine.rt;
      Folder folder;
      const std::string log = folder / "log";
      auto actor = rt.actor<SlowToMake>({.resources = {{"disk", 1}}, .max_concurrency = at_once}).spawn(log);
      CHECK(eventually([&] { return content(log) == "constructor runs;"; }));
      actor.kill();
      CHECK_THROWS_AS(rt.get(actor.call<&SlowToMake::one>(), 20s), ActorDied);
      CHECK(eventually([&] { return content(log) == "constructor runs;constructor told;"; }, 20s));
      CHECK(all_back(rt));
    }
  }

  TEST_CASE("a method in a placement group that is removed is told, and the bundle comes back") {
    for (const int at_once : {1, 2}) {
      Machine machine;
      auto& rt = machine.rt;
      Folder folder;
      const std::string log = folder / "log";
      auto group = rt.placement_group({.bundles = {{.num_cpus = 1}}});
      auto actor = rt.actor<Worker>({.num_cpus = 1, .placement = group.bundle(0), .max_concurrency = at_once}).spawn();
      const auto call = actor.call<&Worker::loop>(log);
      CHECK(eventually([&] { return content(log) == "method runs;"; }));
      rt.remove(group);
      CHECK_THROWS_AS(rt.get(call, 20s), ActorDied);
      CHECK(eventually([&] { return content(log) == "method runs;method told;"; }, 20s));
      CHECK(all_back(rt));
    }
  }

  TEST_CASE("a method whose actor's owner has died is told, and the actor's resources come back") {
    Machine machine(machine_with_disk());
    auto& rt = machine.rt;
    Folder folder;
    const std::string log = folder / "log";
    const auto owner = rt.task<die_with_actor>({.max_retries = 0, .isolation = own_process}).remote(log);
    CHECK_THROWS_AS(rt.get(owner, 60s), WorkerCrashed);
    CHECK(eventually([&] { return content(log) == "method runs;method told;"; }, 20s));
    CHECK(all_back(rt));
  }
}

}  // namespace manta_test
