// BOHB on the CNN of tune_fashion_mnist: HyperBand decides how long each trial trains, a density estimate of the good and the bad
// configurations which one is tried next. Trials pause at a rung until its bracket is full; the best third goes on.
//
//   tune_bohb [SAMPLES] [IMAGES AN EPOCH] [--name=NAME] [--resume]        for example: tune_bohb 30 6000
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include "examples/tune_fashion_mnist/trainable.hpp"
#include "tune/tune.hpp"

using namespace manta;

int main(int argc, char** argv) {
  try {
    Runtime rt = Runtime::start(argc, argv);
    std::int64_t samples = 17, images = 6000;
    std::string name;
    bool resume = false;
    CLI::App app{"BOHB on the CNN of tune_fashion_mnist."};
    app.add_option("samples", samples, "configurations to try")->capture_default_str()->check(CLI::PositiveNumber);
    app.add_option("images", images, "images of an epoch")->capture_default_str()->check(CLI::PositiveNumber);
    app.add_option("--name", name, "the experiment's folder in manta_results (default: train_cifar and the time)");
    app.add_flag("--resume", resume, "go on with the experiment --name");
    CLI11_PARSE(app, argc, argv);
    const tune::TuneOptions options{
        .name = name,
        .metric = "loss",
        .num_samples = samples,
        .space = {{"l1", tune::ordinal({16, 32, 64, 128, 256})},
                  {"l2", tune::ordinal({16, 32, 64, 128, 256})},
                  {"lr", tune::loguniform(1e-4, 1e-1)},
                  {"batch_size", tune::choice({16, 32, 64, 128})},
                  {"epoch_images", images},
                  {"max_epochs", 9}},
        .searcher = tune::bohb_search(),
        .scheduler = tune::hyperband_for_bohb({.max_t = 9, .reduction_factor = 3}),
        .seed = 1,
        .resume = resume};
    const tune::ResultGrid grid = tune::run<train_cifar>(options, std::string("/usr/share/datasets/fashion-mnist"));
    if (grid.interrupted()) return 128 + grid.signal();
    std::printf("\nLosses by the order in which the configurations were proposed (epochs trained):\n");
    for (const tune::TrialResult& trial : grid.trials())
      std::printf("  %.3f (%llu)", trial.metrics.get("loss").value_or(0), static_cast<unsigned long long>(trial.iterations));
    const tune::TrialResult& best = grid.best();
    std::printf("\nBest: %s\n  after %llu epochs: loss %.4f, accuracy %.4f on the held-out images\n", best.config.describe().c_str(),
                static_cast<unsigned long long>(best.iterations), *best.metrics.get("loss"), *best.metrics.get("accuracy"));
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "tune_bohb: %s\n", error.what());
    return 1;
  }
}
