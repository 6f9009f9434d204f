// Worker processes that die.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "support.hpp"

namespace manta_test {
namespace {

/// Dies in its first attempts, then says in which one it lived.
int survive(Context& ctx, int deaths) {
  if (ctx.attempt() <= deaths) ::kill(::getpid(), SIGKILL);
  return ctx.attempt();
}
int raise_signal(int signal) { return std::signal(signal, SIG_DFL), ::raise(signal); }
int call_abort() { std::abort(); }
int call_exit(int code) { std::exit(code); }
int pid_of(int) { return ::getpid(); }
int square(int x) { return x * x; }
int square_unless(int x, int deadly) { return x == deadly ? ::raise(SIGKILL) : x * x; }
std::string environment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value ? value : "unset";
}
int talk(const std::string& text) {
  std::printf("out %s\n", text.c_str());
  std::fprintf(stderr, "err %s\n", text.c_str());
  return 1;
}
int say_behind(const std::string& gate) {
  pass(gate, 0);
  return talk("behind");
}
struct Talker {
  int say(const std::string& text) { return talk(text); }
};
int leave_grandchild() {
  const int child = ::fork();
  if (child == 0)
    for (;;) ::pause();
  return child;
}
int slow_square(int x) {
  std::this_thread::sleep_for(2ms);
  return x * x;
}
int nested_square(Context& ctx, int x) { return ctx.get(ctx.task<square>({.max_retries = -1}).remote(x)); }

struct Counter {
  int total = 0;
  int add(int by) { return total += by; }
  int pid() const { return ::getpid(); }
  int attempt(Context& ctx) const { return ctx.attempt(); }
  int die_once(Context& ctx) {
    if (ctx.attempt() == 1) ::raise(SIGKILL);
    return ++total;
  }
};

}  // namespace

