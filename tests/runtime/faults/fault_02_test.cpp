// Fault 2: a task that ends its worker each time by its own doing.
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>

#include "../api/support.hpp"

namespace manta_test {
namespace {

int end_by(const std::string& log, const std::string& how) {
  append(log, std::to_string(::getpid()) + ";");
  if (how == "exit") std::exit(0);
  if (how == "abort") std::abort();
  if (how == "kill") ::kill(::getpid(), SIGKILL);
  std::signal(SIGSEGV, SIG_DFL);
  return ::raise(SIGSEGV);
}
Generator<int> end_in_it(const std::string& log, const std::string& how) {
  co_yield 1;
  co_yield end_by(log, how);
}
int one(int x) { return x; }
int note_and_pass(const std::string& log, const std::string& gate, int value) { return append(log, ";"), pass(gate, value); }

std::ptrdiff_t attempts(const std::string& log) {
  const auto text = content(log);
  return std::count(text.begin(), text.end(), ';');
}

/// Six that run, until the gate opens, in the shared processes that others will end.
std::vector<ObjectRef<int>> run_near(Runtime& rt, const Folder& folder, const Gate& gate) {
  std::vector<ObjectRef<int>> near;
  const auto log = (folder / "near").string();
  for (int i = 0; i < 6; ++i) near.push_back(rt.task<note_and_pass>({.num_cpus = 0, .max_retries = 1}).remote(log, gate.path(), i));
  CHECK(eventually([&] { return attempts(log) == 6; }));
  return near;
}

}  // namespace

TEST_SUITE("runtime/faults") {
  TEST_CASE("fault 2: after three workers that died by a task's own doing it is TaskPoisoned, and no more are burnt") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    for (const std::string how : {"exit", "abort", "segv"}) {
      const auto log = folder / how;
      const auto task = rt.task<end_by>({.name = "bad", .max_retries = 10, .isolation = own_process, .echo_output = false});
      const auto error = error_of<TaskPoisoned>([&] { rt.get(task.remote(log, how)); });
      CHECK_MESSAGE(contains(error.message, "3 worker processes"), error.message);
      CHECK(contains(error.where, "bad"));
      CHECK(attempts(log) == 3);
    }
    CHECK(rt.get(rt.remote<one>(1)) == 1);
  }

  TEST_CASE("fault 2: one that is killed from outside is WorkerCrashed after its retries") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    const auto log = folder / "log";
    const auto killed = rt.task<end_by>({.max_retries = 4, .isolation = own_process}).remote(log, std::string("kill"));
    CHECK(contains(error_of<WorkerCrashed>([&] { rt.get(killed); }).message, "5 attempts"));
    CHECK(attempts(log) == 5);
  }

  // It was restarted up to max_retries times, with -1 without an end, one process after the other.
  TEST_CASE("fault 2: a generator that ends its workers is TaskPoisoned as any task, also with retries without end") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    auto read = [&rt](RefStream<int> stream) {
      while (auto item = stream.next(60s)) rt.get(*item);
    };
    for (const int retries : {10, -1}) {
      const auto log = folder / std::to_string(retries);
      const auto bad = rt.task<end_in_it>({.name = "bad", .max_retries = retries, .isolation = own_process, .echo_output = false});
      const auto error = error_of<TaskPoisoned>([&] { read(bad.remote(log, std::string("abort"))); });
      CHECK_MESSAGE(contains(error.message, "3 worker processes"), error.message);
      CHECK(contains(error.where, "bad"));
      CHECK(attempts(log) == 3);
    }
    const auto log = folder / "killed";
    CHECK_THROWS_AS(read(rt.task<end_in_it>({.max_retries = 4, .isolation = own_process}).remote(log, std::string("kill"))), WorkerCrashed);
    CHECK(attempts(log) == 5);
    CHECK(rt.get(rt.remote<one>(1)) == 1);
  }

  TEST_CASE("fault 2: a generator in shared processes does not take one after the other with it") {
    if (!in_processes()) return;
    Machine machine(small_machine(2));
    auto& rt = machine.rt;
    Folder folder;
    Gate gate;
    const auto near = run_near(rt, folder, gate);
    const auto log = (folder / "bad").string();
    auto stream = rt.task<end_in_it>({.num_cpus = 0, .max_retries = 9}).remote(log, std::string("segv"));
    CHECK_THROWS_AS(while (auto item = stream.next(60s)) rt.get(*item), TaskPoisoned);
    CHECK(attempts(log) <= 4);  // one in company, three alone
    gate.open();
    for (int i = 0; i < 6; ++i) CHECK(rt.get(near[static_cast<std::size_t>(i)]) == i);
  }

  TEST_CASE("fault 2: in shared processes too") {
    if (!in_processes()) return;
    Machine machine(small_machine(1));
    auto& rt = machine.rt;
    Folder folder;
    const auto log = folder / "log";
    CHECK_THROWS_AS(rt.get(rt.task<end_by>({.max_retries = 10}).remote(log, std::string("exit"))), TaskPoisoned);
    CHECK(attempts(log) == 3);
    CHECK(rt.get(rt.remote<one>(2)) == 2);
  }

  TEST_CASE("fault 2: those that were only near it are not charged") {
    if (!in_processes()) return;
    Machine machine(small_machine(2));
    auto& rt = machine.rt;
    Folder folder;
    Gate gate;
    const auto near = run_near(rt, folder, gate);
    std::vector<ObjectRef<int>> bad;
    for (int i = 0; i < 2; ++i)
      bad.push_back(rt.task<end_by>({.num_cpus = 0, .max_retries = 5}).remote((folder / ("bad" + std::to_string(i))).string(), std::string("segv")));
    for (int i = 0; i < 2; ++i) {
      CHECK_THROWS_AS(rt.get(bad[static_cast<std::size_t>(i)]), TaskPoisoned);
      CHECK(attempts((folder / ("bad" + std::to_string(i))).string()) <= 5);  // one in company, perhaps one of the other's, three alone
    }
    gate.open();
    for (int i = 0; i < 6; ++i) CHECK(rt.get(near[static_cast<std::size_t>(i)]) == i);
  }
}

}  // namespace manta_test
