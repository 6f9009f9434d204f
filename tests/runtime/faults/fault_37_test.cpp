// User code that forks and executes in a worker: what it starts holds nothing of the runtime's, and ends with the worker.
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>

#include "tests/runtime/api/support.hpp"

namespace manta_test {
namespace {

/// What a program that this task executes finds open beyond the standard three, and whether SIGTERM reaches it.
std::string look_from_child() {
  const char* command =
      "for fd in /proc/self/fd/*; do n=${fd##*/}; if [ \"$n\" -gt 2 ]; then readlink \"$fd\"; fi; done; "
      "grep SigBlk /proc/self/status";
  FILE* pipe = ::popen(command, "r");
  if (!pipe) return "popen failed";
  std::string text;
  std::array<char, 256> part;
  while (std::fgets(part.data(), part.size(), pipe)) text += part.data();
  ::pclose(pipe);
  return text;
}

struct Parent {
  int start_child() {
    const int child = ::fork();
    if (child == 0) {
      ::execl("/bin/sleep", "sleep", "600", nullptr);
      ::_exit(1);
    }
    return child;
  }
  int pid() { return ::getpid(); }
};

}  // namespace

TEST_SUITE("runtime/faults") {
  TEST_CASE("fault 37: a program executed by a task holds no socket and no arena, and has no signal blocked") {
    Machine machine;
    auto& rt = machine.rt;
    const auto object = rt.put(std::string(1 << 20, 'x'));  // so that the arena is there
    CHECK(rt.get(object).size() == 1u << 20);
    const auto look = [&](const ObjectRef<std::string>& ref) {
      const auto found = rt.get(ref);
      CHECK_MESSAGE(!contains(found, "socket:"), found);
      CHECK_MESSAGE(!contains(found, "memfd:"), found);
      CHECK_MESSAGE(contains(found, "SigBlk:\t0000000000000000"), found);
    };
    for (int i = 0; i < 3; ++i) look(rt.task<look_from_child>({.isolation = own_process}).remote());
    if (!in_processes()) return;  // this program's own descriptors are whatever the tests were started with
    for (int i = 0; i < 3; ++i) look(rt.remote<look_from_child>());
  }

  TEST_CASE("fault 37: what a worker has started is killed with it") {
    Machine machine;
    auto& rt = machine.rt;
    auto parent = rt.actor<Parent>({.isolation = own_process}).spawn();
    const int child = rt.get(parent.call<&Parent::start_child>());
    REQUIRE(alive(child));
    ::kill(rt.get(parent.call<&Parent::pid>()), SIGKILL);
    CHECK(eventually([&] { return !alive(child); }));
  }
}

}  // namespace manta_test
