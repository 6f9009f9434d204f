// Fault 5: Ctrl-C. A terminal sends SIGINT to all processes of the driver's group; the workers are in groups of their own.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <iostream>
#include <sstream>

#include "../api/support.hpp"

namespace manta_test {
namespace {

volatile std::sig_atomic_t g_interrupted = 0;

void on_first_interrupt(int) {
  g_interrupted = 1;
  std::signal(SIGINT, SIG_DFL);  // the second one ends the process
}

int write_pid_and_stay(const std::string& file) {
  append(file, std::to_string(::getpid()) + "\n");
  std::this_thread::sleep_for(60s);
  return 0;
}

/// All pids that the driver's tasks have written down, once there are `count`.
std::vector<int> pids_in(const std::string& file, std::ptrdiff_t count) {
  eventually([&] { const auto text = content(file); return std::count(text.begin(), text.end(), '\n') >= count; }, 30s);
  std::istringstream in(content(file));
  return {std::istream_iterator<int>(in), {}};
}

void all_gone(const std::vector<int>& pids) {
  for (const int pid : pids) CHECK(eventually([&] { return !alive(pid); }, 20s));
  CHECK(eventually([] { return children().empty(); }, 20s));
}

}  // namespace

/// args: the file of pids, and "patient" for a driver that ends in good order at the first SIGINT.
int run_interrupted(const std::vector<std::string>& args) {
  if (args.size() > 1) std::signal(SIGINT, on_first_interrupt);
  auto options = small_machine();
  options.shutdown_timeout = 60s;
  auto rt = Runtime::start(options);
  auto ref = rt.task<write_pid_and_stay>({.isolation = own_process}).remote(args.at(0));
  pids_in(args.at(0), 1);
  std::cout << "waits" << std::endl;
  while (!g_interrupted) {
    try {
      rt.get(ref, 50ms);
    } catch (const Timeout&) {
    }
  }
  std::cout << "ends" << std::endl;
  return 0;  // the destructor waits for the task
}

TEST_SUITE("runtime/faults") {
  TEST_CASE("fault 5: Ctrl-C in a get ends a driver that does not catch it, and all that is its") {
    const Clean clean;
    Folder folder;
    SubProgram driver("interrupted", {folder / "pids"});
    REQUIRE(driver.read_line() == "waits");
    const auto pids = pids_in(folder / "pids", 1);
    REQUIRE(pids.size() == 1);
    ::kill(driver.pid, SIGINT);
    const int status = driver.wait();
    CHECK(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == SIGINT);
    all_gone(pids);
  }

  TEST_CASE("fault 5: a driver that catches the first Ctrl-C and waits for its work leaves at once at the second") {
    const Clean clean;
    Folder folder;
    SubProgram driver("interrupted", {folder / "pids", "patient"});
    REQUIRE(driver.read_line() == "waits");
    const auto pids = pids_in(folder / "pids", 1);
    REQUIRE(pids.size() == 1);
    ::kill(driver.pid, SIGINT);
    REQUIRE(driver.read_line() == "ends");
    CHECK(alive(pids[0]));  // it is being waited for, up to a minute
    ::kill(driver.pid, SIGINT);
    const int status = driver.wait();
    CHECK(WIFSIGNALED(status));
    all_gone(pids);
  }

  TEST_CASE("fault 5: a SIGINT that reaches a worker does nothing: its driver decides") {
    Machine machine;
    auto& rt = machine.rt;
    Gate gate;
    Folder folder;
    auto ref = rt.task<[](const std::string& file, const std::string& gate_path) {
      append(file, std::to_string(::getpid()) + "\n");
      return pass(gate_path, 5);
    }>({.isolation = own_process}).remote(folder / "pids", gate.path());
    const auto pids = pids_in(folder / "pids", 1);
    REQUIRE(pids.size() == 1);
    ::kill(-pids[0], SIGINT);
    gate.open();
    CHECK(rt.get(ref, 60s) == 5);
    CHECK(pids_in(folder / "pids", 1) == pids);
  }
}

}  // namespace manta_test
