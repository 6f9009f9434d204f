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
int one(int x) { return x; }
int note_and_pass(const std::string& log, const std::string& gate, int value) { return append(log, ";"), pass(gate, value); }

std::ptrdiff_t attempts(const std::string& log) {
  const auto text = content(log);
  return std::count(text.begin(), text.end(), ';');
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
    std::vector<ObjectRef<int>> near;
    auto options = TaskOptions{.num_cpus = 0, .max_retries = 1};
    for (int i = 0; i < 6; ++i) near.push_back(rt.task<note_and_pass>(options).remote((folder / "near").string(), gate.path(), i));
    CHECK(eventually([&] { return attempts((folder / "near").string()) == 6; }));
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
