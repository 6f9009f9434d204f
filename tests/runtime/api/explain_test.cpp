// What explain says about a ref, in every state in which one can be found.
#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <iostream>

#include "runtime/promise.hpp"
#include "support.hpp"

namespace manta_test {
namespace {

int twice(int x) { return 2 * x; }
int sum_of(int a, int b) { return a + b; }
int sum_of_five(int a, int b, int c, int d, int e) { return a + b + c + d + e; }
int refuse(int) { throw std::runtime_error("no such number"); }
std::string explain_inside(Context& ctx, const std::string& gate) {
  auto slow = ctx.task<pass>({.name = "inner"}).remote(gate, 1);
  return ctx.explain(slow);
}

std::string explain_borrowed(Context& ctx, const std::vector<ObjectRef<int>>& refs) { return ctx.explain(refs.at(0)); }
int busy_once(Context& ctx) {
  if (ctx.attempt() == 1) throw std::runtime_error("busy");
  return ctx.attempt();
}

class Waiter {
 public:
  Async<int> await(std::vector<ObjectRef<int>> refs) { co_return co_await refs.at(0); }
  int pid() { return ::getpid(); }
};

class EndsInConstructor {
 public:
  EndsInConstructor() { ::raise(SIGKILL); }
  int one() { return 1; }
};

class Clerk {
 public:
  int wait_at(const std::string& gate) { return pass(gate, 1); }
  int wait_noted(const std::string& begun, const std::string& gate) { return append(begun, "x"), pass(gate, 1); }
  int one() { return 1; }
};

int call_it(Context& ctx, const ActorHandle<Clerk>& clerk, const std::string& begun, const std::string& gate) {
  return ctx.get(clerk.call<&Clerk::wait_noted>(begun, gate));
}

class Keeper {
 public:
  std::vector<ObjectRef<int>> make(Context& ctx, const std::string& gate) { return {ctx.task<pass>({.name = "inner"}).remote(gate, 1)}; }
  int pid() { return ::getpid(); }
};

/// Stops a process, and waits until none of its threads runs any more.
bool stop_process(int pid) {
  ::kill(pid, SIGSTOP);
  return eventually([pid] {
    for (const auto& thread : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task")) {
      const auto stat = content(thread.path() / "stat");
      if (stat.find(") T ") == std::string::npos) return false;
    }
    return true;
  }, 20s);
}

/// Waits until the explanation has the part; the last one said is for the message.
template <class T>
bool comes_to_say(Runtime& rt, const ObjectRef<T>& ref, const std::string& part) {
  std::string said;
  const bool there = eventually([&] { return contains(said = rt.explain(ref), part); }, 20s);
  CHECK_MESSAGE(there, "no \"" << part << "\" in: " << said);
  return there;
}

/// How often `part` is in the text.
std::size_t count_of(const std::string& part, const std::string& text) {
  std::size_t count = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

}  // namespace

/// A wait of each kind that takes long; the log of all processes goes to a file, and that to stdout.
int run_explained(const std::string& wait) {
  ::setenv("MANTA_EXPLAIN_AFTER_MS", "100", 1);
  Folder folder;
  const std::string file = folder / "log";
  const int log = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  ::dup2(log, 2);
  const auto logged = [&](std::size_t count) { return eventually([&] { return count_of(" has taken ", content(file)) >= count; }, 30s); };
  auto rt = Runtime::start(small_machine());
  Gate gate;
  auto ref = rt.task<pass>({.name = "slow"}).remote(gate.path(), 1);
  bool told = false;
  if (wait == "co_await") {
    auto waiter = rt.actor<Waiter>({.label = "waiter"}).spawn();
    std::vector<ObjectRef<int>> calls{waiter.call<&Waiter::await>(std::vector{ref})};
    told = logged(1);
    calls.push_back(waiter.call<&Waiter::await>(std::vector{ref}));
    told = told && logged(2);  // by then the first one would have been told again
    gate.open();
    told = told && rt.get(calls, 20s) == std::vector{1, 1};
  } else {
    std::thread opener([&] {
      told = logged(1);
      gate.open();
    });
    const bool got = wait == "get" ? rt.get(ref, 60s) == 1 : rt.as_completed(std::vector{ref}).next(60s) == ref;
    opener.join();
    told = told && got;
  }
  std::cout << content(file) << std::flush;
  return told ? 0 : 1;
}

TEST_SUITE("runtime/api/explain") {
  TEST_CASE("a value that is there is ready, a task that threw has failed with its error") {
    Machine machine;
    auto& rt = machine.rt;
    CHECK(rt.explain(rt.put(5)) == "ready");
    auto four = rt.remote<twice>(2);
    CHECK(rt.get(four) == 4);
    CHECK(rt.explain(four) == "ready");
    auto failed = rt.remote<refuse>(1);
    CHECK_THROWS_AS(rt.get(failed), TaskError);
    CHECK(contains(rt.explain(failed), "failed: "));
    CHECK(contains(rt.explain(failed), "no such number"));
    CHECK_THROWS_AS(rt.explain(ObjectRef<int>()), InvalidArgument);
  }

  TEST_CASE("a task behind a full machine is queued, with what it needs, what is free and how many go first") {
    Machine machine(small_machine(2));
    auto& rt = machine.rt;
    Gate gate;
    auto running = rt.task<pass>({.name = "holder", .num_cpus = 1}).remote(gate.path(), 1);
    comes_to_say(rt, running, "task holder: runs since ");
    CHECK(contains(rt.explain(running), in_processes() ? "worker process " : "in this process"));
    auto first = rt.task<twice>({.num_cpus = 2}).remote(1);
    auto second = rt.task<twice>({.num_cpus = 2}).remote(2);
    comes_to_say(rt, first, "queued: needs {CPU: 2}; free {CPU: 1}; 0 tasks are ahead of it");
    comes_to_say(rt, second, "queued: needs {CPU: 2}; free {CPU: 1}; 1 task is ahead of it");
    gate.open();
    CHECK(rt.get(second, 20s) == 4);
    CHECK(rt.get(first, 20s) == 2);
    CHECK(rt.get(running, 20s) == 1);
  }

  TEST_CASE("a chain of arguments is explained up to the task that runs, each in lines of its own") {
    Machine machine;
    auto& rt = machine.rt;
    Gate gate;
    auto source = rt.task<pass>({.name = "source"}).remote(gate.path(), 3);
    auto middle = rt.task<twice>({.name = "middle"}).remote(source);
    auto last = rt.task<twice>({.name = "last"}).remote(middle);
    comes_to_say(rt, source, "runs since ");
    const auto said = rt.explain(last);
    CHECK_MESSAGE(contains(said, "task last: waits for its argument 1: \n  task middle: waits for its argument 1: \n    task source: runs since "),
                  said);
    gate.open();
    CHECK(rt.get(last, 20s) == 12);
  }

  TEST_CASE("of several arguments that are waited for each is said in a line that names the task") {
    Machine machine;
    auto& rt = machine.rt;
    Gate gate;
    auto left = rt.task<pass>({.name = "left"}).remote(gate.path(), 3);
    auto right = rt.task<pass>({.name = "right"}).remote(gate.path(), 4);
    auto sum = rt.task<sum_of>({.name = "sum"}).remote(left, right);
    auto last = rt.task<twice>({.name = "last"}).remote(sum);
    auto five = rt.task<sum_of_five>({.name = "five"}).remote(left, left, left, left, right);
    comes_to_say(rt, left, "runs since ");
    comes_to_say(rt, right, "runs since ");
    auto said = rt.explain(sum);
    CHECK_MESSAGE(contains(said, "task sum: waits for its argument 1: \n  task left: runs since "), said);
    CHECK_MESSAGE(contains(said, "\ntask sum: waits for its argument 2: \n  task right: runs since "), said);
    said = rt.explain(last);
    CHECK_MESSAGE(contains(said, "\n  task sum: waits for its argument 2: \n    task right: runs since "), said);
    said = rt.explain(five);
    CHECK_MESSAGE(contains(said, "\ntask five: waits for 2 more"), said);
    gate.open();
    CHECK(rt.get(last, 20s) == 14);
    CHECK(rt.get(five, 20s) == 16);
  }

  TEST_CASE("a call behind another names the actor, how many go first and what the first of them does") {
    Machine machine;
    auto& rt = machine.rt;
    Gate gate;
    auto clerk = rt.actor<Clerk>({.label = "clerk"}).spawn();
    auto slow = clerk.call<&Clerk::wait_at>(gate.path());
    auto behind = clerk.call<&Clerk::one>();
    comes_to_say(rt, slow, "its actor clerk #");
    comes_to_say(rt, slow, "is alive and runs it in ");
    comes_to_say(rt, behind, "1 call is ahead of it");
    comes_to_say(rt, behind, "is alive and runs it in ");
    gate.open();
    CHECK(rt.get(behind, 20s) == 1);
    CHECK(rt.get(slow, 20s) == 1);
  }

  // It counted the calls of all groups together, and was said to run.
  TEST_CASE("a call behind others of its group, or behind as many coroutines as may have begun, is not said to run") {
    Machine machine;
    auto& rt = machine.rt;
    Gate gate;
    auto clerk = rt.actor<Clerk>({.max_concurrency = 2, .concurrency_groups = {{"io", 1}}}).in_group<&Clerk::wait_at>("io").spawn();
    auto first = clerk.call<&Clerk::wait_at>(gate.path()), second = clerk.call<&Clerk::wait_at>(gate.path());
    auto third = clerk.options({.concurrency_group = "io"}).call<&Clerk::one>();
    comes_to_say(rt, first, "is alive and runs it in ");
    comes_to_say(rt, second, "; 1 call is ahead of it");
    comes_to_say(rt, third, "; 2 calls are ahead of it");
    CHECK(rt.get(clerk.call<&Clerk::one>(), 20s) == 1);  // of no group
    auto waiter = rt.actor<Waiter>({.max_coroutines = 1}).spawn();
    const auto source = rt.task<pass>({.name = "source"}).remote(gate.path(), 3);
    auto begun = waiter.call<&Waiter::await>(std::vector{source}), next = waiter.call<&Waiter::await>(std::vector{source});
    auto last = waiter.call<&Waiter::pid>();
    comes_to_say(rt, begun, "is alive and runs it in ");
    for (const auto* held : {&next, &last}) {
      comes_to_say(rt, *held, "max_coroutines allows (1) have begun before it");
      CHECK_FALSE(contains(rt.explain(*held), "runs it"));
    }
    gate.open();
    CHECK(rt.get(third, 20s) == 1);
    CHECK(rt.get(last, 20s) > 0);
  }

  TEST_CASE("a call to an actor that others call too is not said to run for certain") {
    Machine machine;
    auto& rt = machine.rt;
    Gate gate;
    auto clerk = rt.actor<Clerk>().spawn();
    Folder folder;
    const std::string begun = folder / "begun";
    auto theirs = rt.task<call_it>({.isolation = own_process}).remote(clerk, begun, gate.path());
    CHECK(eventually([&] { return fs::exists(begun); }));
    auto ours = clerk.call<&Clerk::one>();
    comes_to_say(rt, ours, "runs it or what other processes have called before in ");
    gate.open();
    CHECK(rt.get(ours, 20s) == 1);
    CHECK(rt.get(theirs, 20s) == 1);
  }

  // "needs {GPU: 0.5}; free {GPU: 0.8}".
  TEST_CASE("what waits though as much is free in sum is told why that may be") {
    Machine machine(small_machine(4, 2));
    auto& rt = machine.rt;
    auto one = rt.actor<Clerk>({.num_gpus = 0.6}).spawn(), two = rt.actor<Clerk>({.num_gpus = 0.6}).spawn();
    CHECK(rt.get(one.call<&Clerk::one>()) + rt.get(two.call<&Clerk::one>()) == 2);
    auto share = rt.task<twice>({.num_gpus = 0.5}).remote(1);
    comes_to_say(rt, share, "no single GPU has as much free");
    const auto group = rt.placement_group({.bundles = {{.num_gpus = 0.5}}});
    comes_to_say(rt, rt.ready(group), "no single GPU has as much free");
    rt.remove(group);
    one.kill();
    CHECK(rt.get(share, 20s) == 2);
  }

  TEST_CASE("a call to an actor that has no lease yet says what the actor needs") {
    Machine machine(small_machine(1));
    auto& rt = machine.rt;
    Gate gate;
    auto holder = rt.task<pass>({.num_cpus = 1}).remote(gate.path(), 1);
    comes_to_say(rt, holder, "runs since ");
    auto clerk = rt.actor<Clerk>({.num_cpus = 1}).spawn();
    auto call = clerk.call<&Clerk::one>();
    auto next = clerk.call<&Clerk::one>();
    comes_to_say(rt, call, "is waiting for a lease: needs {CPU: 1}; free {CPU: 0}");
    comes_to_say(rt, next, "1 call is ahead of it");
    gate.open();
    CHECK(rt.get(call, 20s) == 1);
    CHECK(rt.get(next, 20s) == 1);
    CHECK(rt.get(holder, 20s) == 1);
  }

  TEST_CASE("what the machine can never hold says so, with what there is") {
    Runtime rt = Runtime::start(small_machine(2, 1));  // no Machine: it ends with work that waits
    auto waits = rt.task<twice>({.num_gpus = 2, .wait_if_infeasible = true}).remote(1);
    comes_to_say(rt, waits, "GPU: 2");
    comes_to_say(rt, waits, "this machine has {");
    comes_to_say(rt, waits, "GPU: 1} in all: it waits for ever");
  }

  TEST_CASE("a task of a placement group says which, and what is free in each of its bundles") {
    Machine machine;
    auto& rt = machine.rt;
    Gate gate;
    auto group = rt.placement_group({.bundles = {{.num_cpus = 1}, {.num_cpus = 2}}, .name = "pair"});
    CHECK(rt.wait(group, 30s));
    auto holder = rt.task<pass>({.num_cpus = 1, .placement = group.bundle(0)}).remote(gate.path(), 1);
    comes_to_say(rt, holder, "runs since ");
    auto queued = rt.task<twice>({.num_cpus = 1, .placement = group.bundle(0)}).remote(2);
    comes_to_say(rt, queued, "needs {CPU: 1} of ");
    comes_to_say(rt, queued, "pair");
    comes_to_say(rt, queued, "free {CPU: 0} in bundle 0");
    CHECK_FALSE(contains(rt.explain(queued), "bundle 1"));
    auto whole = rt.placement_group({.bundles = {{.num_cpus = 4}}});
    auto waits = rt.task<twice>({.placement = whole.any()}).remote(2);
    comes_to_say(rt, waits, "which is not placed yet: placement group #");
    comes_to_say(rt, waits, "needs {CPU: 4}");
    const auto ready = rt.ready(whole);
    comes_to_say(rt, ready, "waits for its 1 bundle: needs {CPU: 4}; free {CPU: 1}; placed: placement group pair #");
    auto both = rt.placement_group({.bundles = {{.num_cpus = 2}, {.num_cpus = 1}}, .name = "both"});
    comes_to_say(rt, rt.ready(both), "placement group both #");
    comes_to_say(rt, rt.ready(both), "waits for its 2 bundles at once: needs {CPU: 3}; free {CPU: 1}");
    rt.remove(both);
    gate.open();
    CHECK(rt.get(queued, 30s) == 4);
    rt.remove(group);
    CHECK(rt.get(waits, 30s) == 4);
    rt.remove(whole);
  }

  TEST_CASE("a coroutine that waits holds up neither its like nor other calls, and is not called behind them") {
    Machine machine;
    auto& rt = machine.rt;
    Gate gate;
    auto source = rt.task<pass>({.name = "source"}).remote(gate.path(), 3);
    auto waiter = rt.actor<Waiter>({.label = "waiter"}).spawn();
    std::vector<ObjectRef<int>> calls;
    for (int i = 0; i < 3; ++i) calls.push_back(waiter.call<&Waiter::await>(std::vector{source}));
    for (const auto& call : calls) comes_to_say(rt, call, "is alive and runs it in ");
    CHECK(contains(rt.explain(calls.back()), "may be waiting at a co_await"));
    CHECK_FALSE(contains(rt.explain(calls.back()), "ahead of it"));
    CHECK(rt.get(waiter.call<&Waiter::pid>(), 30s) > 0);
    gate.open();
    CHECK(rt.get(calls, 30s) == std::vector{3, 3, 3});
  }

  TEST_CASE("between two attempts a task says so, with the number of the next") {
    Machine machine;
    auto& rt = machine.rt;
    constexpr auto kEver = std::chrono::nanoseconds::max();  // it went again at once: the time was too long for the clock
    for (const auto& backoff : {Backoff{.initial = 60s}, Backoff{.initial = kEver, .max = kEver}}) {
      auto ref = rt.task<busy_once>({.retry_on = retry_on_all, .backoff = backoff}).remote();
      comes_to_say(rt, ref, "waits before its next attempt, which is number 2");
      rt.cancel(ref);
      CHECK_THROWS_AS(rt.get(ref, 30s), Cancelled);
    }
  }

  TEST_CASE("a call to an actor that is being restarted says what that waits for") {
    Machine machine(small_machine(1));
    auto& rt = machine.rt;
    Gate gate;
    auto waiter = rt.actor<Waiter>({.num_cpus = 1, .max_restarts = 1, .isolation = own_process}).spawn();
    const int pid = rt.get(waiter.call<&Waiter::pid>(), 30s);
    auto next = rt.task<pass>({.name = "next"}).remote(gate.path(), 1);
    comes_to_say(rt, next, "queued: ");
    ::kill(pid, SIGKILL);
    comes_to_say(rt, next, "runs since ");  // it has the actor's CPU
    auto call = waiter.call<&Waiter::pid>();
    comes_to_say(rt, call, "is restarting, and waits for a lease: needs {CPU: 1}; free {CPU: 0}");
    gate.open();
    CHECK(rt.get(call, 30s) != pid);
    CHECK(rt.get(next, 30s) == 1);
  }

  TEST_CASE("an actor whose constructor ends its process again and again is restarted with pauses, and says so") {
    Machine machine;
    auto& rt = machine.rt;
    auto never = rt.actor<EndsInConstructor>({.max_restarts = -1, .isolation = own_process}).spawn();
    auto call = never.call<&EndsInConstructor::one>();
    comes_to_say(rt, call, "restarting after a pause: its process ended 2 times in a row before its constructor had");
    never.kill();
    CHECK_THROWS_AS(rt.get(call, 30s), ActorDied);
  }

  TEST_CASE("of a borrowed ref its owner is asked, who says it up the chain") {
    Machine machine;
    auto& rt = machine.rt;
    Gate gate;
    auto slow = rt.task<pass>({.name = "slow"}).remote(gate.path(), 1);
    comes_to_say(rt, slow, "runs since ");
    std::vector refs{rt.task<twice>({.name = "next"}).remote(slow)};
    const auto said = rt.get(rt.task<explain_borrowed>({.isolation = own_process}).remote(refs), 30s);
    CHECK_MESSAGE(contains(said, "the driver owns it: task next: waits for its argument 1: \n  task slow: runs since "), said);
    gate.open();
    CHECK(rt.get(refs[0], 30s) == 2);
    CHECK(rt.get(rt.task<explain_borrowed>({.isolation = own_process}).remote(refs), 30s) == "the driver owns it: ready");
  }

  TEST_CASE("an owner that is stopped keeps nobody waiting who asks what its ref waits for") {
    Machine machine;
    auto& rt = machine.rt;
    Gate gate;
    auto keeper = rt.actor<Keeper>({.isolation = own_process}).spawn();
    const auto refs = rt.get(keeper.call<&Keeper::make>(gate.path()), 30s);
    const int pid = rt.get(keeper.call<&Keeper::pid>(), 30s);
    CHECK(contains(rt.explain(refs[0]), " owns it: task inner: "));
    REQUIRE(stop_process(pid));
    const auto said = rt.explain(refs[0]);
    std::string late;  // a Timeout does not ask it
    eventually([&] { return contains(late = error_of<Timeout>([&] { rt.get(refs[0], 150ms); }).message, " owns it: "); }, 20s);
    ::kill(pid, SIGCONT);
    CHECK_MESSAGE(contains(said, " owns it: it has not said more within 2 s"), said);
    CHECK_MESSAGE(contains(late, " owns it: ask there"), late);
    gate.open();
    CHECK(rt.get(refs[0], 30s) == 1);
  }

  TEST_CASE("a task explains what it has submitted itself") {
    Machine machine;
    auto& rt = machine.rt;
    Gate gate;
    const auto said = rt.get(rt.remote<explain_inside>(gate.path()), 20s);
    CHECK_MESSAGE(contains(said, "task inner: "), said);
    gate.open();
  }

  // as_completed and co_await said nothing, however long they took.
  TEST_CASE("a wait that takes long logs once what it waits for, whether by get, as_completed or co_await") {
    for (const std::string wait : {"get", "as_completed", "co_await"}) {
      CAPTURE(wait);
      SubProgram driver("explained", {wait});
      std::string all;
      for (std::string line; !(line = driver.read_line()).empty();) all += line + "\n";
      CHECK(driver.wait() == 0);
      if (wait == "co_await") {
        CHECK_MESSAGE(count_of("a co_await of ", all) == 2, all);
        CHECK_MESSAGE(count_of("Waiter::await has taken more than 100 ms, for ", all) == 2, all);
        CHECK_MESSAGE(contains(all, in_processes() ? "the driver owns it" : "task slow: "), all);
      } else {
        CHECK_MESSAGE(contains(all, "a wait has taken 100 ms, for 1 of 1 ref. task slow: "), all);
        CHECK_MESSAGE(count_of("a wait has taken", all) == 1, all);
      }
    }
  }

  TEST_CASE("a promise has no producer, and this process owns it") {
    Machine machine;
    Promise<int> promise;
    auto ref = promise.ref();
    CHECK(contains(machine.rt.explain(ref), "this process owns it"));
    promise.set(1);
    CHECK(machine.rt.explain(ref) == "ready");
  }
}

}  // namespace manta_test
