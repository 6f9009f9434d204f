// ASHA of the promotion type on the CNN of tune_fashion_mnist: a trial trains to its rung and pauses there with a checkpoint; when
// a worker is free, the best third of a rung goes on to the next one, perhaps in another process. Nobody is stopped early.
//
//   tune_asha [SAMPLES] [IMAGES AN EPOCH] [--name=NAME] [--resume]        for example: tune_asha 20 6000
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include "examples/tune_fashion_mnist/trainable.hpp"
#include "tune/tune.hpp"

using namespace manta;

int main(int argc, char** argv) {
  try {
    Runtime rt = Runtime::start(argc, argv);
    std::int64_t samples = 12, images = 6000;
    std::string name;
    bool resume = false;
    CLI::App app{"ASHA of the paper's type on the CNN of tune_fashion_mnist."};
    app.add_option("samples", samples, "configurations to try")->capture_default_str()->check(CLI::PositiveNumber);
    app.add_option("images", images, "images of an epoch")->capture_default_str()->check(CLI::PositiveNumber);
    app.add_option("--name", name, "the experiment's folder in manta_results (default: train_cifar and the time)");
    app.add_flag("--resume", resume, "go on with the experiment --name");
    CLI11_PARSE(app, argc, argv);
    const tune::TuneOptions options{
        .name = name,
        .metric = "loss",
        .num_samples = samples,
        .space = {{"l1", tune::choice({16, 32, 64, 128, 256})},
                  {"l2", tune::choice({16, 32, 64, 128, 256})},
                  {"lr", tune::loguniform(1e-4, 1e-1)},
                  {"batch_size", tune::choice({16, 32, 64, 128})},
                  {"epoch_images", images},
                  {"max_epochs", 9}},
        .scheduler = tune::asha({.type = tune::AshaType::kPromotion, .max_t = 9, .reduction_factor = 3}),
        .seed = 1,
        .resume = resume};
    const tune::ResultGrid grid = tune::run<train_cifar>(options, std::string("/usr/share/datasets/fashion-mnist"));
    if (grid.interrupted()) return 128 + grid.signal();
    std::size_t at[10] = {};
    for (const tune::TrialResult& trial : grid.trials()) ++at[trial.iterations];
    std::printf("\n%zu trials ended at 1 epoch, %zu at 3, %zu at 9.\n", at[1], at[3], at[9]);
    const tune::TrialResult& best = grid.best();
    std::printf("Best: %s\n  after %llu epochs: loss %.4f, accuracy %.4f on the held-out images\n", best.config.describe().c_str(),
                static_cast<unsigned long long>(best.iterations), *best.metrics.get("loss"), *best.metrics.get("accuracy"));
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "tune_asha: %s\n", error.what());
    return 1;
  }
}
