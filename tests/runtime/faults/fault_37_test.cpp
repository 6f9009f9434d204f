// User code that forks and executes in a worker: what it starts holds nothing of the runtime's, and ends with the worker.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "tests/runtime/api/support.hpp"

namespace {
bool g_forked = false;
}
/// For the leak sanitizer, which takes what belongs to threads that a fork has not for lost.
extern "C" int __lsan_is_turned_off() { return g_forked; }

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

/// Of this thread, as the kernel says it.
std::string blocked_signals(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
  std::ifstream status("/proc/thread-self/status");
  for (std::string line; std::getline(status, line);)
    if (contains(line, "SigBlk")) return line.substr(line.find_last_of(" \t") + 1);
  return {};
}
int run_shell(const std::string& command) { return ::system(command.c_str()); }

/// A child of a task's that lives on when the worker's group is killed; it ends with this.
struct Escaped {
  ~Escaped() {
    if (const int child = pid()) ::kill(child, SIGKILL);
  }
  int pid() const { return std::atoi(content(file).c_str()); }
  Folder folder;
  const std::string file = folder / "pid";
};

/// In a child of a task's: leaves the group, says that it is there, and stays.
[[noreturn]] void escape(const std::string& file) {
  ::setsid();
  append(file, std::to_string(::getpid()) + "\n");
  for (;;) ::pause();
}

/// At its first attempt, leaves a child behind and is killed. `quietly`: a child that no handler of forks knows of, as clone makes it.
int leave_child(Context& ctx, const std::string& file, bool quietly) {
  if (ctx.attempt() > 1) return ctx.attempt();
  if ((quietly ? ::_Fork() : ::fork()) == 0) escape(file);
  eventually([&] { return contains(content(file), "\n"); });
  ::kill(::getpid(), SIGKILL);
  return 0;
}

/// The sockets that a process has, as the kernel names them.
std::string sockets_of(int pid) {
  std::string sockets;
  for (const auto& entry : fs::directory_iterator("/proc/" + std::to_string(pid) + "/fd")) {
    std::error_code gone;
    const auto target = fs::read_symlink(entry.path(), gone).string();
    if (contains(target, "socket:")) sockets += target + " ";
  }
  return sockets;
}

int stay_until(Context& ctx, const std::string& file) {
  if (::fork() == 0) escape(file);
  eventually([&] { return ctx.cancelled(); });
  return 0;
}

/// Returns in its child too.
int return_twice() {
  const int child = ::fork();
  return child == 0 ? 0 : child;
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
  /// After the call has returned, a thread of this worker's forks a child that ends as a program does, and writes its status.
  void exit_in_child_later(std::string file) {
    std::thread([file] {
      std::this_thread::sleep_for(300ms);
      const int child = ::fork();
      if (child == 0) g_forked = true, std::exit(7);
      int status = 0;
      ::waitpid(child, &status, 0);
      append(file, std::to_string(WEXITSTATUS(status)));
    }).detach();
  }
};

