// What happens when nobody wants a result any more: cancel and deadlines.
#include <unistd.h>

#include <atomic>
#include <csignal>

#include "support.hpp"

namespace manta_test {
namespace {

int add(int a, int b) { return a + b; }
int note(const std::string& file, int value) { return append(file, "x"), value; }
/// Says that it runs, then works until it is told to stop; says so too.
int until_cancelled(Context& ctx, const std::string& file) {
  append(file, "running;");
  eventually([&] { return ctx.cancelled(); }, 60s);
  append(file, ctx.cancelled() ? "told;" : "not told;");
  return 1;
}
/// Waits for a child that never ends by itself; says what ended the wait.
int wait_for_child(Context& ctx, const std::string& file, const std::string& child_file) {
  auto child = ctx.remote<until_cancelled>(child_file);
  append(file, "waiting;");
  try {
    ctx.get(child);
  } catch (const Cancelled&) {
    append(file, "cancelled;");
    throw;
  }
  return 2;
}
/// Has a child, hears that it is cancelled, and goes on until the end is there.
int stay_with_child(Context& ctx, const std::string& file, const std::string& child_file, const std::string& end) {
  const auto child = ctx.remote<until_cancelled>(child_file);
  eventually([&] { return ctx.cancelled(); }, 60s);
  append(file, "told;");
  eventually([&] { return !content(end).empty(); }, 60s);
  return 3;
}
int wait_with(Context& ctx, const std::string& how, const std::string& gate, const std::string& file) {
  std::vector refs{ctx.remote<pass>(gate, 1), ctx.remote<pass>(gate, 2)};
  append(file, "waiting;");
  try {
    if (how == "wait") ctx.wait(refs, {.count = 2});
    if (how == "get") ctx.get(refs);
    if (how == "as_completed")
      for (auto& ref : ctx.as_completed(refs)) ctx.get(ref);
  } catch (const Cancelled&) {
    append(file, "cancelled;");
  }
  return 3;
}
int spin_for_ever(const std::string& file) {
  append(file, std::to_string(::getpid()) + ";");
  for (std::atomic<int> i{0};; ++i) {
  }
}
struct Slow {
  std::string file;
  explicit Slow(std::string f) : file(std::move(f)) {}
  int work(Context& ctx, int x) {
    append(file, "running" + std::to_string(x) + ";");
    eventually([&] { return ctx.cancelled(); }, 60s);
    append(file, ctx.cancelled() ? "told;" : "not told;");
    return x;
  }
  int quick(int x) { return append(file, "quick" + std::to_string(x) + ";"), x; }
};

struct Log {
  int add(const std::string& file) { return append(file, "x"), 1; }
};
/// Once it is cancelled: what it calls and spawns is refused.
int submit_when_cancelled(Context& ctx, const ActorHandle<Log>& log, const std::string& calls, const std::string& file) {
  append(file, "running;");
  eventually([&] { return ctx.cancelled(); }, 60s);
  const auto refused = [&](const char* what, const std::function<void()>& submit) {
    try {
      submit();
    } catch (const Cancelled&) {
      append(file, std::string("no ") + what + ";");
    }
  };
  refused("call", [&] { log.call<&Log::add>(calls); });
  refused("actor", [&] { ctx.actor<Log>().spawn(); });
  append(file, "done;");
  return 1;
}
/// Calls without waiting for any of the calls, and says how that ended.
int call_for_ever(Context& ctx, const ActorHandle<Log>& log, const std::string& calls, const std::string& file) {
  append(file, "running;");
  try {
    for (const auto end = SteadyClock::now() + 60s; SteadyClock::now() < end; std::this_thread::sleep_for(100us)) log.call<&Log::add>(calls);
    append(file, "not told;");
  } catch (const Cancelled&) {
    append(file, ctx.cancelled() ? "cancelled;" : "not cancelled;");
  }
  return 1;
}
/// Opens a stream of an actor and drops it once it is cancelled.
struct Mark {
  std::string file;
  ~Mark() { append(file, "closed;"); }
};
struct Source {
  Generator<int> count(std::string file) {
    const Mark mark{file};
    for (int i = 0;; ++i) co_yield i;
  }
};
int read_until_cancelled(Context& ctx, const ActorHandle<Source>& source, const std::string& file) {
  auto stream = source.options({.max_unread = 1}).call<&Source::count>(file);
  stream.next();
  append(file, "running;");
  eventually([&] { return ctx.cancelled(); }, 60s);
  return 1;
}

int number_in(const std::string& file) {
  eventually([&] { return contains(content(file), ";"); });
  return std::stoi(content(file));
}

}  // namespace

TEST_SUITE("runtime/api/cancel") {
  TEST_CASE("queued work that is cancelled never starts, and what takes its result fails with the chain of causes") {
    Machine machine(small_machine(1));
    auto& rt = machine.rt;
    Folder folder;
    Gate gate;
    const auto first = rt.remote<pass>(gate.path(), 1);
    const auto queued = rt.remote<note>(folder / "ran", 2);
    const auto dependent = rt.task<add>({.name = "dependent"}).remote(queued, 1);
    rt.cancel(queued);
    rt.cancel(queued);
    const auto error = error_of<Cancelled>([&] { rt.get(queued); });
    CHECK(contains(error.where, "note"));
    const auto chained = error_of<Cancelled>([&] { rt.get(dependent); });
    CHECK(contains(chained.where, "dependent"));
    REQUIRE(chained.cause);
    CHECK(contains(chained.cause->where, "note"));
    gate.open();
    CHECK(rt.get(first) == 1);
    CHECK(rt.get(rt.remote<add>(1, 1)) == 2);
    CHECK(content(folder / "ran").empty());
  }

  TEST_CASE("of a chain of four the third is cancelled: three and four fail, one and two end") {
    Machine machine;
    auto& rt = machine.rt;
    Gate gate;
    const auto one = rt.remote<pass>(gate.path(), 1);
    const auto two = rt.remote<add>(one, 1);
    const auto three = rt.remote<add>(two, 1);
    const auto four = rt.remote<add>(three, 1);
    rt.cancel(three);
    CHECK_THROWS_AS(rt.get(three), Cancelled);
    CHECK_THROWS_AS(rt.get(four), Cancelled);
    gate.open();
    CHECK(rt.get(two) == 2);
  }

  TEST_CASE("running work is told, its late result is dropped, its ref fails at once") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    const auto ref = rt.remote<until_cancelled>(folder / "log");
    CHECK(eventually([&] { return content(folder / "log") == "running;"; }));
    rt.cancel(ref);
    CHECK_THROWS_AS(rt.get(ref, 20s), Cancelled);
    CHECK(eventually([&] { return content(folder / "log") == "running;told;"; }));
    CHECK(eventually([&] { return rt.available_resources() == rt.total_resources(); }));
    CHECK(error_of<Cancelled>([&] { rt.get(ref); }).code == ErrorCode::kCancelled);
  }

