// Fault 38: a GPU vanishes while the program runs. The driver's library is a made-up one, of two GPUs, that is told which is lost.
#define DOCTEST_CONFIG_IMPLEMENT
#include <unistd.h>

#include <cstdlib>

#include "tests/runtime/api/support.hpp"

manta::Workers manta_test::workers() { return manta::Workers::kProcess; }

namespace manta_test {
namespace {

/// Says which GPU it has; on the one that is going to be lost it stays.
std::string use_gpu(Context& ctx, const std::string& file, int doomed) {
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  append(file, std::string(visible ? visible : "none") + ";");
  if (ctx.gpu_ids().at(0) == doomed) eventually([&] { return ctx.cancelled(); }, 60s);
  return visible ? visible : "none";
}
double gpus_in_all(Context& ctx) { return static_cast<double>(ctx.total_resources()["GPU"].raw()) / Amount::kUnit; }
std::string visible_gpus() {
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  return visible ? visible : "none";
}
int use_and_wait(const std::string& file, const std::string& gate) {
  append(file, visible_gpus() + ";");
  return pass(gate, 1);
}
int use_both(Context& ctx) { return static_cast<int>(ctx.gpu_ids().size()); }

bool nvml_is_built() {
  const char* built = std::getenv("MANTA_TEST_NVML");
  if (built && built[0] != '0') return true;
  MESSAGE("skipped: run by ctest, which names the made-up driver");
  return false;
}

/// A machine whose GPUs the made-up driver tells; what it has lost is in the file.
RuntimeOptions all_gpus(const std::string& lost) {
  ::setenv("MANTA_TEST_LOST_GPU", lost.c_str(), 1);
  auto options = small_machine();
  options.num_gpus.reset();
  return options;
}

void lose_one(const char* visible) {
  visible ? ::setenv("CUDA_VISIBLE_DEVICES", visible, 1) : ::unsetenv("CUDA_VISIBLE_DEVICES");
  Folder folder;
  const std::string lost = folder / "lost", log = folder / "log";
  Machine machine(all_gpus(lost));
  auto& rt = machine.rt;
  REQUIRE(rt.total_resources()["GPU"] == Amount(2));
  CHECK(rt.get(rt.task<use_both>({.num_gpus = 2}).remote(), 60s) == 2);
  auto task = rt.task<use_gpu>({.num_gpus = 1}).remote(log, 0);
  REQUIRE(eventually([&] { return content(log) == "GPU-0;"; }, 60s));
  std::vector<ObjectRef<int>> queued;
  for (int i = 0; i < 5; ++i) queued.push_back(rt.task<use_both>({.num_gpus = 2}).remote());
  auto group = rt.placement_group({.bundles = {{.num_cpus = 1, .num_gpus = 1}, {.num_cpus = 1, .num_gpus = 1}}});
  auto in_group = rt.task<use_both>({.num_gpus = 1, .placement = group.bundle(0)}).remote();
  CHECK(rt.get(rt.remote<gpus_in_all>(), 60s) == 2);
  append(lost, "0");
  CHECK(rt.get(task, 60s) == "GPU-1");
  CHECK(content(log) == "GPU-0;GPU-1;");
  CHECK(rt.total_resources()["GPU"] == Amount(1));
  for (const auto& each : queued) {
    const auto error = error_of<InfeasibleResources>([&] { rt.get(each, 60s); });
    CHECK_MESSAGE(contains(error.message, "vanished"), error.message);
  }
  CHECK_THROWS_AS(rt.get(rt.task<use_both>({.num_gpus = 2}).remote(), 60s), InfeasibleResources);
  CHECK(rt.get(rt.task<use_both>({.num_gpus = 1}).remote(), 60s) == 1);
  CHECK(eventually([&] { return rt.get(rt.remote<gpus_in_all>(), 60s) == 1; }));
  CHECK(rt.get(rt.task<gpus_in_all>({.isolation = own_process}).remote(), 60s) == 1);
  CHECK_THROWS_AS(rt.get(rt.ready(group), 60s), InfeasibleResources);
  CHECK_THROWS_AS(rt.get(in_group, 60s), InfeasibleResources);
  CHECK_THROWS_AS(rt.placement_group({.bundles = {{.num_cpus = 1, .num_gpus = 1}, {.num_cpus = 1, .num_gpus = 1}}, .name = "both"}), InfeasibleResources);
}

}  // namespace

TEST_SUITE("runtime/faults") {
  TEST_CASE("fault 38: a GPU that vanishes is counted no more, its task runs again on another, what needs more is refused") {
    if (!nvml_is_built()) return;
    const Clean clean;
    for (const char* visible : {static_cast<const char*>(nullptr), "0,1", "GPU-0,GPU-1"}) {  // the list ended at the GPU that was lost: the others were, too
      CAPTURE(std::string(visible ? visible : "all"));
      lose_one(visible);
    }
    ::unsetenv("CUDA_VISIBLE_DEVICES");
  }

  TEST_CASE("fault 38: a driver that does not answer for a while has lost no GPU") {
    if (!nvml_is_built()) return;
    Folder folder;
    const std::string lost = folder / "lost", log = folder / "log";
    Machine machine(all_gpus(lost));
    auto& rt = machine.rt;
    Gate gate;
    auto task = rt.task<use_and_wait>({.num_gpus = 1}).remote(log, gate.path());
    REQUIRE(eventually([&] { return content(log) == "GPU-0;"; }, 60s));
    append(lost, "99");
    std::this_thread::sleep_for(500ms);  // ten looks
    CHECK(rt.total_resources()["GPU"] == Amount(2));
    fs::remove(lost);
    gate.open();
    CHECK(rt.get(task, 60s) == 1);
    CHECK(content(log) == "GPU-0;");
  }

  // They were 0, 1 and so on: GPUs that the program had been told not to use.
  TEST_CASE("a number of GPUs that is given means those that the program may use, and no others") {
    if (!nvml_is_built()) return;
    const auto seen = [](const char* visible, int count) {
      ::setenv("CUDA_VISIBLE_DEVICES", visible, 1);
      Machine machine(small_machine(4, count));
      const auto said = machine.rt.get(machine.rt.task<visible_gpus>({.num_gpus = count}).remote(), 60s);
      ::unsetenv("CUDA_VISIBLE_DEVICES");
      return said;
    };
    CHECK(seen("1", 1) == "GPU-1");
    CHECK(seen("1,0", 2) == "GPU-1,GPU-0");
    CHECK(seen("1", 3) == "GPU-1,none-1,none-2");
    CHECK(seen("1,9,0", 3) == "GPU-1,none-1,none-2");
    CHECK(seen("0,0", 2) == "GPU-0,none-1");
    CHECK(seen("9,0", 2) == "9,none-1");
    CHECK(seen("7,7", 2) == "7,none-1");
    CHECK(seen("", 1) == "none-0");
    CHECK(seen("7", 1) == "7");
  }
}

}  // namespace manta_test

int main(int argc, char** argv) {
  manta::Runtime::enter_worker_mode(argc, argv);
  return doctest::Context(argc, argv).run();
}
