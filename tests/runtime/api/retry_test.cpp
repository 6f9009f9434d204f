// Retries after errors of a task's own, and the time between attempts.
#include <unistd.h>

#include <csignal>
#include <sstream>

#include "support.hpp"

namespace manta_test {
namespace {

struct Busy : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct VeryBusy final : Busy {
  using Busy::Busy;
};

/// Throws in its first attempts: "busy", "very busy", "logic", "int", or dies.
int fail_until(Context& ctx, const std::string& log, const std::string& how, int failures) {
  append(log, std::to_string(std::chrono::steady_clock::now().time_since_epoch() / 1ms) + ";");
  if (ctx.attempt() > failures) return ctx.attempt();
  if (how == "busy") throw Busy("try again");
  if (how == "very busy") throw VeryBusy("try again later");
  if (how == "int") throw 1;
  if (how == "die") ::kill(::getpid(), SIGKILL);
  throw std::logic_error("no");
}
Generator<int> give_after(Context& ctx, const std::string& log, int failures) { co_yield fail_until(ctx, log, "die", failures); }
int square(int x) { return x * x; }

std::vector<long> times(const std::string& log) {
  std::vector<long> all;
  std::istringstream in(content(log));
  for (std::string word; std::getline(in, word, ';');) all.push_back(std::stol(word));
  return all;
}

int until_told(Context& ctx, const std::string& log) {
  append(log, "child;");
  while (!ctx.cancelled()) std::this_thread::sleep_for(1ms);
  append(log, "told;");
  return 0;
}
int leave_child(Context& ctx, const std::string& log) {
  ctx.task<until_told>({.num_cpus = 0}).remote(log);
  eventually([&] { return !content(log).empty(); });
  throw std::runtime_error("busy");
}

}  // namespace

TEST_SUITE("runtime/api/retries") {
  TEST_CASE("an error of a type that is named, or derived from one, is tried again; others and too many are not") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    int n = 0;
    auto run = [&](TaskOptions options, const std::string& how, int failures) {
      return rt.task<fail_until>(std::move(options)).remote(folder / std::to_string(++n), how, failures);
    };
    CHECK(rt.get(run({.retry_on = retry_on<Busy>}, "busy", 3)) == 4);
    CHECK(rt.get(run({.retry_on = retry_on<std::bad_alloc, Busy>}, "very busy", 1)) == 2);
    CHECK(rt.get(run({.retry_on = retry_on<int>}, "int", 1)) == 2);
    CHECK(rt.get(run({.retry_on = retry_on_all}, "int", 2)) == 3);
    CHECK(rt.get(run({.max_retries = -1, .retry_on = retry_on_all}, "logic", 20)) == 21);
    CHECK(contains(error_of<TaskError>([&] { rt.get(run({.retry_on = retry_on<Busy>}, "logic", 1)); }).where, "attempt 1"));
    CHECK(contains(error_of<TaskError>([&] { rt.get(run({}, "busy", 1)); }).where, "attempt 1"));
    const auto last = error_of<TaskError>([&] { rt.get(run({.max_retries = 2, .retry_on = retry_on<Busy>}, "busy", 9)); });
    CHECK(contains(last.where, "attempt 3"));
    CHECK(last.message == "try again");
    CHECK_THROWS_AS(rt.get(run({.max_retries = 0, .retry_on = retry_on_all}, "busy", 1)), TaskError);
  }

  TEST_CASE("crashes and errors share the retries") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    const TaskOptions options{.max_retries = 2, .retry_on = retry_on_all, .isolation = own_process};
    CHECK(rt.get(rt.task<fail_until>(options).remote(folder / "a", std::string("busy"), 2)) == 3);
    CHECK(rt.get(rt.task<fail_until>(options).remote(folder / "b", std::string("die"), 2)) == 3);
    CHECK_THROWS_AS(rt.get(rt.task<fail_until>(options).remote(folder / "c", std::string("busy"), 3)), TaskError);
  }

  TEST_CASE("a generator backs off before it starts again, as a task does") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    const auto log = folder / "log";
    auto stream = rt.task<give_after>({.max_retries = 2, .backoff = {.initial = 300ms, .factor = 3}, .isolation = own_process}).remote(log, 2);
    CHECK(rt.get(*stream.next(60s)) == 3);
    const auto began = times(log);
    REQUIRE(began.size() == 3);
    CHECK(began[1] - began[0] >= 300);
    CHECK(began[2] - began[1] >= 900);
  }

  TEST_CASE("attempts are apart as the back-off says, and hold no CPU meanwhile") {
    Machine machine(small_machine(1));
    auto& rt = machine.rt;
    Folder folder;
    const auto log = folder / "log";
    const auto ref = rt.task<fail_until>({.max_retries = 4, .retry_on = retry_on<Busy>,
                                          .backoff = {.initial = 20ms, .factor = 4, .max = 100ms}}).remote(log, std::string("busy"), 3);
    CHECK(eventually([&] { return times(log).size() == 2; }));
    CHECK(rt.get(rt.remote<square>(3), 20s) == 9);
    CHECK(rt.get(ref) == 4);
    const auto at = times(log);
    REQUIRE(at.size() == 4);
    CHECK(at[1] - at[0] >= 19);
    CHECK(at[2] - at[1] >= 79);
    CHECK(at[3] - at[2] >= 99);
    CHECK_THROWS_AS(rt.task<square>({.backoff = {.factor = 0.5}}).remote(1), InvalidArgument);
    CHECK_THROWS_AS(rt.task<square>({.backoff = {.initial = -1ms}}).remote(1), InvalidArgument);
  }

  // Only what the attempt that ran at that moment had submitted was.
  TEST_CASE("what an attempt that failed has submitted is cancelled with its task, and at its deadline") {
    if (in_processes()) return;  // there the child is its worker's, which is not told
    Machine machine;
    auto& rt = machine.rt;
    for (const bool by_deadline : {false, true}) {
      CAPTURE(by_deadline);
      Folder folder;
      const std::string log = folder / "log";
      TaskOptions patient{.max_retries = -1, .retry_on = retry_on_all, .backoff = {.initial = 1h, .max = 1h}};
      if (by_deadline) patient.deadline = 2s;
      const auto parent = rt.task<leave_child>(patient).remote(log);
      CHECK(eventually([&] { return content(log) == "child;"; }, 20s));
      CHECK_THROWS_AS(rt.get(parent, 100ms), Timeout);
      if (!by_deadline) rt.cancel(parent);
      if (by_deadline) CHECK_THROWS_AS(rt.get(parent, 30s), Timeout);
      CHECK(eventually([&] { return content(log) == "child;told;"; }, 20s));
    }
  }

  TEST_CASE("a task between two attempts can be cancelled, and a deadline ends it") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    const TaskOptions patient{.max_retries = -1, .retry_on = retry_on_all, .backoff = {.initial = 1h, .max = 1h}};
    const auto cancelled = rt.task<fail_until>(patient).remote(folder / "a", std::string("busy"), 9);
    CHECK(eventually([&] { return times(folder / "a").size() == 1 && rt.available_resources() == rt.total_resources(); }));
    rt.cancel(cancelled);
    CHECK_THROWS_AS(rt.get(cancelled), Cancelled);
    auto hasty = patient;
    hasty.deadline = 100ms;
    const auto late = rt.task<fail_until>(hasty).remote(folder / "b", std::string("busy"), 9);
    CHECK_THROWS_AS(rt.get(late, 20s), Timeout);
  }
}

}  // namespace manta_test