/// Its child closes what it has inherited, opens files of its own until 40 descriptors are taken, and forks; the grandchild writes each
/// one's number into it. How many of the files have theirs.
int write_in_grandchild(const std::string& folder) {
  const auto name = [&](int number) { return folder + "/" + std::to_string(number); };
  const int child = ::fork();
  if (child == 0) {
    ::close_range(3, ~0U, 0);
    for (int number = 3; number < 40; ++number)
      if (::open(name(number).c_str(), O_CREAT | O_WRONLY, 0600) != number) ::_exit(1);
    const int grandchild = ::fork();
    if (grandchild == 0) {
      for (int number = 3; number < 40; ++number) {
        const auto text = std::to_string(number);
        if (::write(number, text.data(), text.size()) < 0) ::_exit(1);
      }
      ::_exit(0);
    }
    ::waitpid(grandchild, nullptr, 0);
    ::_exit(0);
  }
  ::waitpid(child, nullptr, 0);
  int right = 0;
  for (int number = 3; number < 40; ++number) right += content(name(number)) == std::to_string(number);
  return right;
}

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

  // It went through the destructor of the worker's engine, and waited for threads that a fork does not have.
  TEST_CASE("fault 37: a child that a thread of a worker's forks while nothing runs there may end as a program does") {
    Machine machine;
    Folder folder;
    auto parent = machine.rt.actor<Parent>({.isolation = own_process}).spawn();
    machine.rt.get(parent.call<&Parent::exit_in_child_later>((folder / "status").string()), 30s);
    CHECK(eventually([&] { return content(folder / "status") == "7"; }));
  }

  // The thread that reads the links blocks all signals, and so did the pool's threads that it had started: a shell waited for ever for its child.
  TEST_CASE("fault 37: tasks run with the program's signals, on whichever thread") {
    Machine machine;
    auto& rt = machine.rt;
    const std::string mine = blocked_signals(0);
    const auto first = rt.task<blocked_signals>({.num_cpus = 0, .isolation = own_process}).remote(30);
    CHECK(rt.get(first, 30s) == std::string(mine.size(), '0'));
    std::vector<ObjectRef<std::string>> masks;
    for (int i = 0; i < 60; ++i) masks.push_back(rt.task<blocked_signals>({.num_cpus = 0}).remote(i % 5));
    for (const auto& mask : masks) CHECK(rt.get(mask, 30s) == mine);
    std::vector<ObjectRef<int>> shells;
    for (int i = 0; i < 12; ++i) shells.push_back(rt.task<run_shell>({.num_cpus = 0}).remote("sleep 0.05 & wait"));
    for (int i = 0; i < 3; ++i) shells.push_back(rt.task<run_shell>({.num_cpus = 0, .isolation = own_process}).remote("sleep 0.05 & wait"));
    for (const auto& shell : shells) CHECK(rt.get(shell, 30s) == 0);
  }

  TEST_CASE("fault 37: the files of a worker's grandchild are its own") {
    Machine machine;
    Folder folder;
    CHECK(machine.rt.get(machine.rt.task<write_in_grandchild>({.isolation = own_process}).remote(folder.path.string()), 30s) == 37);
  }

  // A job's end sends it to all processes: all running work was gone before the driver could end it.
  TEST_CASE("fault 37: a SIGTERM to the process that makes the workers ends none of them") {
    Machine machine;
    auto& rt = machine.rt;
    auto parent = rt.actor<Parent>({.isolation = own_process}).spawn();
    const int pid = rt.get(parent.call<&Parent::pid>());
    for (const int child : children()) ::kill(child, SIGTERM);
    std::this_thread::sleep_for(100ms);
    CHECK(rt.get(parent.call<&Parent::pid>(), 30s) == pid);
    CHECK(rt.get(rt.task<run_shell>({.isolation = own_process}).remote("kill -TERM $$"), 30s) == SIGTERM);  // they heed their own
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

// The child held the worker's end of its link, so that nobody heard of the worker's end: a get waited for ever.
TEST_SUITE("runtime/faults") {
  TEST_CASE("fault 37: a worker is known to have ended though a child that it forked lives on outside its group") {
    Machine machine;
    auto& rt = machine.rt;
    for (const bool quietly : {false, true}) {
      Escaped child;
      CHECK(rt.get(rt.task<leave_child>({.isolation = own_process}).remote(child.file, quietly), 30s) == 2);
      CHECK(alive(child.pid()));
      if (!in_processes()) continue;
      Escaped other;
      CHECK(rt.get(rt.remote<leave_child>(other.file, quietly), 30s) >= 2);
      CHECK(alive(other.pid()));
    }
  }

  TEST_CASE("fault 37: a child that a task forks has no socket of its worker's") {
    Machine machine;
    auto& rt = machine.rt;
    Escaped child;
    auto ref = rt.task<stay_until>({.isolation = own_process}).remote(child.file);
    REQUIRE(eventually([&] { return child.pid() != 0; }));
    CHECK_MESSAGE(sockets_of(child.pid()).empty(), sockets_of(child.pid()));
    rt.cancel(ref);
    CHECK_THROWS_AS(rt.get(ref, 30s), Cancelled);
  }

  // Both wrote to one socket, and the driver ended the worker for it.
  TEST_CASE("fault 37: a child that returns from a task as its parent does ends, and harms neither it nor its worker") {
    Machine machine;
    auto& rt = machine.rt;
    for (int i = 0; i < 3; ++i) {
      const int child = rt.get(rt.task<return_twice>({.max_retries = 0, .isolation = own_process}).remote(), 30s);
      CHECK(child > 0);
      CHECK(eventually([&] { return !alive(child); }));
    }
  }
}

}  // namespace manta_test
