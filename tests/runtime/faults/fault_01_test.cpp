// Fault 1: kill -9 of a worker in the middle of a task.
#include <sys/types.h>
#include <unistd.h>

#include <csignal>

#include "../api/support.hpp"

namespace manta_test {
namespace {

int killed_before(Context& ctx, const std::string& log, int deaths) {
  append(log, std::to_string(ctx.attempt()) + ";");
  if (ctx.attempt() <= deaths) ::kill(::getpid(), SIGKILL);
  return ctx.attempt();
}
std::vector<double> large_then_killed(Context& ctx, std::size_t size) {
  std::vector<double> result(size, 1.5);
  if (ctx.attempt() == 1) ::kill(::getpid(), SIGKILL);
  return result;
}

}  // namespace

TEST_SUITE("runtime/faults") {
  TEST_CASE("fault 1: a task whose worker is killed runs again up to three times, then says WorkerCrashed with signal and attempts") {
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    for (const auto isolation : {Isolation::kOwnProcess, Isolation::kShared}) {
      if (isolation == Isolation::kShared && !in_processes()) continue;
      const auto log = folder / std::to_string(static_cast<int>(isolation));
      CHECK(rt.get(rt.task<killed_before>({.isolation = isolation}).remote(log, 3)) == 4);
      const auto error = error_of<WorkerCrashed>([&] { rt.get(rt.task<killed_before>({.name = "doomed", .isolation = isolation}).remote(log, 99)); });
      CHECK_MESSAGE(contains(error.message, "signal 9"), error.message);
      CHECK_MESSAGE(contains(error.message, "4 attempts"), error.message);
      CHECK(contains(error.where, "doomed"));
      CHECK(content(log) == "1;2;3;4;1;2;3;4;");
    }
    CHECK(rt.get(rt.task<large_then_killed>({.isolation = own_process}).remote(1u << 20)).size() == 1u << 20);
  }
}

}  // namespace manta_test
