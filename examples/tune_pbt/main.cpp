// Population based training on the CNN of tune_fashion_mnist: four trials train side by side; every two epochs the worst one
// becomes a copy of the best, with another learning rate or batch size. What is found is a schedule, which is printed.
//
//   tune_pbt [EPOCHS] [IMAGES AN EPOCH] [--name=NAME] [--resume]        for example: tune_pbt 16 6000
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <filesystem>

#include "examples/tune_fashion_mnist/trainable.hpp"
#include "tune/tune.hpp"

using namespace manta;

int main(int argc, char** argv) {
  try {
    Runtime rt = Runtime::start(argc, argv);
    std::int64_t epochs = 12, images = 6000;
    std::string name;
    bool resume = false;
    CLI::App app{"Population based training on the CNN of tune_fashion_mnist."};
    app.add_option("epochs", epochs, "epochs of each of the four trials")->capture_default_str()->check(CLI::PositiveNumber);
    app.add_option("images", images, "images of an epoch")->capture_default_str()->check(CLI::PositiveNumber);
    app.add_option("--name", name, "the experiment's folder in manta_results (default: train_cifar and the time)");
    app.add_flag("--resume", resume, "go on with the experiment --name");
    CLI11_PARSE(app, argc, argv);
    const tune::TuneOptions options{
        .name = name,
        .metric = "loss",
        .num_samples = 4,
        .space = {{"l1", 64}, {"l2", 64}, {"lr", tune::loguniform(1e-4, 1e-1)}, {"batch_size", tune::choice({16, 32, 64, 128})},
                  {"epoch_images", images}, {"max_epochs", epochs}},
        .scheduler = tune::pbt({.time_attr = "training_iteration",
                                .perturbation_interval = 2,
                                .hyperparam_mutations = {{"lr", tune::loguniform(1e-4, 1e-1)}, {"batch_size", tune::choice({16, 32, 64, 128})}},
                                .synch = true}),
        .seed = 1,
        .resume = resume};
    const tune::ResultGrid grid = tune::run<train_cifar>(options, std::string("/usr/share/datasets/fashion-mnist"));
    if (grid.interrupted()) return 128 + grid.signal();
    const tune::TrialResult& best = grid.best();
    std::printf("\nBest: loss %.4f, accuracy %.4f on the held-out images after %llu epochs\n", *best.metrics.get("loss"),
                *best.metrics.get("accuracy"), static_cast<unsigned long long>(best.iterations));
    const auto policy_file = grid.dir() / ("pbt_policy_" + best.id + ".txt");
    if (!std::filesystem::exists(policy_file)) {
      std::printf("It was never changed: lr %.5f, batch size %lld\n", best.config.get<double>("lr"), best.config.get<long long>("batch_size"));
      return 0;
    }
    const tune::PbtPolicy policy = tune::read_pbt_policy(policy_file);
    std::printf("Its schedule (tune::pbt_replay(\"%s\") trains it again):\n", policy_file.c_str());
    const auto print = [](std::uint64_t from, const tune::Config& config) {
      std::printf("  from epoch %2llu: lr %.5f, batch size %lld\n", static_cast<unsigned long long>(from) + 1, config.get<double>("lr"),
                  config.get<long long>("batch_size"));
    };
    print(0, policy.initial);
    for (const auto& [step, config] : policy.changes) print(step, config);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "tune_pbt: %s\n", error.what());
    return 1;
  }
}
