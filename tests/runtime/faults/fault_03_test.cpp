// Fault 3: a task that spins for ever, or whose process is stopped.
#include <unistd.h>

#include <atomic>
#include <csignal>

#include "../api/support.hpp"

namespace manta_test {
namespace {

int spin_for_ever(const std::string& file) {
  append(file, std::to_string(::getpid()) + ";");
  for (std::atomic<int> i{0};; ++i) {
  }
}
int stop_myself(const std::string& file) {
  append(file, std::to_string(::getpid()) + ";");
  ::raise(SIGSTOP);
  append(file, "woke;");
  return 4;
}

int number_in(const std::string& file) {
  eventually([&] { return contains(content(file), ";"); });
  return std::stoi(content(file));
}

}  // namespace

TEST_SUITE("runtime/faults") {
  TEST_CASE("fault 3: a task that spins for ever ends at its deadline, its process by SIGTERM") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    const auto ref = rt.task<spin_for_ever>({.deadline = 3s, .isolation = own_process}).remote(folder / "pid");
    const int pid = number_in(folder / "pid");
    CHECK_THROWS_AS(rt.get(ref, 20s), Timeout);
    CHECK(eventually([&] { return !alive(pid); }));
  }

  TEST_CASE("fault 3: a process that was stopped is refused when it wakes after its deadline") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    const auto ref = rt.task<stop_myself>({.deadline = 3s, .isolation = own_process}).remote(folder / "pid");
    const int pid = number_in(folder / "pid");
    CHECK_THROWS_AS(rt.get(ref, 20s), Timeout);
    ::kill(pid, SIGCONT);
    CHECK(eventually([&] { return !alive(pid); }));
    CHECK_THROWS_AS(rt.get(ref), Timeout);
  }

  TEST_CASE("fault 3: a process that stays stopped is killed five seconds after SIGTERM") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    const auto ref = rt.task<stop_myself>({.deadline = 3s, .isolation = own_process}).remote(folder / "pid");
    const int pid = number_in(folder / "pid");
    CHECK_THROWS_AS(rt.get(ref, 20s), Timeout);
    CHECK(eventually([&] { return !alive(pid); }, 60s));
    CHECK_FALSE(contains(content(folder / "pid"), "woke"));
  }
}

}  // namespace manta_test
