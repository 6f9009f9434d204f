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
int use_both(Context& ctx) { return static_cast<int>(ctx.gpu_ids().size()); }

}  // namespace

TEST_SUITE("runtime/faults") {
  TEST_CASE("fault 38: a GPU that vanishes is counted no more, its task runs again on another, what needs more is refused") {
    const char* built = std::getenv("MANTA_TEST_NVML");
    if (!built || built[0] == '0') {
      MESSAGE("skipped: run by ctest, which names the made-up driver");
      return;
    }
    Folder folder;
    const std::string lost = folder / "lost", log = folder / "log";
    ::setenv("MANTA_TEST_LOST_GPU", lost.c_str(), 1);
    auto options = small_machine();
    options.num_gpus.reset();
    Machine machine(options);
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
}

}  // namespace manta_test

int main(int argc, char** argv) {
  manta::Runtime::enter_worker_mode(argc, argv);
  return doctest::Context(argc, argv).run();
}