  TEST_CASE("every wait of the runtime inside a cancelled task throws Cancelled") {
    Machine machine;
    auto& rt = machine.rt;
    for (const std::string how : {"get", "wait", "as_completed"}) {
      Folder folder;
      Gate gate;
      const auto ref = rt.remote<wait_with>(how, gate.path(), folder / "log");
      CHECK(eventually([&] { return content(folder / "log") == "waiting;"; }));
      rt.cancel(ref, {.recursive = false});
      CHECK_THROWS_AS(rt.get(ref), Cancelled);
      CHECK_MESSAGE(eventually([&] { return content(folder / "log") == "waiting;cancelled;"; }), how << ": " << content(folder / "log"));
      gate.open();
    }
  }

  TEST_CASE("what a cancelled task has submitted is cancelled with it, unless told otherwise") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    const auto parent = rt.remote<wait_for_child>(folder / "parent", folder / "child");
    CHECK(eventually([&] { return content(folder / "child") == "running;"; }));
    rt.cancel(parent);
    CHECK_THROWS_AS(rt.get(parent), Cancelled);
    CHECK(eventually([&] { return content(folder / "child") == "running;told;"; }));
    CHECK(eventually([&] { return content(folder / "parent") == "waiting;cancelled;"; }));
  }

  TEST_CASE("force ends a process of its own at once; elsewhere it is refused with the reason") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    const auto spinning = rt.task<spin_for_ever>({.max_retries = 5, .isolation = own_process}).remote(folder / "pid");
    const int pid = number_in(folder / "pid");
    rt.cancel(spinning, {.force = true});
    CHECK_THROWS_AS(rt.get(spinning, 20s), Cancelled);
    CHECK(eventually([&] { return !alive(pid); }));
    Gate gate;
    const auto shared = rt.remote<pass>(gate.path(), 1);
    CHECK(contains(error_of<InvalidArgument>([&] { rt.cancel(shared, {.force = true}); }).message, "own_process"));
    auto actor = rt.actor<Slow>().spawn((folder / "actor").string());
    const auto call = actor.call<&Slow::quick>(1);
    CHECK(contains(error_of<InvalidArgument>([&] { rt.cancel(call, {.force = true}); }).message, "kill()"));
    CHECK_THROWS_AS(rt.cancel(rt.put(1)), InvalidArgument);
    CHECK_THROWS_AS(rt.cancel(ObjectRef<int>{}), InvalidArgument);
    gate.open();
    CHECK(rt.get(shared) == 1);
    CHECK(rt.get(call) == 1);
  }

  // The first cancel settles the ref: a second one, by force, was then taken for one of what is done.
  TEST_CASE("force ends what does not heed a cancel without it") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    const auto spinning = rt.task<spin_for_ever>({.isolation = own_process}).remote(folder / "pid");
    const int pid = number_in(folder / "pid");
    rt.cancel(spinning);
    CHECK_THROWS_AS(rt.get(spinning, 20s), Cancelled);
    CHECK(alive(pid));
    rt.cancel(spinning, {.force = true});
    CHECK(eventually([&] { return !alive(pid); }, 20s));
    CHECK(eventually([&] { return rt.available_resources() == rt.total_resources(); }));
    rt.cancel(spinning, {.force = true});
    CHECK_THROWS_AS(rt.get(spinning), Cancelled);
  }

  TEST_CASE("children that a first cancel left alone are cancelled by a second one") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    const auto parent = rt.remote<stay_with_child>(folder / "parent", folder / "child", folder / "end");
    CHECK(eventually([&] { return content(folder / "child") == "running;"; }));
    rt.cancel(parent, {.recursive = false});
    CHECK(eventually([&] { return content(folder / "parent") == "told;"; }));
    CHECK(content(folder / "child") == "running;");
    rt.cancel(parent);
    CHECK(eventually([&] { return content(folder / "child") == "running;told;"; }));
    append(folder / "end", "now");
    CHECK(eventually([&] { return rt.available_resources() == rt.total_resources(); }));  // before the folder goes, with what it says
  }

  TEST_CASE("a cancelled task is not retried, and cancel of what is done changes nothing") {
    Machine machine;
    auto& rt = machine.rt;
    const auto done = rt.remote<add>(1, 2);
    CHECK(rt.get(done) == 3);
    rt.cancel(done);
    CHECK(rt.get(done) == 3);
    Folder folder;
    const auto spinning = rt.task<spin_for_ever>({.max_retries = -1, .isolation = own_process}).remote(folder / "pid");
    const int pid = number_in(folder / "pid");
    rt.cancel(spinning);
    ::kill(pid, SIGKILL);
    CHECK_THROWS_AS(rt.get(spinning), Cancelled);
    CHECK(eventually([&] { return rt.available_resources() == rt.total_resources(); }));
    CHECK(content(folder / "pid") == std::to_string(pid) + ";");
  }

  TEST_CASE("of an actor's calls the queued ones never start, the running one is told, the others go on") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    auto actor = rt.actor<Slow>().spawn((folder / "log").string());
    const auto running = actor.call<&Slow::work>(1);
    const auto queued = actor.call<&Slow::quick>(2);
    const auto last = actor.call<&Slow::quick>(3);
    CHECK(eventually([&] { return content(folder / "log") == "running1;"; }));
    rt.cancel(queued);
    CHECK_THROWS_AS(rt.get(queued), Cancelled);
    rt.cancel(running);
    const auto message = error_of<Cancelled>([&] { rt.get(running); }).message;
    CHECK_MESSAGE(contains(message, "asked to stop"), message);  // it said that it had not begun
    CHECK(rt.get(last) == 3);
    CHECK(content(folder / "log") == "running1;told;quick3;");
  }

  TEST_CASE("a call that waits for its arguments is cancelled before it began, and says so") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    Gate gate;
    auto actor = rt.actor<Slow>().spawn((folder / "log").string());
    const auto late = rt.remote<pass>(gate.path(), 1);
    const auto call = actor.call<&Slow::quick>(late);
    rt.cancel(call);
    const auto message = error_of<Cancelled>([&] { rt.get(call); }).message;
    CHECK_MESSAGE(contains(message, "before it began"), message);
    gate.open();
    CHECK(rt.get(late) == 1);
    CHECK(rt.get(actor.call<&Slow::quick>(2)) == 2);
    CHECK(content(folder / "log") == "quick2;");
  }

  // Only the tasks that it submitted were refused, or cancelled with it.
  TEST_CASE("a task that is cancelled with its children makes no more calls and actors") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    auto log = rt.actor<Log>().spawn();
    const std::string calls = folder / "calls", first = folder / "first", second = folder / "second";
    const auto submits = rt.remote<submit_when_cancelled>(log, calls, first);
    const auto loops = rt.remote<call_for_ever>(log, calls, second);
    CHECK(eventually([&] { return content(first) == "running;" && content(second) == "running;" && !content(calls).empty(); }));
    rt.cancel(submits);
    rt.cancel(loops);
    CHECK(eventually([&] { return content(first) == "running;no call;no actor;done;"; }, 20s));
    CHECK(eventually([&] { return content(second) == "running;cancelled;"; }, 20s));
    CHECK(rt.get(log.call<&Log::add>(folder / "after"), 20s) == 1);
  }

  TEST_CASE("a task that is cancelled still closes the stream of an actor that it has opened") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    auto source = rt.actor<Source>().spawn();
    const std::string file = folder / "log";
    const auto reads = rt.remote<read_until_cancelled>(source, file);
    CHECK(eventually([&] { return contains(content(file), "running;"); }));
    rt.cancel(reads);
    CHECK(eventually([&] { return content(file) == "running;closed;"; }, 20s));
  }

  TEST_CASE("a hundred tasks of a thousand are cancelled, the others give their values") {
    Machine machine;
    auto& rt = machine.rt;
    std::vector<ObjectRef<int>> refs;
    for (int i = 0; i < 1000; ++i) refs.push_back(rt.remote<add>(i, i));
    for (std::size_t i = 0; i < refs.size(); i += 10) rt.cancel(refs[i]);
    for (std::size_t i = 0; i < refs.size(); ++i) {
      const auto value = rt.try_get(refs[i], 20s);
      const int expected = 2 * static_cast<int>(i);
      if (value)
        REQUIRE(*value == expected);
      else
        REQUIRE((i % 10 == 0 && value.error().code == ErrorCode::kCancelled));
    }
  }

  TEST_CASE("a deadline settles the ref at once: of queued work, of running work, of what waits for its arguments") {
    Machine machine(small_machine(1));
    auto& rt = machine.rt;
    Folder folder;
    CHECK(rt.get(rt.remote<add>(1, 1), 60s) == 2);  // its worker is there now: it runs well before its deadline
    const auto running = rt.task<until_cancelled>({.deadline = 2s}).remote(folder / "log");
    CHECK(eventually([&] { return contains(content(folder / "log"), "running;"); }));
    const auto queued = rt.task<note>({.deadline = 1ms}).remote(folder / "ran", 1);
    const auto waiting = rt.task<add>({.deadline = 1ms}).remote(running, 1);
    CHECK(contains(error_of<Timeout>([&] { rt.get(queued, 20s); }).message, "deadline of 1 ms"));
    CHECK_THROWS_AS(rt.get(waiting, 20s), Timeout);
    const auto error = error_of<Timeout>([&] { rt.get(running, 20s); });
    CHECK(contains(error.message, "was running"));
    CHECK(contains(error.where, "until_cancelled"));
    CHECK(eventually([&] { return contains(content(folder / "log"), "told;"); }));
    CHECK(rt.get(rt.task<add>({.deadline = 20s}).remote(1, 2)) == 3);
    CHECK(content(folder / "ran").empty());
    CHECK_THROWS_AS(rt.task<add>({.deadline = -1s}).remote(1, 2), InvalidArgument);
  }
}

}  // namespace manta_test
