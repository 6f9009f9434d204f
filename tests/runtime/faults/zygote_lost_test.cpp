// The zygote, which makes the worker processes, is lost: its workers go with it, and another one makes new ones. The story: once
// it had been killed, every task that needed a new process failed until the program was started again.
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <sstream>

#include "../api/support.hpp"

namespace manta_test {
namespace {

int note_and_wait(const std::string& log, const std::string& gate, int value) {
  append(log, std::to_string(::getpid()) + ";");
  return pass(gate, value);
}
int process_id() { return ::getpid(); }
std::string surroundings() {
  const char* value = std::getenv("MANTA_TEST_SURROUNDINGS");
  return std::string(value ? value : "unset") + " " + fs::current_path().string();
}

class Counter {
 public:
  int add() { return ++count_; }
  int process() { return ::getpid(); }

 private:
  int count_ = 0;
};

int only_zygote() {
  const auto found = children();
  REQUIRE(found.size() == 1);
  return found.front();
}

std::vector<int> pids_in(const std::string& log) {
  std::vector<int> pids;
  std::istringstream text(content(log));
  for (std::string each; std::getline(text, each, ';');) pids.push_back(std::stoi(each));
  return pids;
}

}  // namespace

TEST_SUITE("runtime/faults") {
  TEST_CASE("a zygote that is killed is replaced: tasks run again, actors restart, new processes are made, nothing is left behind") {
    {
      RuntimeOptions options = small_machine();
      options.spare_processes = 0;  // they are worker processes too
      Machine machine(options);
      auto& rt = machine.rt;
      Folder folder;
      const auto alone = TaskOptions{.num_cpus = 0, .isolation = own_process};
      CHECK(rt.get(rt.task<process_id>(alone).remote()) != ::getpid());
      auto actor = rt.actor<Counter>({.num_cpus = 0, .max_restarts = -1, .max_task_retries = -1, .isolation = own_process}).spawn();
      CHECK(rt.get(actor.call<&Counter::process>()) != ::getpid());
      CHECK(eventually([&] { return rt.stats().worker_processes == 1; }));
      const auto descriptors = count_entries("/proc/self/fd");
      for (int round = 0; round < 3; ++round) {
        const auto log = folder / ("log" + std::to_string(round));
        Gate gate;
        CHECK(rt.get(actor.call<&Counter::add>()) == 1);
        const int old_actor = rt.get(actor.call<&Counter::process>());
        const auto waiting = rt.task<note_and_wait>(alone).remote(log, gate.path(), round);
        REQUIRE(eventually([&] { return pids_in(log).size() == 1; }));
        const int zygote = only_zygote();
        REQUIRE(::kill(zygote, SIGKILL) == 0);
        REQUIRE(eventually([&] { return pids_in(log).size() == 2; }));
        CHECK(eventually([&] { return !alive(old_actor) && !alive(pids_in(log).front()); }));
        CHECK(rt.get(actor.call<&Counter::add>()) == 1);  // a new one
        gate.open();
        CHECK(rt.get(waiting) == round);
        CHECK(only_zygote() != zygote);
        CHECK(rt.get(rt.task<process_id>(alone).remote()) != ::getpid());
        actor = rt.actor<Counter>({.num_cpus = 0, .max_restarts = -1, .max_task_retries = -1, .isolation = own_process}).spawn();
      }
      CHECK(rt.get(actor.call<&Counter::add>()) == 1);
      CHECK(eventually([&] { return rt.stats().worker_processes == 1; }));
      CHECK(eventually([&] { return count_entries("/proc/self/fd") <= descriptors; }));
    }
    CHECK(children().empty());
  }

  // Its requests timed out one by one, and it was asked again for ever.
  TEST_CASE("a zygote that is stopped is killed and replaced when it has not answered in its time, for a start and for a kill") {
    ::setenv("MANTA_ZYGOTE_TIMEOUT_MS", "4000", 1);
    {
      Machine machine;
      auto& rt = machine.rt;
      const auto options = ActorOptions{.num_cpus = 0, .max_restarts = -1, .max_task_retries = -1, .isolation = own_process};
      auto first = rt.actor<Counter>(options).spawn();
      CHECK(rt.get(first.call<&Counter::add>()) == 1);
      const int old_process = rt.get(first.call<&Counter::process>());
      const int stopped = only_zygote();
      REQUIRE(::kill(stopped, SIGSTOP) == 0);
      const auto begin = std::chrono::steady_clock::now();
      auto second = rt.actor<Counter>(options).spawn();
      CHECK(rt.get(second.call<&Counter::add>()) == 1);
      CHECK(std::chrono::steady_clock::now() - begin < 60s);
      CHECK_FALSE(alive(stopped));
      CHECK(rt.get(first.call<&Counter::add>()) == 1);  // a new one
      CHECK(rt.get(first.call<&Counter::process>()) != old_process);

      const int third = rt.get(second.call<&Counter::process>());
      const int again = only_zygote();
      REQUIRE(::kill(again, SIGSTOP) == 0);
      second.kill();
      CHECK(eventually([&] { return !alive(third) && !alive(again); }));
      CHECK(rt.get(first.call<&Counter::add>()) >= 1);
      CHECK(children().size() == 1);
    }
    ::unsetenv("MANTA_ZYGOTE_TIMEOUT_MS");
    CHECK(children().empty());
  }

  TEST_CASE("a zygote that takes a lost one's place has the working directory and environment of the runtime's start") {
    ::setenv("MANTA_TEST_SURROUNDINGS", "before", 1);
    const auto here = fs::current_path();
    {
      Machine machine;
      auto& rt = machine.rt;
      const auto alone = TaskOptions{.num_cpus = 0, .isolation = own_process};
      CHECK(rt.get(rt.task<surroundings>(alone).remote()) == "before " + here.string());
      ::setenv("MANTA_TEST_SURROUNDINGS", "after", 1);
      fs::current_path("/");
      REQUIRE(::kill(only_zygote(), SIGKILL) == 0);
      CHECK(rt.get(rt.task<surroundings>(alone).remote()) == "before " + here.string());
      fs::current_path(here);
    }
    ::unsetenv("MANTA_TEST_SURROUNDINGS");
  }

  TEST_CASE("a task that may not run again says that its process ended with the zygote") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    Gate gate;
    const auto log = folder / "log";
    const auto task = rt.task<note_and_wait>({.max_retries = 0, .isolation = own_process}).remote(log, gate.path(), 1);
    REQUIRE(eventually([&] { return pids_in(log).size() == 1; }));
    REQUIRE(::kill(only_zygote(), SIGKILL) == 0);
    CHECK(contains(error_of<WorkerCrashed>([&] { rt.get(task); }).message, "ended with the zygote"));
    CHECK(rt.get(rt.task<process_id>({.isolation = own_process}).remote()) != ::getpid());
  }

