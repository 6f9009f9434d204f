// Accuracy against time: which small networks tell two interleaved spirals apart well for the CPU time that training them
// takes. There is no single best one; NSGA-II looks for all that no other beats in both.
//   tune_multi_objective [--num-samples=N] [--results-dir=DIR] [--seed=N] [--resume] and the runtime's own flags
#include <time.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

#include "tune/tune.hpp"

using namespace manta;

struct Sample {
  double x, y, label;  // label: 1 or -1
};

/// Two spirals with noise, always the same ones.
std::vector<Sample> spirals(std::size_t count, std::uint64_t seed) {
  tune::Random random(seed);
  std::vector<Sample> samples;
  for (std::size_t i = 0; i < count; ++i) {
    const double label = i % 2 ? 1 : -1, turn = 1 + 11 * random.uniform();
    const double radius = turn / 12 * label;
    samples.push_back({radius * std::cos(turn) + 0.1 * (random.uniform() - 0.5), radius * std::sin(turn) + 0.1 * (random.uniform() - 0.5), label});
  }
  return samples;
}

/// One hidden layer of tanh, trained by gradient descent, one sample at a time.
class Network {
 public:
  explicit Network(int width, std::uint64_t seed) : units_(static_cast<std::size_t>(width)) {
    tune::Random random(seed);
    for (Unit& unit : units_) unit = {random.uniform(-3, 3), random.uniform(-3, 3), random.uniform(-2, 2), random.uniform(-0.5, 0.5)};
  }

  double output(const Sample& s) const {
    double sum = bias_;
    for (const Unit& unit : units_) sum += unit.out * std::tanh(unit.x * s.x + unit.y * s.y + unit.bias);
    return sum;
  }

  void learn(const Sample& s, double lr) {
    const double error = std::tanh(output(s)) - s.label;
    const double step = lr * error;
    for (Unit& unit : units_) {
      const double hidden = std::tanh(unit.x * s.x + unit.y * s.y + unit.bias);
      const double inner = step * unit.out * (1 - hidden * hidden);
      unit.out -= step * hidden;
      unit.x -= inner * s.x;
      unit.y -= inner * s.y;
      unit.bias -= inner;
    }
    bias_ -= step;
  }

 private:
  struct Unit {
    double x, y, bias, out;
  };
  std::vector<Unit> units_;
  double bias_{0};
};

double cpu_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return 1e3 * static_cast<double>(now.tv_sec) + 1e-6 * static_cast<double>(now.tv_nsec);
}

void train(tune::TrialContext& ctx, const tune::Config& config) {
  const std::vector<Sample> training = spirals(400, 1), held_out = spirals(400, 2);
  const double start = cpu_ms();
  Network network(config.get<int>("width"), 7);
  for (int epoch = 0; epoch < config.get<int>("epochs"); ++epoch)
    for (const Sample& sample : training) network.learn(sample, config.get<double>("lr") / (1 + 0.02 * epoch));
  const double spent = cpu_ms() - start;
  const auto right = std::count_if(held_out.begin(), held_out.end(), [&](const Sample& s) { return network.output(s) * s.label > 0; });
  ctx.report({{"accuracy", static_cast<double>(right) / static_cast<double>(held_out.size())}, {"cpu_ms", spent}});
}

/// Prints what no other trial beats in both metrics, the quickest first, and the area that these cover.
void print_front(const tune::ResultGrid& grid) {
  std::vector<tune::Losses> losses;
  for (const tune::TrialResult& trial : grid.trials())
    losses.push_back({trial.metrics.get("cpu_ms").value_or(NAN), -trial.metrics.get("accuracy").value_or(NAN)});
  std::vector<std::size_t> front = tune::pareto_front(losses);
  std::sort(front.begin(), front.end(), [&](std::size_t a, std::size_t b) { return losses[a] < losses[b]; });
  std::printf("Pareto front, %zu of %zu trials:\n  accuracy   CPU ms  parameters\n", front.size(), grid.size());
  for (std::size_t i : front) std::printf("    %.4f %8.2f  %s\n", -losses[i][1], losses[i][0], grid[i].config.describe().c_str());
  std::printf("Hypervolume below 100 ms and above an accuracy of 0.5: %.1f of 50\n", tune::hypervolume(losses, {100, -0.5}));
}

int main(int argc, char** argv) {
  Runtime rt = Runtime::start(argc, argv);
  tune::TuneOptions options{.name = "multi_objective",
                            .metric = "accuracy",
                            .mode = tune::Mode::kMax,
                            .further_objectives = {{"cpu_ms", tune::Mode::kMin}},
                            .num_samples = 200,
                            .space = {{"width", tune::lograndint(2, 65)}, {"epochs", tune::lograndint(2, 201)}, {"lr", tune::loguniform(1e-3, 1)}},
                            .searcher = tune::nsga2({.population = 20}),
                            .seed = 1,
                            .isolation = Isolation::kShared};
  CLI::App app("Accuracy against training time: the trials that no other beats in both");
  app.add_option("--num-samples", options.num_samples, "trials");
  app.add_option("--results-dir", options.results_dir, "where the experiment's directory goes");
  app.add_option("--seed", *options.seed, "of the search");
  app.add_flag("--resume", options.resume, "go on with the experiment that is there");
  app.footer(Runtime::flags_help());
  CLI11_PARSE(app, argc, argv);
  try {
    const tune::ResultGrid grid = tune::run<train>(rt, options);
    if (grid.interrupted()) return 128 + grid.signal();
    print_front(grid);
    return 0;
  } catch (const Error& error) {
    std::fprintf(stderr, "tune_multi_objective: %s\n", error.what());
    return 1;
  }
}
