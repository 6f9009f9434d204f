// Parameters that exist only beside certain values of others, and combinations that are never tried: which optimizer, with
// which settings of its own, gets lowest in a narrow curved valley (Rosenbrock's) within 200 steps.
//   tune_conditional [--num-samples=N] [--results-dir=DIR] [--seed=N] [--resume] [--space=FILE] and the runtime's own flags
// --space reads the search space from JSON instead (examples/tune_conditional/space.json is the one below).
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iterator>

#include "tune/space_json.hpp"
#include "tune/tune.hpp"

using namespace manta;

const tune::Space kSpace{
    {"optimizer", tune::choice({"sgd", "adam"})},
    {"lr", tune::loguniform(1e-5, 1)},
    {"sgd", tune::Space{{"momentum", tune::uniform(0, 0.99)},
                        {"nesterov", tune::choice({false, true}), tune::when_at_least("momentum", 0.5)}},
     tune::when("optimizer", "sgd")},
    {"adam", tune::Space{{"beta1", tune::quniform(0.5, 0.95, 0.05)}, {"amsgrad", tune::choice({false, true})}},
     tune::when("optimizer", "adam")},
    {"clip", tune::ordinal({0, 1, 10})},  // of the gradient's length; 0: none
    tune::forbid({{"optimizer", "sgd"}, {"clip", 0}}),
};

struct Point {
  double x, y;
};

Point gradient(Point p, double clip) {
  const double slope = p.y - p.x * p.x;
  const Point g{-400 * p.x * slope - 2 * (1 - p.x), 200 * slope};
  const double length = std::hypot(g.x, g.y), scale = clip > 0 && length > clip ? clip / length : 1;
  return {g.x * scale, g.y * scale};
}

Point sgd_step(Point p, Point& speed, double lr, const tune::Config& own, double clip) {
  const double momentum = own.get<double>("momentum");
  const bool ahead = own.get_or("nesterov", false);  // absent, so false, where momentum is below 0.5
  const Point g = gradient(ahead ? Point{p.x + momentum * speed.x, p.y + momentum * speed.y} : p, clip);
  speed = {momentum * speed.x - lr * g.x, momentum * speed.y - lr * g.y};
  return {p.x + speed.x, p.y + speed.y};
}

struct AdamState {
  double mean[2]{}, square[2]{}, largest[2]{};
};

Point adam_step(Point p, AdamState& state, double lr, const tune::Config& own, double clip, int step) {
  const double beta1 = own.get<double>("beta1"), beta2 = 0.99;
  const Point g = gradient(p, clip);
  double moved[2] = {p.x, p.y};
  for (int i = 0; i < 2; ++i) {
    const double slope = i == 0 ? g.x : g.y;
    state.mean[i] = beta1 * state.mean[i] + (1 - beta1) * slope;
    state.square[i] = beta2 * state.square[i] + (1 - beta2) * slope * slope;
    const double square = state.square[i] / (1 - std::pow(beta2, step));
    state.largest[i] = std::max(state.largest[i], square);
    const double scale = std::sqrt(own.get<bool>("amsgrad") ? state.largest[i] : square) + 1e-8;
    moved[i] -= lr * state.mean[i] / (1 - std::pow(beta1, step)) / scale;
  }
  return {moved[0], moved[1]};
}

void descend(tune::TrialContext& ctx, const tune::Config& config) {
  const bool sgd = config.get<std::string>("optimizer") == "sgd";
  const auto own = config.get<tune::Config>(sgd ? "sgd" : "adam");  // the other one's table is not there
  const double lr = config.get<double>("lr"), clip = config.get<double>("clip");
  Point p{-1.5, 2}, speed{0, 0};
  AdamState adam;
  for (int step = 1; step <= 200; ++step) {
    p = sgd ? sgd_step(p, speed, lr, own, clip) : adam_step(p, adam, lr, own, clip, step);
    if (step % 20 == 0) ctx.report({{"loss", std::pow(1 - p.x, 2) + 100 * std::pow(p.y - p.x * p.x, 2)}});
  }
}

tune::Space read_space(const std::string& file) {
  std::ifstream in(file);
  if (!in) throw InvalidArgument("cannot read the search space from '" + file + "'.");
  return tune::space_from_json(std::string(std::istreambuf_iterator<char>(in), {}));
}

int main(int argc, char** argv) {
  Runtime rt = Runtime::start(argc, argv);
  tune::TuneOptions options{.name = "conditional", .metric = "loss", .num_samples = 60, .space = kSpace,
                            .searcher = tune::tpe(), .seed = 1, .isolation = Isolation::kShared};
  std::string space_file;
  CLI::App app("Finds the optimizer that gets lowest in Rosenbrock's valley");
  app.add_option("--num-samples", options.num_samples, "trials");
  app.add_option("--results-dir", options.results_dir, "where the experiment's directory goes");
  app.add_option("--seed", *options.seed, "of the search");
  app.add_flag("--resume", options.resume, "go on with the experiment that is there");
  app.add_option("--space", space_file, "a search space in JSON");
  app.footer(Runtime::flags_help());
  CLI11_PARSE(app, argc, argv);
  try {
    if (!space_file.empty()) options.space = read_space(space_file);
    const tune::ResultGrid grid = tune::run<descend>(rt, options);
    if (grid.interrupted()) return 128 + grid.signal();
    const tune::TrialResult& best = grid.best();
    std::printf("Best: %s, loss %.3g\n", best.config.describe().c_str(), *best.metrics.get("loss"));
    return 0;
  } catch (const Error& error) {
    std::fprintf(stderr, "tune_conditional: %s\n", error.what());
    return 1;
  }
}
