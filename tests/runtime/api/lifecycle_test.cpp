#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <iostream>

#include "support.hpp"

namespace manta_test {

int run_hold_durable(const std::string& dir);
int run_put_durables(const std::string& dir);
int run_hold_files(const std::string& dir);
int run_left_behind(const std::vector<std::string>& args);

namespace {

int square(int x) { return x * x; }
int pid_at(const std::string& file) { return append(file, std::to_string(::getpid()) + "\n"), ::getpid(); }
int pid_then_sleep(const std::string& file) {
  pid_at(file);
  std::this_thread::sleep_for(60s);
  return 0;
}
int sleep_long(Context&) {
  std::this_thread::sleep_for(60s);
  return 1;
}
int until_cancelled(Context& ctx) {
  while (!ctx.cancelled()) std::this_thread::sleep_for(1ms);
  return 7;
}
/// In a fork: lets go of all that it has of the runtime's, and of the runtime, as at the end of main; how it ended, -1 when it hangs.
template <class LetGo>
int unwind_in_fork(Runtime& rt, const LetGo& let_go) {
  const int child = ::fork();
  if (child == 0) {
    let_go();
    rt.shutdown();
    std::destroy_at(&rt);
    ::_exit(7);
  }
  int status = -1;
  if (!eventually([&] { return ::waitpid(child, &status, WNOHANG) == child; }, 20s)) {
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    return -1;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

struct Counter {
  int count = 0;
  int add() { return ++count; }
};


int say_and_wait(Context& ctx, const std::string& log) {
  append(log, "runs;");
  return until_cancelled(ctx);
}
/// It takes a while from when it is told to its end.
int end_slowly(Context& ctx, const std::string& log) {
  const int value = say_and_wait(ctx, log);
  std::this_thread::sleep_for(200ms);
  return value;
}
/// The innermost of `depth` tasks writes a note when it is told; a wait in it is no reason to leave that out.
int save_at_end(Context& ctx, const std::string& log, int depth, Isolation isolation) {
  if (depth > 0) return ctx.get(ctx.task<save_at_end>({.isolation = isolation}).remote(log, depth - 1, isolation));
  const auto note = ctx.put(std::string("task saved;"));
  append(log, "task runs;");
  until_cancelled(ctx);
  append(log, ctx.get(note));
  return 0;
}
/// The innermost of `depth` tasks waits for one that never begins.
int wait_in_vain(Context& ctx, const std::string& log, int depth) {
  if (depth > 0) return ctx.get(ctx.remote<wait_in_vain>(log, depth - 1));
  const auto never = ctx.task<square>({.num_cpus = 99, .wait_if_infeasible = true}).remote(2);
  append(log, "runs;");
  return ctx.get(never);
}
Async<int> await_in_vain(Context& ctx, std::string log) {
  auto never = ctx.task<square>({.num_cpus = 99, .wait_if_infeasible = true}).remote(2);
  append(log, "runs;");
  co_return co_await never;
}
struct Saver {
  int save(Context& ctx, const std::string& log) {
    append(log, "method runs;");
    until_cancelled(ctx);
    append(log, "method saved;");
    return 0;
  }
};
struct Sleeper {
  int sleep() { return std::this_thread::sleep_for(60s), 0; }
  int one() { return 1; }
};

/// Owns what it makes, as long as its process lives.
struct Maker {
  std::vector<ObjectRef<int>> made;
  std::vector<ObjectRef<int>> make(Context& ctx) {
    made = {ctx.put(5), ctx.task<square>({.num_cpus = 99, .wait_if_infeasible = true}).remote(2)};
    return made;
  }
};

/// A driver that is going to be killed, with a worker of each kind.
int busy_driver(const std::string& file) {
  auto rt = Runtime::start(small_machine());
  auto own = rt.task<pid_then_sleep>({.isolation = own_process}).remote(file);
  auto actor = rt.actor<Sleeper>({.isolation = own_process}).spawn();
  rt.get(actor.call<&Sleeper::one>());
  if (in_processes()) rt.remote<pid_then_sleep>(file);
  const auto expected = in_processes() ? 2 : 1;
  eventually([&] { const auto text = content(file); return std::count(text.begin(), text.end(), '\n') == expected; }, 30s);
  std::cout << "busy" << std::endl;
  std::this_thread::sleep_for(60s);
  return 0;
}

bool refuses_calls(const ActorHandle<Sleeper>& actor) {
  try {
    actor.call<&Sleeper::one>();
  } catch (const RuntimeStopped&) {
    return true;
  }
  return false;
}

/// Ends while a task sleeps: 0 when that was quick, and the end was the end for its actors too.
int hasty_driver() {
  auto options = small_machine();
  options.shutdown_timeout = 100ms;
  ObjectRef<int> ref;
  ActorHandle<Sleeper> shared, own;
  SteadyClock::time_point begin;
  {
    auto rt = Runtime::start(options);
    shared = rt.actor<Sleeper>().spawn();
    own = rt.actor<Sleeper>({.isolation = own_process}).spawn();
    rt.get(shared.call<&Sleeper::one>()), rt.get(own.call<&Sleeper::one>());
    ref = rt.remote<sleep_long>();
    eventually([&] { return rt.available_resources() != rt.total_resources(); });
    begin = SteadyClock::now();
  }
  const bool quick = SteadyClock::now() - begin < 10s;  // the task sleeps a minute
  if (!refuses_calls(shared) || !refuses_calls(own)) return 2;
  return quick && ref.failed() ? 0 : 1;
}

/// Ends while a callback of on_ready runs that does not return, or ends by a callback: 0 when the end was bounded.
int called_back_driver(bool by_callback) {
  auto options = small_machine();
  options.shutdown_timeout = 100ms;
  auto rt = std::make_unique<Runtime>(Runtime::start(options));
  std::atomic<int> stage{0};
  rt->on_ready(rt->remote<square>(2), [&](const auto&) {
    stage = 1;
    if (by_callback)
      rt.reset();
    else
      std::this_thread::sleep_for(60s);
    stage = 2;
  });
  if (!eventually([&] { return stage == (by_callback ? 2 : 1); }, 30s)) return 2;
  const auto begin = SteadyClock::now();
  rt.reset();
  return SteadyClock::now() - begin < 20s ? 0 : 1;
}

RuntimeOptions parsed(std::vector<std::string> words, std::vector<std::string>* left = nullptr) {
  std::vector<char*> argv;
  words.insert(words.begin(), "program");
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  int argc = static_cast<int>(words.size());
  auto options = Runtime::parse(argc, argv.data());
  if (left) left->assign(argv.begin() + 1, argv.begin() + argc);
  return options;
}

int fail_when_told(Context& ctx, const std::string& log) {
  append(log, "runs;");
  while (!ctx.cancelled()) std::this_thread::sleep_for(1ms);
  throw std::runtime_error("told");
}

}  // namespace

int run_explained(const std::string& wait);  // explain_test.cpp
int run_unseen();     // unseen_test.cpp
int slow_destructor_driver(bool of_actor);  // slow_destructors_test.cpp
int run_without_streams();  // fault_40_test.cpp
int run_slow_terminal(const std::string& file);  // the same
int run_few_descriptors();  // the same
int run_closed_streams();  // the same
int run_small_files();  // the same
int run_spilling(const std::vector<std::string>& args);     // spill_left_test.cpp
int run_interrupted(const std::vector<std::string>& args);  // fault_05_test.cpp

int run_sub_program(const std::string& name, const std::vector<std::string>& args) {
  if (name == "hold-durable") return run_hold_durable(args.at(0));
  if (name == "hold-files") return run_hold_files(args.at(0));
  if (name == "put-durables") return run_put_durables(args.at(0));
  if (name == "busy") return busy_driver(args.at(0));
  if (name == "hasty") return hasty_driver();
  if (name == "spilling") return run_spilling(args);
  if (name == "slow-destructor") return slow_destructor_driver(!args.empty() && args[0] == "actor");
  if (name == "called-back") return called_back_driver(args.at(0) == "by-callback");
  if (name == "explained") return run_explained(args.at(0));
  if (name == "unseen") return run_unseen();
  if (name == "without-streams") return run_without_streams();
  if (name == "small-files") return run_small_files();
  if (name == "closed-streams") return run_closed_streams();
  if (name == "few-descriptors") return run_few_descriptors();
  if (name == "slow-terminal") return run_slow_terminal(args.at(0));
  if (name == "interrupted") return run_interrupted(args);
  if (name == "left-behind") return run_left_behind(args);
  return 99;
}

TEST_SUITE("runtime/api/lifecycle") {
  // It stopped the driver's zygote and workers over the sockets that it had of them, and waited for threads that it had not.
  TEST_CASE("a fork of the driver that ends as main does leaves the driver's workers, actors and objects as they are") {
    Machine machine;
    auto& rt = machine.rt;
    auto own = rt.actor<Counter>({.isolation = own_process}).spawn();
    auto shared = rt.actor<Counter>().spawn();
    auto object = rt.put(std::string(2 << 20, 'x'));
    auto result = rt.remote<square>(3);
    auto whole = rt.get_shared(object);
    CHECK(rt.get(own.call<&Counter::add>()) + rt.get(shared.call<&Counter::add>()) + rt.get(result) == 11);
    for (int i = 0; i < 2; ++i) CHECK(unwind_in_fork(rt, [&] { own = {}, shared = {}, object = {}, result = {}, whole = {}; }) == 7);
    CHECK(rt.get(own.call<&Counter::add>(), 30s) == 2);
    CHECK(rt.get(shared.call<&Counter::add>(), 30s) == 2);
    CHECK(whole->size() == 2u << 20);
    CHECK(rt.get(object) == std::string(2 << 20, 'x'));
    CHECK(rt.get(rt.remote<square>(4), 30s) == 16);
  }

  TEST_CASE("what is queued at the end fails with RuntimeStopped, what runs is told and may end") {
    Folder folder;
    ObjectRef<int> running, queued, called;
    ActorHandle<Sleeper> actor;
    {
      auto rt = Runtime::start(small_machine(1));
      running = rt.remote<say_and_wait>(folder / "log");
      CHECK(eventually([&] { return content(folder / "log") == "runs;"; }));
      actor = rt.actor<Sleeper>({.num_cpus = 1}).spawn();
      queued = rt.task<square>({.num_cpus = 1}).remote(2);
      called = actor.call<&Sleeper::one>();
      const auto begin = SteadyClock::now();
      rt.shutdown();
      CHECK(SteadyClock::now() - begin < 4s);  // else it was not told, and left behind after 5
      CHECK(rt.get(running) == 7);
      rt.shutdown();
      CHECK_THROWS_AS(rt.remote<square>(1), RuntimeStopped);
      CHECK_THROWS_AS(rt.actor<Sleeper>().spawn(), RuntimeStopped);
      CHECK_THROWS_AS(rt.put(1, {.durable_name = "x"}), RuntimeStopped);
      CHECK_THROWS_AS(rt.get(queued), RuntimeStopped);
    }
    CHECK(queued.failed());
    CHECK(called.ready());
    CHECK(running.ready());
    CHECK_THROWS_AS(actor.call<&Sleeper::one>(), RuntimeStopped);
  }

  TEST_CASE("what fails as it is told of the end is not tried again") {
    // Behaviour: it began anew, heard of the end again, and so on up to the shutdown_timeout.
    Folder folder;
    for (const auto pause : {0s, 30s}) {
      const std::string log = folder / std::to_string(pause.count());
      auto options = small_machine();
      options.shutdown_timeout = 60s;
      auto rt = Runtime::start(options);
      const auto running = rt.task<fail_when_told>({.max_retries = -1, .retry_on = retry_on_all, .backoff = {.initial = pause}}).remote(log);
      CHECK(eventually([&] { return content(log) == "runs;"; }));
      const auto begin = SteadyClock::now();
      rt.shutdown();
      CHECK(SteadyClock::now() - begin < 20s);
      CHECK(content(log) == "runs;");
      CHECK(running.failed());
    }
  }

  // It was the TaskError of a task that had failed, whose cause it was.
  TEST_CASE("what waits at the end for what never begins fails with RuntimeStopped, as does who waits for it") {
    Folder folder;
    auto rt = Runtime::start(small_machine());
    const auto nested = rt.remote<wait_in_vain>(folder / "nested", 2);
    const auto awaits = rt.remote<await_in_vain>(folder / "awaits");
    CHECK(eventually([&] { return content(folder / "nested") == "runs;" && content(folder / "awaits") == "runs;"; }));
    rt.shutdown();
    CHECK_THROWS_AS(rt.get(nested), RuntimeStopped);
    CHECK_THROWS_AS(rt.get(awaits), RuntimeStopped);
    CHECK(contains(error_of<RuntimeStopped>([&] { rt.get(nested); }).where, "wait_in_vain"));
  }

  // The end of it was added to the clock, which overflowed: what ran was abandoned at once.
  TEST_CASE("a shutdown_timeout beyond all time is no limit") {
    Folder folder;
    auto options = small_machine();
    options.shutdown_timeout = std::chrono::milliseconds::max();
    ObjectRef<int> running;
    {
      auto rt = Runtime::start(options);
      running = rt.remote<end_slowly>(folder / "log");
      CHECK(eventually([&] { return content(folder / "log") == "runs;"; }));
      rt.shutdown();
      CHECK(rt.get(running) == 7);
    }
  }

  // Only what ran on threads of the driver's process was told: the others' processes were ended after the time for it, an actor's at once.
  TEST_CASE("what runs anywhere when the runtime ends is told, and saves what it has") {
    struct Case {
      Isolation isolation;
      std::string name;
      int depth;  // of tasks that wait for the next one; the last one waits for the end
    };
    for (const auto& [isolation, name, depth] : {Case{Isolation::kShared, "shared", 0}, Case{Isolation::kOwnProcess, "own process", 0},
                                                 Case{Isolation::kShared, "shared, nested", 1}, Case{Isolation::kOwnProcess, "own process, nested", 2}}) {
      Folder folder;
      const std::string log = folder / "log";
      SteadyClock::time_point begin;
      {
        auto rt = Runtime::start(small_machine());
        auto saving = rt.task<save_at_end>({.isolation = isolation}).remote(log, depth, isolation);
        auto actor = rt.actor<Saver>({.isolation = isolation}).spawn();
        auto call = actor.call<&Saver::save>(log);
        CHECK(eventually([&] { return contains(content(log), "task runs;") && contains(content(log), "method runs;"); }));
        begin = SteadyClock::now();
      }
      CHECK_MESSAGE(SteadyClock::now() - begin < 4s, name);
      CHECK_MESSAGE(contains(content(log), "task saved;"), name << ": " << content(log));
      CHECK_MESSAGE(contains(content(log), "method saved;"), name << ": " << content(log));
    }
  }

  // Of an actor whose owner was kept, as code was left behind or a message was under way, a call gave a ref.
  TEST_CASE("a call after the end is refused, whatever the actor's isolation, and however it was made") {
    for (const auto isolation : {Isolation::kShared, Isolation::kOwnProcess}) {
      ActorHandle<Sleeper> actor;
      std::vector<ObjectRef<int>> calls;
      {
        auto rt = Runtime::start(small_machine());
        actor = rt.actor<Sleeper>({.isolation = isolation}).spawn();
        for (int i = 0; i < 50; ++i) calls.push_back(actor.call<&Sleeper::one>());
        rt.shutdown();
        CHECK(refuses_calls(actor));
        CHECK_THROWS_AS(actor.options({.deadline = 1s}).call<&Sleeper::one>(), RuntimeStopped);
      }
      CHECK(refuses_calls(actor));
      for (const auto& call : calls) CHECK(call.ready());
    }
  }

  TEST_CASE("the end is bounded when a task sleeps long") {
    SubProgram hasty("hasty", {});
    CHECK(hasty.wait() == 0);
  }

  // They said OwnerDied, as if a crash had taken them.
  TEST_CASE("refs to what worker processes own say RuntimeStopped after the end, looked at before or not") {
    auto options = small_machine();
    options.shutdown_timeout = 1s;
    auto rt = Runtime::start(options);
    auto maker = rt.actor<Maker>({.isolation = own_process}).spawn();
    const auto refs = rt.get(maker.call<&Maker::make>(), 60s);
    REQUIRE(refs.size() == 2);
    CHECK_THROWS_AS(rt.get(refs[1], 1ms), Timeout);  // asked for, and not answered
    rt.shutdown();
    CHECK_THROWS_AS(rt.get(refs[1], 20s), RuntimeStopped);
    CHECK_THROWS_AS(rt.get(refs[0], 20s), RuntimeStopped);
  }

  // The end waited for the callbacks without a limit, and one that ended the runtime joined itself: the program was terminated.
  TEST_CASE("the end is bounded when a callback does not return, and when it is a callback that ends the runtime") {
    for (const char* which : {"never-returns", "by-callback"}) {
      CAPTURE(which);
      SubProgram driver("called-back", {which});
      CHECK(driver.wait() == 0);
    }
  }

  TEST_CASE("shutdown in a callback is refused, and all goes on") {
    Machine machine;
    auto& rt = machine.rt;
    std::atomic<int> refused{0};
    rt.on_ready(rt.remote<square>(2), [&](const auto&) {
      const auto error = error_of<InvalidArgument>([&] { rt.shutdown(); });
      refused = contains(error.message, "callback of on_ready") ? 1 : 2;
    });
    CHECK(eventually([&] { return refused != 0; }));
    CHECK(refused == 1);
    CHECK(rt.get(rt.remote<square>(3)) == 9);
  }

  TEST_CASE("ten runtimes one after another leave nothing behind") {
    auto round = [] {
      auto rt = Runtime::start(small_machine());
      CHECK(rt.get(rt.remote<square>(4)) == 16);
      CHECK(rt.get(rt.task<square>({.isolation = own_process}).remote(5)) == 25);
      auto actor = rt.actor<Sleeper>({.isolation = own_process}).spawn();
      CHECK(rt.get(actor.call<&Sleeper::one>()) == 1);
      CHECK(&Runtime::current() == &rt);
    };
    round();
    const auto fds = count_entries("/proc/self/fd");
    const auto threads = count_entries("/proc/self/task");
    for (int i = 0; i < 10; ++i) round();
    CHECK(count_entries("/proc/self/fd") == fds);
    CHECK(count_entries("/proc/self/task") == threads);
    CHECK(children().empty());
    CHECK_THROWS_AS(Runtime::current(), InvalidArgument);
  }

  TEST_CASE("when the driver is killed all its workers go") {
    Folder folder;
    const std::string file = folder / "pids";
    SubProgram driver("busy", {file});
    REQUIRE(driver.read_line() == "busy");
    ::kill(driver.pid, SIGKILL);
    CHECK(WIFSIGNALED(driver.wait()));
    std::istringstream pids(content(file));
    int count = 0;
    for (int pid; pids >> pid; ++count) CHECK(eventually([&] { return !alive(pid); }, 30s));
    CHECK(count == (in_processes() ? 2 : 1));
    CHECK(eventually([] { return children().empty(); }, 30s));
  }

  TEST_CASE("flags are taken out of the command line, others stay") {
    std::vector<std::string> left;
    auto options = parsed({"a", "--workers=process", "--num-cpus", "2.5", "--x=1", "--num-gpus=2", "--memory-mib=3", "--resource=disk=1",
                           "--resource", "licence=0.5", "--arena-mib=7", "--spill-dir=s", "--file-fallback=off", "--", "--num-cpus=9"},
                          &left);
    CHECK(left == std::vector<std::string>{"a", "--x=1", "--", "--num-cpus=9"});
    CHECK(options.workers == Workers::kProcess);
    CHECK(options.num_cpus == Amount(2.5));
    CHECK(options.num_gpus == Amount(2));
    CHECK(options.memory_bytes == 3u << 20);
    CHECK(options.resources == Resources{{"disk", 1}, {"licence", 0.5}});
    CHECK(options.arena_bytes == 7u << 20);
    CHECK(options.spill_dir == "s");
    CHECK_FALSE(options.file_fallback);
    CHECK(RuntimeOptions().file_fallback);
  }

  // An arena beyond all memory was the default one, by a shift that left nothing.
  TEST_CASE("sizes by flags may be parts of a MiB, and those beyond all memory stay so") {
    constexpr auto kMost = std::numeric_limits<std::uint64_t>::max();
    CHECK(parsed({"--arena-mib=0.5"}).arena_bytes == 512u << 10);
    CHECK(parsed({"--memory-mib=0.5"}).memory_bytes == 512u << 10);
    for (const char* size : {"17592186044416", "17592186044417", "1e30", "1e308"}) {
      CAPTURE(size);
      CHECK(parsed({"--arena-mib=" + std::string(size)}).arena_bytes == kMost);
      CHECK(parsed({"--memory-mib=" + std::string(size)}).memory_bytes == kMost);
    }
    auto options = small_machine();
    options.arena_bytes = kMost;
    CHECK_THROWS_AS(Runtime::start(options), ResourceExhausted);
    options.arena_bytes = parsed({"--arena-mib=0"}).arena_bytes;
    CHECK(contains(error_of<InvalidArgument>([&] { Runtime::start(options); }).message, "--arena-mib"));
  }

  TEST_CASE("a flag with a bad value is named") {
    for (const char* word : {"--workers=threads", "--num-cpus=two", "--num-cpus=", "--num-cpus=1e999", "--num-cpus=nan", "--num-gpus=-1",
                             "--resource=disk", "--resource==1", "--resource=disk=", "--arena-mib=1x", "--file-fallback=yes", "--num-cpus"}) {
      const auto error = error_of<InvalidArgument>([&] { parsed({word}); });
      CHECK_MESSAGE(contains(error.message, std::string(word).substr(0, 9)), error.message);
    }
    auto bad = small_machine(-1);
    CHECK_THROWS_AS(Runtime::start(bad), InvalidArgument);
    bad = small_machine();
    bad.num_gpus = 0.5;
    CHECK_THROWS_AS(Runtime::start(bad), InvalidArgument);
    bad = small_machine();
    for (const char* name : {"CPU", "GPU", "memory"}) {
      bad.resources = {};
      bad.resources.set(name, 1);
      CHECK_THROWS_AS(Runtime::start(bad), InvalidArgument);
    }
  }
}

}  // namespace manta_test
