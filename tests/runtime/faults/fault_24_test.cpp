// Fault 24: what tasks allocate eats the machine's memory. The meter is a fake one, except where the kernel's is read.
#include <unistd.h>

#include "../api/support.hpp"

namespace manta_test {
namespace {

int pid_in(const fs::path& file) { return fs::exists(file) ? std::atoi(content(file).c_str()) : 0; }

/// Says where it is; ends at once from the second attempt on, before that when its gate opens.
int hog(Context& ctx, const std::string& log, const std::string& gate) {
  append(log + "." + std::to_string(ctx.attempt()), std::to_string(::getpid()));
  return ctx.attempt() > 1 ? ctx.attempt() : pass(gate, 1);
}
int hog_for_ever(Context& ctx, const std::string& log) {
  append(log, std::to_string(ctx.attempt()) + ";");
  eventually([&] { return ctx.cancelled(); }, 60s);
  return 0;
}
int oom_score() { return std::atoi(content("/proc/self/oom_score_adj").c_str()); }

class Hoarder {
 public:
  int pid() { return ::getpid(); }
  int wait_at(const std::string& gate) { return pass(gate, 7); }
};

RuntimeOptions with_meter(std::function<bool()> full) {
  auto options = small_machine();
  options.memory_threshold = 0.95;
  options.memory_meter = [full = std::move(full)] { return MemoryUse{.used_bytes = full() ? 99u : 1u, .total_bytes = 100}; };
  return options;
}

}  // namespace

TEST_SUITE("runtime/faults") {
  TEST_CASE("fault 24: short of memory the newest worker process is ended, its task runs again after a while, others go on") {
    Folder folder;
    const std::string older = folder / "older", newer = folder / "newer";
    Gate gate;
    Machine machine(with_meter([&] { return alive(pid_in(newer + ".1")); }));
    auto& rt = machine.rt;
    auto first = rt.task<hog>({.isolation = own_process}).remote(older, gate.path());
    REQUIRE(eventually([&] { return pid_in(older + ".1") != 0; }, 30s));
    auto second = rt.task<hog>({.backoff = {.initial = 10ms}, .isolation = own_process}).remote(newer, gate.path());
    CHECK(rt.get(second, 60s) == 2);
    CHECK(alive(pid_in(older + ".1")));
    gate.open();
    CHECK(rt.get(first, 60s) == 1);
  }

  TEST_CASE("fault 24: in a shared process the task goes on in one of its own") {
    if (!in_processes()) return;
    Folder folder;
    const std::string log = folder / "shared";
    Gate gate;
    Machine machine(with_meter([&] { return alive(pid_in(log + ".1")); }));
    CHECK(machine.rt.get(machine.rt.task<hog>({.backoff = {.initial = 10ms}}).remote(log, gate.path()), 60s) >= 2);
  }

  TEST_CASE("fault 24: when its retries are used up it is OutOfMemory that says how much was in use and what to do") {
    Folder folder;
    Machine machine(with_meter([] { return true; }));
    auto& rt = machine.rt;
    const TaskOptions options{.name = "glutton", .max_retries = 1, .backoff = {.initial = 10ms}, .isolation = own_process};
    auto ref = rt.task<hog_for_ever>(options).remote(folder / "log");
    const auto error = error_of<OutOfMemory>([&] { rt.get(ref, 60s); });
    CHECK(contains(error.where, "glutton"));
    CHECK_MESSAGE(contains(error.message, "of memory were in use, more than 95 %"), error.message);
    CHECK_MESSAGE(contains(error.message, "(attempt 2, the last)"), error.message);
    CHECK_MESSAGE(contains(error.message, "memory_bytes"), error.message);
  }

  TEST_CASE("fault 24: an actor is ended for memory only when no task can be, and its callers hear why") {
    std::atomic<bool> full{false};
    Gate gate;
    Machine machine(with_meter([&] { return full.load(); }));
    auto& rt = machine.rt;
    auto hoarder = rt.actor<Hoarder>({.max_restarts = 1, .isolation = own_process}).spawn();
    const int pid = rt.get(hoarder.call<&Hoarder::pid>(), 30s);
    auto call = hoarder.call<&Hoarder::wait_at>(gate.path());
    full = true;
    const auto error = error_of<ActorUnavailable>([&] { rt.get(call, 60s); });
    full = false;
    CHECK_MESSAGE(contains(error.to_string(), "OutOfMemory"), error.to_string());
    gate.open();
    CHECK(eventually([&] {
      try {
        return rt.get(hoarder.call<&Hoarder::pid>(), 30s) != pid;
      } catch (const ActorUnavailable&) {  // the meter was read once more before it fell
        return false;
      } catch (const ActorDied&) {
        return true;
      }
    }, 60s));
  }

  TEST_CASE("fault 24: the kernel's figures are what is read by default, and the kernel would take a worker before this process") {
    Folder folder;
    auto options = small_machine();
    options.memory_threshold = 1e-9;
    Machine machine(options);
    auto& rt = machine.rt;
    const TaskOptions once{.max_retries = 0, .isolation = own_process};
    CHECK_THROWS_AS(rt.get(rt.task<hog_for_ever>(once).remote(folder / "log"), 60s), OutOfMemory);
    const auto attempts = content(folder / "log");
    CHECK_MESSAGE((attempts.empty() || attempts == "1;"), attempts);  // it may be ended before it wrote, and never comes twice
    Machine calm;
    CHECK(calm.rt.get(calm.rt.task<oom_score>({.isolation = own_process}).remote()) > oom_score());
  }

  // It ended the program: it was called on a thread that caught nothing.
  TEST_CASE("fault 24: a meter that throws ends nothing, and is asked again") {
    Folder folder;
    const std::string log = folder / "log";
    Gate gate;
    std::atomic<int> asked{0};
    Machine machine(with_meter([&] {
      if (++asked <= 2) throw std::runtime_error("nothing to read");
      return alive(pid_in(log + ".1"));
    }));
    auto& rt = machine.rt;
    CHECK(rt.get(rt.task<hog>({.backoff = {.initial = 10ms}, .isolation = own_process}).remote(log, gate.path()), 60s) == 2);
    CHECK(asked > 2);
  }

  TEST_CASE("fault 24: a threshold of nothing is refused") {
    const Clean clean;
    auto options = small_machine();
    options.memory_threshold = 0;
    CHECK_THROWS_AS(Runtime::start(options), InvalidArgument);
  }
}

}  // namespace manta_test
