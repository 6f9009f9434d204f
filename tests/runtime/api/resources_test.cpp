#include <sys/file.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "support.hpp"

namespace manta_test {
namespace {

std::vector<int> gpus_at_gate(Context& ctx, const std::string& gate) {
  append(gate + ".waiting", ".");
  pass(gate, 0);
  return ctx.gpu_ids();
}
std::string visible_devices(Context&) {
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  return visible ? visible : "unset";
}
/// True when nobody else holds the file's lock.
bool alone(const std::string& file) {
  const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  const bool got = ::flock(fd, LOCK_EX | LOCK_NB) == 0;
  std::this_thread::sleep_for(1ms);
  ::close(fd);
  return got;
}
int one() { return 1; }
/// Has the file's lock as long as its process lives, and takes a while to die.
void clings(const std::string& file) {
  std::signal(SIGTERM, [](int) {
    ::usleep(1'200'000);
    ::_exit(0);
  });
  const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  ::flock(fd, LOCK_EX);
  while (true) ::pause();
}
struct Counter {
  int total = 0;
  int add(int by) { return total += by; }
};
/// Holds its own seat, and waits for one that needs another.
int wait_for_another_seat(Context& ctx, const std::string& gate) {
  append(gate + ".there", ".");
  pass(gate, 0);
  return ctx.get(ctx.task<one>({.num_cpus = 0, .resources = {{"seat", 1}}}).remote(), 60s);
}

}  // namespace

TEST_SUITE("runtime/api/resources") {
  TEST_CASE("what a process that is asked to end has is given on when it has ended") {
    Machine machine(small_machine(4, 2));
    auto& rt = machine.rt;
    Folder folder;
    const std::string file = folder / "lock";
    ObjectRef<void> first;
    auto clung = [&] { return fs::exists(file) && !alone(file); };
    for (auto deadline = 500ms; !clung() && deadline < 60s; deadline *= 5) {  // a busy machine takes long to start a process
      first = rt.task<clings>({.num_gpus = 2, .deadline = deadline, .isolation = own_process}).remote(file);
      eventually([&] { return clung() || first.ready(); });
    }
    REQUIRE(clung());
    auto next = rt.task<alone>({.num_gpus = 2, .isolation = own_process}).remote(file);
    CHECK(rt.available_resources()["GPU"] == Amount(0));
    CHECK(rt.get(next));
    CHECK_THROWS_AS(rt.get(first), Timeout);
  }

  TEST_CASE("six halves of a GPU lie two on each of three, whole ones stay whole") {
    Machine machine(small_machine(8, 3));
    auto& rt = machine.rt;
    Gate gate;
    std::vector<ObjectRef<std::vector<int>>> refs;
    for (int i = 0; i < 6; ++i) refs.push_back(rt.task<gpus_at_gate>({.num_gpus = 0.5}).remote(gate.path()));
    CHECK(eventually([&] { return content(gate.path() + ".waiting").size() == 6; }, 20s));
    CHECK(rt.available_resources()["GPU"] == Amount(0));
    gate.open();
    int count[3]{};
    for (const auto& ids : rt.get(refs)) {
      REQUIRE(ids.size() == 1);
      ++count[ids[0]];
    }
    for (int each : count) CHECK(each == 2);
    const auto two = rt.get(rt.task<gpus_at_gate>({.num_gpus = 2}).remote(gate.path()));
    CHECK(two.size() == 2);
  }

  TEST_CASE("in a process of its own the GPUs are in CUDA_VISIBLE_DEVICES") {
    Machine machine(small_machine(4, 3));
    auto& rt = machine.rt;
    CHECK(rt.get(rt.task<visible_devices>({.num_gpus = 3, .isolation = own_process}).remote()) == "0,1,2");
    CHECK(rt.get(rt.task<visible_devices>({.isolation = own_process}).remote()).empty());
    CHECK(rt.get(rt.task<visible_devices>({.isolation = own_process, .env = {{"CUDA_VISIBLE_DEVICES", "7"}}}).remote()) == "7");
    const TaskOptions both{.num_gpus = 1, .isolation = own_process, .env = {{"CUDA_VISIBLE_DEVICES", "7"}}};
    CHECK(contains(error_of<InvalidArgument>([&] { rt.task<visible_devices>(both).remote(); }).message, "CUDA_VISIBLE_DEVICES"));
  }

  TEST_CASE("a task without CPUs runs on a full machine") {
    Machine machine(small_machine(2));
    auto& rt = machine.rt;
    Gate gate;
    auto all = rt.task<pass>({.num_cpus = 2}).remote(gate.path(), 1);
    CHECK(eventually([&] { return rt.available_resources()["CPU"] == Amount(0); }));
    CHECK(rt.get(rt.task<one>({.num_cpus = 0}).remote(), 60s) == 1);
    CHECK_FALSE(all.ready());
  }

  TEST_CASE("holders of the only licence never meet") {
    auto options = small_machine(8);
    options.resources = {{"licence", 1}};
    Machine machine(options);
    Folder folder;
    std::vector<ObjectRef<bool>> refs;
    for (int i = 0; i < 30; ++i)
      refs.push_back(machine.rt.task<alone>({.resources = {{"licence", 1}}}).remote(std::string(folder / "lock")));
    for (bool got : machine.rt.get(refs)) CHECK(got);
  }

  TEST_CASE("a task that needs the whole machine gets it from under a stream of small ones") {
    Machine machine(small_machine(2));
    auto& rt = machine.rt;
    Folder folder;
    std::vector<ObjectRef<bool>> small;
    auto add_some = [&](int n) {
      for (int i = 0; i < n; ++i) small.push_back(rt.remote<alone>(folder / std::to_string(i)));
    };
    add_some(50);
    auto big = rt.task<one>({.num_cpus = 2}).remote();
    const auto end = SteadyClock::now() + 20s;
    while (!big.ready() && SteadyClock::now() < end) {
      add_some(4);
      std::this_thread::sleep_for(1ms);
    }
    CHECK(big.ready());
    rt.wait(small, {.count = small.size()});
  }

  TEST_CASE("what a task without CPUs holds while it waits is hoped for by nobody, so that who it waits for gets the rest") {
    auto options = small_machine(2);
    options.resources = {{"seat", 2}};
    Machine machine(options);
    auto& rt = machine.rt;
    Gate gate;
    const TaskOptions seat{.num_cpus = 0, .resources = {{"seat", 1}}};
    auto parent = rt.task<wait_for_another_seat>(seat).remote(gate.path());
    CHECK(eventually([&] { return !content(gate.path() + ".there").empty(); }, 20s));
    auto both = rt.task<one>({.num_cpus = 0, .resources = {{"seat", 2}}}).remote();
    bool kept = false;  // the free seat, for that one: it was passed over often enough
    std::vector<ObjectRef<int>> small;
    while (!kept && small.size() < 2000) {
      small.push_back(rt.task<one>(seat).remote());
      kept = rt.wait(std::vector{small.back()}, {.count = 1, .timeout = 300ms}).ready.empty();
    }
    REQUIRE(kept);
    gate.open();
    CHECK(rt.get(parent, 60s) == 1);
    CHECK(rt.get(both, 60s) == 1);
    rt.get(small, 60s);
  }

  TEST_CASE("amounts that no machine has, and amounts that make no sense, are refused at submit") {
    auto options = small_machine(2, 1);
    options.resources = {{"disk", 2}};
    Machine machine(options);
    auto& rt = machine.rt;
    auto error = error_of<InfeasibleResources>([&] { rt.task<one>({.num_gpus = 3}).remote(); });
    CHECK(contains(error.message, "3 GPU"));
    CHECK(contains(error.message, "GPU: 1"));
    CHECK(contains(error.where, "one"));
    CHECK_THROWS_AS(rt.task<one>({.num_cpus = 2.0001}).remote(), InfeasibleResources);
    CHECK_THROWS_AS(rt.task<one>({.resources = {{"disk", 3}}}).remote(), InfeasibleResources);
    CHECK_THROWS_AS(rt.task<one>({.resources = {{"no-such", 1}}}).remote(), InfeasibleResources);
    CHECK_THROWS_AS(rt.task<one>({.num_cpus = -1}).remote(), InvalidArgument);
    CHECK(contains(error_of<InvalidArgument>([&] { rt.task<one>({.num_cpus = std::nan("")}).remote(); }).message, "not a number"));
    CHECK_THROWS_AS(rt.task<one>({.env = {{"A", "1"}}}).remote(), InvalidArgument);
    CHECK(rt.get(rt.task<one>({.num_cpus = 2, .num_gpus = 1, .resources = {{"disk", 2}}}).remote()) == 1);
  }

  TEST_CASE("memory is promised once: who needs what others hold waits, and more than there is is refused with what there is") {
    auto options = small_machine(8);
    options.memory_bytes = 100;
    Machine machine(options);
    auto& rt = machine.rt;
    CHECK(rt.total_resources()["memory"] == Amount(100));
    Gate gate;
    auto large = rt.task<pass>({.memory_bytes = 60}).remote(gate.path(), 1);
    auto actor = rt.actor<Counter>({.memory_bytes = 30}).spawn();
    CHECK(rt.get(actor.call<&Counter::add>(2), 60s) == 2);
    CHECK(eventually([&] { return rt.available_resources()["memory"] == Amount(10); }));
    auto waits = rt.task<one>({.memory_bytes = 11}).remote();
    CHECK(rt.get(rt.task<one>({.memory_bytes = 10}).remote(), 60s) == 1);
    CHECK_FALSE(waits.ready());
    gate.open();
    CHECK(rt.get(waits, 60s) == 1);
    const auto error = error_of<InfeasibleResources>([&] { rt.task<one>({.memory_bytes = 101}).remote(); });
    CHECK(contains(error.message, "it needs 101 bytes of memory"));
    CHECK(contains(error.message, "memory: 100 bytes"));
    const auto beyond = error_of<InfeasibleResources>([&] { rt.actor<Counter>({.memory_bytes = 1ull << 62}).spawn(); });
    CHECK(contains(beyond.message, "it needs 922337203685477 or more bytes of memory"));
    CHECK_THROWS_AS(rt.task<one>({.resources = {{"memory", 1}}}).remote(), InvalidArgument);
    CHECK(rt.get(large) == 1);
  }

  TEST_CASE("by default most of what memory is available can be promised") {
    Machine machine;
    const auto memory = machine.rt.total_resources()["memory"];
    CHECK(memory > Amount(64 << 20));
    CHECK(memory < Amount(1ull << 46));
  }

  TEST_CASE("a machine of 0 CPUs runs tasks and actors of 0 CPUs, and no others") {
    Machine machine(small_machine(0));
    auto& rt = machine.rt;
    CHECK(rt.get(rt.task<one>({.num_cpus = 0}).remote(), 20s) == 1);
    auto actor = rt.actor<Counter>().spawn();
    CHECK(rt.get(actor.call<&Counter::add>(2), 20s) == 2);
    CHECK_THROWS_AS(rt.remote<one>(), InfeasibleResources);
  }

  TEST_CASE("2.7 of 3 leave room for 0.3 but not for 0.7") {
    Machine machine(small_machine(3));
    auto& rt = machine.rt;
    Gate gate;
    auto large = rt.task<pass>({.num_cpus = 2.7}).remote(gate.path(), 1);
    CHECK(eventually([&] { return rt.available_resources()["CPU"] == Amount(0.3); }));
    auto waits = rt.task<one>({.num_cpus = 0.7}).remote();
    CHECK(rt.get(rt.task<one>({.num_cpus = 0.3}).remote(), 60s) == 1);
    CHECK_FALSE(waits.ready());
    gate.open();
    CHECK(rt.get(waits, 60s) == 1);
    CHECK(rt.get(large) == 1);
  }

  TEST_CASE("fault 38: what can never fit waits where it was asked to, disturbs nobody, and ends with the runtime") {
    const Clean clean;
    ObjectRef<int> waits;
    {
      Runtime rt = Runtime::start(small_machine(2, 1));  // no Machine: it ends with work that waits
      waits = rt.task<one>({.num_gpus = 2, .wait_if_infeasible = true}).remote();
      auto actor = rt.actor<Counter>({.num_cpus = 3, .wait_if_infeasible = true}).spawn();
      auto call = actor.call<&Counter::add>(1);
      for (int i = 0; i < 200; ++i) CHECK(rt.get(rt.task<one>({.num_cpus = 2}).remote(), 20s) == 1);
      CHECK_FALSE(waits.ready());
      CHECK_FALSE(call.ready());
    }
    CHECK(waits.failed());
  }

  TEST_CASE("fault 23: an arena larger than memory allows is refused at the start, with both numbers") {
    const Clean clean;
    auto options = small_machine();
    options.arena_bytes = 1ull << 50;
    const auto error = error_of<ResourceExhausted>([&] { Runtime::start(options); });
    CHECK(contains(error.message, "1125899906842624"));
    CHECK(contains(error.message, "bytes of memory that are left"));
  }

  TEST_CASE("one and a half GPUs are no amount") {
    for (const int gpus : {0, 2}) {
      Machine machine(small_machine(2, gpus));
      CHECK_THROWS_AS(machine.rt.task<one>({.num_gpus = 1.5}).remote(), InvalidArgument);
    }
  }
}

}  // namespace manta_test
