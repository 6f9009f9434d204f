// The smallest search: which x and y make (x - 3)² + (y + 1)² smallest, each trial stepping towards its own minimum.
//   tune_quadratic [--num-samples=N] [--results-dir=DIR] [--name=NAME] [--seed=N] [--resume] and the runtime's own flags
#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>

#include "tune/tune.hpp"

using namespace manta;

void descend(tune::TrialContext& ctx, const tune::Config& config) {
  double x = config.get<double>("x"), y = config.get<double>("y");
  if (auto dir = ctx.checkpoint()) std::ifstream(*dir / "point") >> x >> y;
  for (auto step = ctx.iteration(); step < 20; ++step) {
    x -= 0.1 * 2 * (x - 3), y -= 0.1 * 2 * (y + 1);
    ctx.report({{"loss", (x - 3) * (x - 3) + (y + 1) * (y + 1)}, {"x_now", x}, {"y_now", y}},
               [&](const std::filesystem::path& dir) {
                 std::ofstream out(dir / "point");
                 out.precision(17);
                 out << x << ' ' << y;
               });
  }
}

int main(int argc, char** argv) {
  Runtime rt = Runtime::start(argc, argv);
  tune::TuneOptions options{.name = "quadratic",
                            .metric = "loss",
                            .num_samples = 12,
                            .space = {{"x", tune::uniform(-10, 10)}, {"y", tune::uniform(-10, 10)}},
                            .scheduler = tune::asha({.max_t = 20, .grace_period = 1, .reduction_factor = 2}),
                            .seed = 1};
  CLI::App app("Finds the smallest value of a quadratic function");
  app.add_option("--num-samples", options.num_samples, "trials");
  app.add_option("--results-dir", options.results_dir, "where the experiment's directory goes");
  app.add_option("--name", options.name, "of the experiment");
  app.add_option("--seed", *options.seed, "of the search");
  app.add_flag("--resume", options.resume, "go on with the experiment of that name");
  app.footer(Runtime::flags_help());
  CLI11_PARSE(app, argc, argv);
  try {
    const tune::ResultGrid grid = tune::run<descend>(rt, options);
    if (grid.interrupted()) return 128 + grid.signal();
    const tune::TrialResult& best = grid.best();
    std::printf("Best: %s, loss %.3g, results in %s\n", best.config.describe().c_str(), *best.metrics.get("loss"),
                grid.dir().c_str());
    return 0;
  } catch (const Error& error) {
    std::fprintf(stderr, "tune_quadratic: %s\n", error.what());
    return 1;
  }
}
