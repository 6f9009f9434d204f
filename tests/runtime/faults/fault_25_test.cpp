// Fault 25: what comes out of a worker is no frames: its task wrote to the runtime's own socket. (The decoder itself: frame_test and
// link_test of tests/runtime/process.)
#include <sys/socket.h>
#include <unistd.h>

#include <random>

#include "../api/support.hpp"

namespace manta_test {
namespace {

/// Writes noise into every socket of this process, as a stray pointer or descriptor would.
int babble(Context& ctx) {
  if (ctx.attempt() > 1) return ctx.attempt();
  std::mt19937 random(7);
  std::string noise(200, ' ');
  for (auto& each : noise) each = static_cast<char>(random());
  for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const auto target = fs::read_symlink(entry.path(), gone).string();
    if (contains(target, "socket:")) ::send(std::atoi(entry.path().filename().c_str()), noise.data(), noise.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  }
  eventually([&] { return ctx.cancelled(); }, 60s);
  return 1;
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
}

}  // namespace manta_test