  TEST_CASE("work goes on while the zygote is killed again and again") {
#ifdef MANTA_SANITIZED
    constexpr auto kPace = 3s;  // a program takes its time there before it makes its first worker
#else
    constexpr auto kPace = 150ms;
#endif
    Machine machine;
    auto& rt = machine.rt;
    std::atomic<bool> over{false};
    std::atomic<int> kills{0};
    std::thread killer([&] {
      while (!over) {
        std::this_thread::sleep_for(kPace);
        for (const int zygote : children()) kills += ::kill(zygote, SIGKILL) == 0;
      }
    });
    const auto options = TaskOptions{.max_retries = -1, .isolation = own_process};
    int done = 0;
    while (kills < 6) {
      std::vector<ObjectRef<int>> refs;
      for (int i = 0; i < 8; ++i) refs.push_back(rt.task<process_id>(options).remote());
      for (const auto& ref : refs) {
        const auto result = rt.try_get(ref, 120s);
        const auto what = result.ok() ? "" : result.error().message;
        if (!result.ok()) CHECK_MESSAGE((contains(what, "zygote") || contains(what, "to make worker processes")), what);  // three in a row
        done += result.ok();
      }
    }
    over = true;
    killer.join();
    CHECK(done > 0);
    CHECK(rt.get(rt.task<process_id>(options).remote()) != ::getpid());
    CHECK(children().size() == 1);
  }

  TEST_CASE("a zygote that cannot come up fails the task with what happened, and the next one that can is used") {
    Machine machine;
    auto& rt = machine.rt;
    const auto options = TaskOptions{.num_cpus = 0, .isolation = own_process};
    CHECK(rt.get(rt.task<process_id>(options).remote()) != ::getpid());
    std::atomic<bool> over{false};
    std::thread killer([&] {
      while (!over)
        for (const int zygote : children()) ::kill(zygote, SIGKILL);
    });
    auto failed = rt.try_get(rt.task<process_id>(options).remote(), 60s);
    for (int i = 0; failed.ok() && i < 100; ++i) failed = rt.try_get(rt.task<process_id>(options).remote(), 60s);
    over = true;
    killer.join();
    REQUIRE_FALSE(failed.ok());
    CHECK(failed.error().code == ErrorCode::kIoError);
    CHECK_MESSAGE((contains(failed.error().message, "killed by signal 9") || contains(failed.error().message, "times in a row")),
                  failed.error().message);
    CHECK_FALSE(contains(failed.error().message, "first statement of main"));
    CHECK(rt.get(rt.task<process_id>(options).remote()) != ::getpid());
  }
}

}  // namespace manta_test