TEST_SUITE("runtime/api/crashes") {
  TEST_CASE("a task with a process of its own runs elsewhere, with its own environment") {
    Machine machine;
    auto& rt = machine.rt;
    CHECK(rt.get(rt.task<pid_of>({.isolation = own_process}).remote(0)) != ::getpid());
    CHECK(rt.get(rt.task<environment>({.isolation = own_process, .env = {{"COLOUR", "red = 1\n"}}}).remote("COLOUR")) == "red = 1\n");
    CHECK(rt.get(rt.task<environment>({.isolation = own_process}).remote("COLOUR")) == "unset");
    CHECK(rt.get(rt.task<environment>({.num_cpus = 3, .isolation = own_process}).remote("OMP_NUM_THREADS")) == "3");
    const auto a = rt.get(rt.task<pid_of>({.isolation = own_process}).remote(0));
    CHECK(a != rt.get(rt.task<pid_of>({.isolation = own_process}).remote(0)));
  }

  TEST_CASE("a task whose process is killed runs again, and says WorkerCrashed when its retries are used up") {
    Machine machine;
    auto& rt = machine.rt;
    CHECK(rt.get(rt.task<survive>({.max_retries = 3, .isolation = own_process}).remote(2)) == 3);
    auto error = error_of<WorkerCrashed>(
        [&] { rt.get(rt.task<survive>({.name = "doomed", .max_retries = 1, .isolation = own_process}).remote(9)); });
    CHECK(contains(error.message, "signal 9"));
    CHECK(contains(error.message, "2 attempts"));
    CHECK(contains(error.where, "doomed"));
    CHECK_THROWS_AS(rt.get(rt.task<survive>({.max_retries = 0, .isolation = own_process}).remote(1)), WorkerCrashed);
  }

  TEST_CASE("abort, exit and a fault are named") {
    Machine machine;
    auto& rt = machine.rt;
    auto once = TaskOptions{.max_retries = 0, .isolation = own_process, .echo_output = false};
    CHECK(contains(error_of<WorkerCrashed>([&] { rt.get(rt.task<call_abort>(once).remote()); }).message, "signal 6"));
    CHECK(contains(error_of<WorkerCrashed>([&] { rt.get(rt.task<raise_signal>(once).remote(SIGSEGV)); }).message, "signal 11"));
    const auto exited = error_of<WorkerCrashed>([&] { rt.get(rt.task<call_exit>(once).remote(3)); });
    CHECK_MESSAGE(contains(exited.message, "3"), exited.message);
    CHECK_MESSAGE(contains(exited.message, "in its only attempt"), exited.message);
  }

  TEST_CASE("an actor is restarted as often as it may be, then it is gone") {
    Machine machine;
    auto& rt = machine.rt;
    auto counter = rt.actor<Counter>({.name = "fragile", .max_restarts = 1, .isolation = own_process}).spawn();
    CHECK(rt.get(counter.call<&Counter::add>(5)) == 5);
    const int first = rt.get(counter.call<&Counter::pid>());
    ::kill(first, SIGKILL);
    int second = first;
    CHECK(eventually([&] {
      auto pid = rt.try_get(counter.call<&Counter::pid>());
      return pid.ok() && (second = *pid) != first;
    }));
    CHECK(rt.get(counter.call<&Counter::add>(1)) == 1);
    ::kill(second, SIGKILL);
    CHECK(eventually([&] {
      auto result = rt.try_get(counter.call<&Counter::pid>());
      return !result.ok() && result.error().code == ErrorCode::kActorDied && contains(result.error().to_string(), "signal 9");
    }));
    CHECK_THROWS_AS(rt.get(counter.call<&Counter::add>(1)), ActorDied);
  }

  TEST_CASE("a call in flight is unavailable, or runs again where that is allowed") {
    Machine machine;
    auto& rt = machine.rt;
    auto careful = rt.actor<Counter>({.max_restarts = 2, .isolation = own_process}).spawn();
    CHECK_THROWS_AS(rt.get(careful.call<&Counter::die_once>()), ActorUnavailable);
    auto bold = rt.actor<Counter>({.max_restarts = 2, .max_task_retries = 1, .isolation = own_process}).spawn();
    auto first = bold.call<&Counter::die_once>();
    auto second = bold.call<&Counter::add>(10);
    CHECK(rt.get(first) == 1);
    CHECK(rt.get(second) == 11);
  }

  TEST_CASE("kill ends the process of an actor at once, with what it started") {
    Machine machine;
    auto& rt = machine.rt;
    auto counter = rt.actor<Counter>({.num_cpus = 1, .max_restarts = 5, .isolation = own_process}).spawn();
    const int pid = rt.get(counter.call<&Counter::pid>());
    counter.kill();
    CHECK(eventually([&] { return !alive(pid); }));
    CHECK_THROWS_AS(rt.get(counter.call<&Counter::pid>()), ActorDied);
    const int grandchild = rt.get(rt.task<leave_grandchild>({.isolation = own_process}).remote());
    CHECK(eventually([&] { return !alive(grandchild); }));
  }

  TEST_CASE("output goes to the file, whole, also of a process that dies") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    const auto file = folder / "logs/task.log";
    rt.get(rt.task<talk>({.isolation = own_process, .log_file = file, .echo_output = false}).remote("here"));
    CHECK(eventually([&] { return contains(content(file), "out here\n") && contains(content(file), "err here\n"); }));
  }

  TEST_CASE("a log file's name is that of where its task was submitted") {
    Folder here, elsewhere;
    const auto before = fs::current_path();
    Machine machine;
    auto& rt = machine.rt;
    Gate gate;
    fs::current_path(here.path);
    auto task = rt.task<say_behind>({.isolation = own_process, .log_file = "task.log", .echo_output = false}).remote(gate.path());
    auto actor = rt.actor<Talker>({.isolation = own_process, .log_file = "actor.log", .echo_output = false}).spawn();
    fs::current_path(elsewhere.path);
    gate.open();
    CHECK(rt.get(task, 30s) == 1);
    CHECK(rt.get(actor.call<&Talker::say>("x"), 30s) == 1);
    CHECK(eventually([&] { return contains(content(here / "task.log"), "out behind\n") && contains(content(here / "actor.log"), "out x\n"); }));
    fs::current_path(before);
  }

  // It was taken for a path: an absolute one, or one with "..", was written outside the folder.
  TEST_CASE("a file of the folder for logs is in that folder, whatever its task or actor is called") {
    Folder folder;
    const auto logs = folder / "all/logs";
    auto options = small_machine();
    options.log_dir = logs;
    Machine machine(options);
    auto& rt = machine.rt;
    const std::string long_name(300, 'n');
    std::map<std::string, std::string> said;  // by the name in the file's name
    const auto absolute = (folder / "absolute").string(), with_nul = std::string("nul\0led", 7);
    rt.get(rt.task<talk>({.name = absolute, .isolation = own_process, .echo_output = false}).remote("word0"));
    for (const auto& name : {absolute, std::string("../outside"), std::string("in/folders"), with_nul, long_name}) {
      const auto word = "word" + std::to_string(said.size());
      if (!said.empty()) {
        auto talker = rt.actor<Talker>({.label = name, .isolation = own_process, .echo_output = false}).spawn();
        rt.get(talker.call<&Talker::say>(word));
      }
      auto flat = name.substr(0, 200);
      for (char& each : flat)
        if (each == '/' || each == '\0') each = '_';
      said[flat] = word;
    }
    const auto in_file = [&](const std::string& name, const std::string& word) {
      for (const auto& each : fs::directory_iterator(logs))
        if (each.path().filename().string().rfind(name + "-", 0) == 0 && contains(content(each.path()), "out " + word + "\n")) return true;
      return false;
    };
    for (const auto& [name, word] : said)
      CHECK_MESSAGE(eventually([&] { return fs::exists(logs) && in_file(name, word); }), name);
    for (const auto& each : fs::recursive_directory_iterator(logs)) CHECK(each.is_regular_file());
    CHECK(count_entries(folder.path) == 1);
    CHECK(count_entries(folder / "all") == 1);
  }

  TEST_CASE("one deadly task among many fails alone") {
    if (!in_processes()) return;
    Machine machine(small_machine(2));
    auto& rt = machine.rt;
    std::vector<ObjectRef<int>> warm;
    for (int i = 0; i < 200; ++i) warm.push_back(rt.remote<square_unless>(i, -1));  // so that they travel in batches
    rt.get(warm);
    std::vector<ObjectRef<int>> refs;
    for (int i = 0; i < 300; ++i) refs.push_back(rt.remote<square_unless>(i, 100));
    for (int i = 0; i < 300; ++i) {
      auto result = rt.try_get(refs[static_cast<std::size_t>(i)], SteadyClock::now() + 120s);
      if (i == 100)
        CHECK((!result.ok() && result.error().code == ErrorCode::kWorkerCrashed));
      else
        CHECK_MESSAGE((result.ok() && *result == i * i), "task " << i << ": " << (result.ok() ? "" : result.error().to_string()));
    }
  }

  TEST_CASE("tasks, nested ones too, survive a killer that never rests") {
    Machine machine;
    auto& rt = machine.rt;
    std::jthread killer([](const std::stop_token& over) {
      std::mt19937 random(7);
      while (!over.stop_requested()) {
        std::vector<int> workers;
        for (int zygote : children())
          for (const auto& task : fs::directory_iterator("/proc/" + std::to_string(zygote) + "/task")) {
            std::istringstream pids(content(task.path() / "children"));
            for (int pid; pids >> pid;) workers.push_back(pid);
          }
        if (!workers.empty()) ::kill(workers[random() % workers.size()], SIGKILL);
        std::this_thread::sleep_for(100ms);
      }
    });
    const auto end = SteadyClock::now() + 3s;
    int rounds = 0;
    while (SteadyClock::now() < end) {
      std::vector<ObjectRef<int>> refs;
      for (int i = 0; i < 40; ++i) {
        refs.push_back(rt.task<slow_square>({.max_retries = -1}).remote(i));
        refs.push_back(rt.task<nested_square>({.max_retries = -1}).remote(i));
      }
      for (int i = 0; i < 3; ++i) {
        refs.push_back(rt.task<slow_square>({.max_retries = -1, .isolation = own_process}).remote(40 + i));
        refs.push_back(rt.task<square>({.max_retries = -1, .isolation = own_process}).remote(40 + i));
      }
      for (std::size_t i = 0; i < refs.size(); ++i) {
        const auto result = rt.try_get(refs[i], SteadyClock::now() + 120s);
        const int x = static_cast<int>(i / 2);
        REQUIRE_MESSAGE(result.ok(), result.error().to_string());
        REQUIRE(*result == x * x);
      }
      ++rounds;
    }
    CHECK(rounds > 0);
  }
}

}  // namespace manta_test
