// The smallest search: where is (x - 3)² + (y + 1)² smallest? Each trial begins at a place of its own and goes downhill, and
// ASHA stops those that are behind. `descend` and the call of `run` are all of it; the rest are flags and errors.
//
//   tune_quadratic [--num-samples=N] [--results-dir=DIR] [--resume] and the runtime's own flags
#include <CLI/CLI.hpp>
#include <cstdio>

#include "tune/tune.hpp"

using namespace manta;

void descend(tune::TrialContext& ctx, const tune::Config& config) {
  double x = config.get<double>("x"), y = config.get<double>("y");
  for (int step = 0; step < 20; ++step, x -= 0.2 * (x - 3), y -= 0.2 * (y + 1))
    ctx.report({{"loss", (x - 3) * (x - 3) + (y + 1) * (y + 1)}, {"x_now", x}});
}

int main(int argc, char** argv) try {
  Runtime rt = Runtime::start(argc, argv);  // takes its own flags out
  std::int64_t samples = 12;
  std::filesystem::path results_dir = "manta_results";
  bool resume = false;
  CLI::App app("Finds the smallest value of a quadratic function");
  app.add_option("--num-samples", samples, "trials");
  app.add_option("--results-dir", results_dir, "where the experiment's directory goes");
  app.add_flag("--resume", resume, "go on with the experiment that is there");
  app.footer(Runtime::flags_help());
  CLI11_PARSE(app, argc, argv);

  const tune::ResultGrid grid = tune::run<descend>(rt, {.name = "quadratic", .metric = "loss", .num_samples = samples,
                                                        .space = {{"x", tune::uniform(-10, 10)}, {"y", tune::uniform(-10, 10)}},
                                                        .scheduler = tune::asha({.max_t = 20, .grace_period = 1, .reduction_factor = 2}),
                                                        .seed = 1, .results_dir = results_dir, .resume = resume});
  if (grid.interrupted()) return 128 + grid.signal();
  std::printf("Best: %s, loss %.3g, results in %s\n", grid.best().config.describe().c_str(), *grid.best().metrics.get("loss"), grid.dir().c_str());
  return 0;
} catch (const Error& error) {
  std::fprintf(stderr, "tune_quadratic: %s\n", error.what());
  return 1;
}
