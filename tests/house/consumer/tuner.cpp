#include <cstdio>

#include "tune/tune.hpp"

using namespace manta;

void square(tune::TrialContext& ctx, const tune::Config& config) {
  const double x = config.get<double>("x");
  ctx.report({{"loss", x * x}});
}

int main(int argc, char** argv) {
  Runtime rt = Runtime::start(argc, argv);
  const tune::TuneOptions options{
      .name = "squares", .metric = "loss", .num_samples = 1, .space = {{"x", tune::grid_search({3.0, 2.0})}}, .results_dir = argv[1]};
  std::printf("best %g\n", *tune::run<square>(rt, options).best().metrics.get("loss"));
}
