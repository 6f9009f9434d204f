// Resources that belong together: placement groups, shares of a GPU, a custom resource, and what a wait waits for. A job
// of two ranks wants a GPU for each, at the same time or not at all.
//
//   placement --num-cpus=4 --num-gpus=2 --resource=licence=1                       GPUs are pretended: no driver is needed
//   placement --num-cpus=4 --num-gpus=2 --resource=licence=1 --workers=process     the same in worker processes
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "runtime/runtime.hpp"

using namespace std::chrono_literals;

/// One rank of a job: it holds its GPU for life.
class Rank {
 public:
  explicit Rank(int number) : number_(number) {}
  std::string step(manta::Context& ctx) { return "rank " + std::to_string(number_) + " on GPU " + std::to_string(ctx.gpu_ids().at(0)); }

 private:
  int number_;
};

int share_of_gpu(manta::Context& ctx) {
  std::this_thread::sleep_for(50ms);
  return ctx.gpu_ids().at(0);
}
int licensed(int n) { return 2 * n; }

/// All or none: two bundles, one for each rank.
manta::PlacementGroup reserve_job(manta::Runtime& rt, const std::string& name) {
  return rt.placement_group({.bundles = {{.num_cpus = 1, .num_gpus = 1}, {.num_cpus = 1, .num_gpus = 1}}, .name = name});
}

std::vector<manta::ActorHandle<Rank>> start_ranks(manta::Runtime& rt, const manta::PlacementGroup& group) {
  std::vector<manta::ActorHandle<Rank>> ranks;
  for (int i = 0; i < 2; ++i)
    ranks.push_back(rt.actor<Rank>({.num_cpus = 1, .num_gpus = 1, .placement = group.bundle(static_cast<std::size_t>(i))}).spawn(i));
  return ranks;
}

int main(int argc, char** argv) try {
  manta::Runtime rt = manta::Runtime::start(argc, argv);
  if (argc > 1) throw manta::InvalidArgument("unknown flag " + std::string(argv[1]) + "; there are:\n" + manta::Runtime::flags_help());

  const auto first = reserve_job(rt, "first job");
  if (!rt.wait(first, 10s)) throw manta::Timeout("the first job got no GPUs in 10 s");
  const auto ranks = start_ranks(rt, first);
  for (const auto& rank : ranks) std::printf("first job: %s\n", rt.get(rank.call<&Rank::step>()).c_str());

  const auto second = reserve_job(rt, "second job");  // both GPUs are taken: it waits, and says for what
  const auto ready = rt.ready(second);
  std::printf("second job: %s\n", ready.ready() ? "ready at once" : rt.explain(ready).c_str());
  rt.remove(first);  // ends its ranks; their GPUs go to the second job together
  if (!rt.wait(second, 10s)) throw manta::Timeout("the second job got no GPUs in 10 s");
  std::printf("second job: ready\n");
  rt.remove(second);

  std::vector<manta::ObjectRef<int>> shares;  // four at once: two on each GPU
  for (int i = 0; i < 4; ++i) shares.push_back(rt.task<share_of_gpu>({.num_gpus = 0.5}).remote());
  int on_first = 0;
  for (int id : rt.get(shares)) on_first += id == 0;
  std::printf("of four halves %d were of GPU 0\n", on_first);

  std::vector<manta::ObjectRef<int>> runs;  // one licence: one after another, whatever the CPUs
  for (int i = 0; i < 3; ++i) runs.push_back(rt.task<licensed>({.resources = {{"licence", 1}}}).remote(i));
  std::printf("with one licence: %d %d %d\n", rt.get(runs[0]), rt.get(runs[1]), rt.get(runs[2]));

  try {
    rt.task<share_of_gpu>({.name = "too big", .num_gpus = 64}).remote();
  } catch (const manta::InfeasibleResources& e) {
    std::printf("refused at once: %s\n", e.what());
  }
  return 0;
} catch (const manta::Error& e) {
  std::fprintf(stderr, "placement: %s\n", e.what());
  return 1;
}
