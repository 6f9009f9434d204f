#pragma once
// A runtime, a directory and the options of a small experiment, for the tests on the real runtime.
#include "support.hpp"
#include "tune/tune.hpp"

namespace manta::tune::testing {

struct RunFixture {
  TempDir dir;
  Runtime rt;
  explicit RunFixture(int cpus = 2, int gpus = 0) : rt(Runtime::start(RuntimeOptions{.num_cpus = cpus, .num_gpus = gpus})) {}

  TuneOptions options(Isolation isolation = Isolation::kShared) const {
    return {.name = "exp",
            .metric = "loss",
            .num_samples = 4,
            .space = {{"x", uniform(0, 1)}},
            .seed = 3,
            .results_dir = dir.path(),
            .isolation = isolation,
            .reporter = {.verbosity = Verbosity::kSilent}};
  }
};

}  // namespace manta::tune::testing
