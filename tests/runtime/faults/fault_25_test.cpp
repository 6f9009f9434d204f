// Fault 25: what comes out of a worker is no frames: its task wrote to the runtime's own socket. (The decoder itself: frame_test and
// link_test of tests/runtime/process.)
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <random>

#include "../api/support.hpp"

namespace manta_test {
namespace {

std::vector<int> sockets() {
  std::vector<int> fds;
  for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    if (contains(fs::read_symlink(entry.path(), gone).string(), "socket:")) fds.push_back(std::atoi(entry.path().filename().c_str()));
  }
  return fds;
}

std::string noise() {
  std::mt19937 random(7);
  std::string noise(200, ' ');
  for (auto& each : noise) each = static_cast<char>(random());
  return noise;
}

/// Into every socket of this process, as a stray pointer or descriptor would.
void write_to(const std::vector<int>& fds, const std::string& bytes) {
  for (const int fd : fds) ::send(fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

int babble(Context& ctx) {
  if (ctx.attempt() > 1) return ctx.attempt();
  write_to(sockets(), noise());
  eventually([&] { return ctx.cancelled(); }, 60s);
  return 1;
}

/// In a child that clone has made, where only async-signal-safe calls are allowed.
void wait_until_stopped(const char* stat) {
  for (;;) {
    char text[64] = {};
    const int file = ::open(stat, O_RDONLY | O_CLOEXEC);
    if (file < 0 || ::read(file, text, sizeof text - 1) <= 0) ::_exit(1);
    ::close(file);
    if (std::strstr(text, ") T ")) return;
  }
}

/// Stopped when it is sent, the worker does not see that its link is closed for it.
int babble_stopped(Context& ctx, int attempts) {
  if (ctx.attempt() > attempts) return ctx.attempt();
  const auto bytes = noise();
  const auto fds = sockets();
  const int self = ::getpid();
  const auto stat = "/proc/" + std::to_string(self) + "/stat";
  if (::_Fork() == 0) {
    ::kill(self, SIGSTOP);
    wait_until_stopped(stat.c_str());
    write_to(fds, bytes);
    ::_exit(0);
  }
  eventually([&] { return ctx.cancelled(); });
  return 0;
}

/// As programs do that mean to become daemons. What it returns can be sent no more.
int close_everything(Context& ctx) {
  if (ctx.attempt() == 1) ::closefrom(3);
  return ctx.attempt();
}

struct Bystander {
  int count = 0;
  int add() { return ++count; }
};

}  // namespace

TEST_SUITE("runtime/faults") {
  TEST_CASE("fault 25: a worker whose bytes are no frames is ended, its task runs again, nobody else notices") {
    Machine machine;
    auto& rt = machine.rt;
    auto bystander = rt.actor<Bystander>({.isolation = own_process}).spawn();
    CHECK(rt.get(bystander.call<&Bystander::add>(), 30s) == 1);
    CHECK(rt.get(rt.task<babble>({.isolation = own_process}).remote(), 60s) == 2);
    if (in_processes()) CHECK(rt.get(rt.remote<babble>(), 60s) >= 2);
    CHECK(rt.get(bystander.call<&Bystander::add>(), 30s) == 2);
  }

  // Its link was closed, and it stayed as it was: a get waited for ever.
  TEST_CASE("fault 25: a worker that is stopped after it sent what are no frames is killed, its error says why") {
    Machine machine;
    auto& rt = machine.rt;
    CHECK(rt.get(rt.task<babble_stopped>({.isolation = own_process}).remote(1), 30s) == 2);
    if (in_processes()) CHECK(rt.get(rt.remote<babble_stopped>(1), 30s) >= 2);
    const auto error = error_of<WorkerCrashed>([&] { rt.get(rt.task<babble_stopped>({.max_retries = 0, .isolation = own_process}).remote(9), 30s); });
    CHECK_MESSAGE(contains(error.message, "signal 9"), error.message);
    CHECK_MESSAGE(contains(error.message, "link is closed"), error.message);
  }

  // The result met a closed descriptor and was lost, the worker waited for its next task, and a get for ever.
  TEST_CASE("fault 25: a task that closes all descriptors of its worker ends it, and runs again") {
    Machine machine;
    auto& rt = machine.rt;
    CHECK(rt.get(rt.task<close_everything>({.isolation = own_process}).remote(), 30s) == 2);
    if (in_processes()) CHECK(rt.get(rt.remote<close_everything>(), 30s) >= 2);
  }
}

}  // namespace manta_test
