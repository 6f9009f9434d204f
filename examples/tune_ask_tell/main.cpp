// A search without a runtime: this program asks for parameters, tries them itself and tells what came of it. Here: which
// polynomial fits noisy points best on points that it has not seen. The study is kept in a file: run it again and it goes on.
//   tune_ask_tell [--trials=N] [--study=FILE] [--seed=N]
#include <CLI/CLI.hpp>
#include <array>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iterator>

#include "runtime/errors.hpp"
#include "tune/study.hpp"

using namespace manta;

constexpr int kPoints = 24;

double x_of(int i) { return -1 + 2.0 * i / (kPoints - 1); }
double y_of(int i) { return std::sin(3 * x_of(i)) + 0.2 * std::sin(37.0 * i); }  // the second part stands for noise

/// Fits by gradient descent on the even points; the mean square error on the odd ones.
double error_of(int degree, double rate, double decay) {
  std::array<double, 10> weights{};
  const auto predict = [&](double x) {
    double sum = 0;
    for (int k = degree; k >= 0; --k) sum = sum * x + weights[static_cast<std::size_t>(k)];
    return sum;
  };
  for (int step = 0; step < 400; ++step)
    for (int i = 0; i < kPoints; i += 2) {
      const double error = predict(x_of(i)) - y_of(i);
      for (int k = 0; k <= degree; ++k) {
        double& weight = weights[static_cast<std::size_t>(k)];
        weight -= rate * (error * std::pow(x_of(i), k) + decay * weight);
      }
    }
  double sum = 0;
  for (int i = 1; i < kPoints; i += 2) sum += std::pow(predict(x_of(i)) - y_of(i), 2) * 2 / kPoints;
  return sum;
}

void go_on_with(tune::Study& study, const std::string& file) {
  std::ifstream in(file);
  if (!in) return;
  study.restore(std::string(std::istreambuf_iterator<char>(in), {}));
  std::printf("Going on after %zu trials, the best so far: %.4f\n", study.trials().size(), *study.best().metrics.get("error"));
}

int main(int argc, char** argv) {
  int trials = 60;
  std::string file;
  std::uint64_t seed = 1;
  CLI::App app("Finds the polynomial that fits best, by ask and tell");
  app.add_option("--trials", trials, "how many to try now");
  app.add_option("--study", file, "keeps the study; it is gone on with when it is there");
  app.add_option("--seed", seed, "of the search");
  CLI11_PARSE(app, argc, argv);
  try {
    tune::Study study({.space = {{"degree", tune::randint(1, 10)},
                                 {"rate", tune::loguniform(1e-4, 1)},
                                 {"decay", tune::loguniform(1e-6, 0.1)}},
                       .metric = "error",
                       .seed = seed});
    if (!file.empty()) go_on_with(study, file);
    for (int i = 0; i < trials; ++i) {
      const tune::StudyTrial trial = study.ask();
      const tune::Config& c = trial.config;
      const double error = error_of(c.get<int>("degree"), c.get<double>("rate"), c.get<double>("decay"));
      study.tell(trial, {{"error", error}});  // a fit that ran away is NaN, which counts as a failure
    }
    if (!file.empty()) std::ofstream(file) << study.save();
    const tune::StudyTrial& best = study.best();
    std::printf("Best of %zu: trial %u with error %.4f, %s\n", study.trials().size(), best.number, *best.metrics.get("error"),
                best.config.describe().c_str());
    return 0;
  } catch (const Error& error) {
    std::fprintf(stderr, "tune_ask_tell: %s\n", error.what());
    return 1;
  }
}
