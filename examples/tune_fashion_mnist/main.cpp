// ASHA tunes a small CNN on real images: the classic Ray Tune example in C++. By default Fashion-MNIST of the Debian
// package dataset-fashion-mnist; --dataset=cifar10 takes the classic example's own data, net and batch sizes.
//
// Of the training files' images the last 10,000 are held out: trials are compared by their loss on them. An epoch is a
// part of the rest (--epoch-images), drawn anew each epoch by the trial's seed. The test files are touched once, at the
// end, by the best trial's checkpoint.
#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <iostream>

#include "examples/tune_fashion_mnist/trainable.hpp"
#include "runtime/runtime.hpp"
#include "train/checkpoint.hpp"
#include "tune/tune.hpp"

using namespace manta;
namespace fs = std::filesystem;

namespace {

struct Flags {
  std::string dataset{kDataset};
  std::string data_dir{};
  std::int64_t num_samples{12};
  std::uint64_t max_epochs{kMaxEpochs};
  std::uint64_t grace_period{1};
  double reduction_factor{2};
  std::int64_t epoch_images{-1};
  double cpus_per_trial{kCpusPerWorker};
  double gpus_per_trial{-1};
  int workers_per_trial{kWorkers};
  std::int64_t max_concurrent{0};
  std::int64_t max_failures{0};
  std::uint64_t seed{1};
  std::string results_dir{"manta_results"};
  std::string name{};
  bool resume{false};
};

void add_flags(CLI::App& app, Flags& flags) {
  app.add_option("--dataset", flags.dataset, "fashion-mnist or cifar10")
      ->check(CLI::IsMember({"fashion-mnist", "cifar10"}))->capture_default_str();
  app.add_option("--data-dir", flags.data_dir,
                 "folder of the data files (default: /usr/share/datasets/fashion-mnist, or cifar-10-batches-bin)");
  app.add_option("--num-samples", flags.num_samples, "configurations to try")
      ->check(CLI::Range(1, 1000000))->capture_default_str();
  app.add_option("--max-epochs", flags.max_epochs, "epochs that the best trials get")
      ->check(CLI::Range(1, 1000000))->capture_default_str();
  app.add_option("--grace-period", flags.grace_period, "epochs that every trial gets")
      ->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--reduction-factor", flags.reduction_factor, "one in so many trials passes a rung")
      ->capture_default_str();
  app.add_option("--epoch-images", flags.epoch_images, "images of an epoch, 0: all (default: 12000; cifar10: all)")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--cpus-per-trial", flags.cpus_per_trial, "CPUs, and so threads, of a trial or of each of its workers")
      ->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--gpus-per-trial", flags.gpus_per_trial, "GPUs of a trial (default: 0.5 where there is one)")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--workers-per-trial", flags.workers_per_trial, "data-parallel workers of each trial")
      ->check(CLI::Range(1, 1024))->capture_default_str();
  app.add_option("--max-concurrent", flags.max_concurrent, "trials at a time, 0: as many as fit")
      ->check(CLI::NonNegativeNumber)->capture_default_str();
  app.add_option("--max-failures", flags.max_failures, "how often a failed trial is run again, -1: without end")
      ->check(CLI::Range(-1, 1000000))->capture_default_str();
  app.add_option("--seed", flags.seed, "of everything that is drawn")->capture_default_str();
  app.add_option("--results-dir", flags.results_dir, "where experiments are kept")->capture_default_str();
  app.add_option("--name", flags.name, "the experiment's folder in it (default: the data set and the time)");
  app.add_flag("--resume", flags.resume, "go on with the experiment --name, or with the newest one of this data set");
}

std::string time_stamp() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm parts{};
  localtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d_%H-%M-%S", &parts);
  return text;
}

/// The newest experiment of the data set: names end in the time, so the largest is the newest.
std::string newest_experiment(const Flags& flags) {
  std::string newest;
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(flags.results_dir, code)) {
    const std::string name = entry.path().filename().string();
    if (entry.is_directory(code) && name.starts_with(flags.dataset + "_")) newest = std::max(newest, name);
  }
  return newest;
}

std::string experiment_name(const Flags& flags) {
  if (!flags.name.empty()) return flags.name;
  const std::string newest = flags.resume ? newest_experiment(flags) : "";
  if (flags.resume && newest.empty()) {
    std::printf("There is no experiment of %s in %s to resume: starting one.\n", flags.dataset.c_str(),
                flags.results_dir.c_str());
  }
  return newest.empty() ? flags.dataset + "_" + time_stamp() : newest;
}

void fill_defaults(Flags& flags, const Resources& total) {
  const bool cifar = flags.dataset == "cifar10";
  if (flags.data_dir.empty()) flags.data_dir = cifar ? "cifar-10-batches-bin" : "/usr/share/datasets/fashion-mnist";
  flags.data_dir = fs::absolute(flags.data_dir).string();
  if (flags.epoch_images < 0) flags.epoch_images = static_cast<std::int64_t>(epoch_images(flags.dataset));
  if (flags.gpus_per_trial < 0) flags.gpus_per_trial = total["GPU"] > Amount{0} && flags.workers_per_trial == 1 ? 0.5 : 0;
}

/// With workers, a trial holds nothing itself: its workers hold their CPUs.
tune::TrialResources trial_resources(const Flags& flags, const Resources& total) {
  if (flags.workers_per_trial == 1) return {.num_cpus = flags.cpus_per_trial, .num_gpus = flags.gpus_per_trial};
  Resources workers{{"CPU", flags.cpus_per_trial * flags.workers_per_trial}};
  if (total["GPU"] >= Amount{flags.workers_per_trial}) workers.set("GPU", flags.workers_per_trial);
  return {.num_cpus = 0, .num_gpus = 0, .workers = workers};
}

/// What is tuned, and as constants what the flags change.
tune::Space search_space(const Flags& flags) {
  const auto power_of_two = [](tune::Random& random) { return 1 << random.randint(2, 9); };
  const bool cifar = flags.dataset == "cifar10";
  tune::Space space{{"l1", tune::sample_from(power_of_two)},
                    {"l2", tune::sample_from(power_of_two)},
                    {"lr", tune::loguniform(1e-4, 1e-1)},
                    {"batch_size", cifar ? tune::choice({2, 4, 8, 16}) : tune::choice({16, 32, 64, 128})}};
  const auto images = static_cast<std::int64_t>(epoch_images(flags.dataset));
  if (flags.dataset != kDataset) space.add("dataset", flags.dataset);
  if (flags.max_epochs != kMaxEpochs) space.add("max_epochs", static_cast<std::int64_t>(flags.max_epochs));
  if (flags.epoch_images != images) space.add("epoch_images", flags.epoch_images);
  if (flags.workers_per_trial != kWorkers) space.add("workers", flags.workers_per_trial);
  if (flags.cpus_per_trial != kCpusPerWorker) space.add("cpus_per_worker", flags.cpus_per_trial);
  return space;
}

tune::TuneOptions tune_options(const Flags& flags, const Resources& total) {
  return {.name = experiment_name(flags),
          .metric = "loss",
          .mode = tune::Mode::kMin,
          .num_samples = flags.num_samples,
          .space = search_space(flags),
          .scheduler = tune::asha({.max_t = flags.max_epochs,
                                   .grace_period = flags.grace_period,
                                   .reduction_factor = flags.reduction_factor}),
          .resources = trial_resources(flags, total),
          .max_concurrent = flags.max_concurrent,
          .max_failures = flags.max_failures,
          .seed = flags.seed,
          .results_dir = flags.results_dir,
          .resume = flags.resume};
}

/// Loads the best trial's checkpoint again and evaluates it on the test files' images.
void test_best(const tune::TrialResult& best, const Flags& flags, train::ImageSet test_images) {
  std::cout << "\nBest trial: " << best.name << "\n  config: " << best.config.describe() << "\n  loss on held-out images: "
            << best.metrics.get("loss").value_or(0) << "\n  accuracy on held-out images: "
            << best.metrics.get("accuracy").value_or(0) << "\n  epochs: " << best.iterations << "\n";
  if (!best.checkpoint_dir) throw NotFound("the best trial left no checkpoint");
  std::cout << "  checkpoint: " << best.checkpoint_dir->string() << "\n";
  train::ConvNet net =
      make_net(flags.dataset, best.config.get<std::int64_t>("l1"), best.config.get<std::int64_t>("l2"));
  train::load_checkpoint(*best.checkpoint_dir, *net);
  const train::TensorSet test(std::move(test_images), normalization(flags.dataset));
  const Score score = evaluate(net, test, 0, test.size(), at::kCPU);
  std::printf("Best trial on the %zu test images: loss %.4f, accuracy %.4f\n", test.size(), score.loss, score.accuracy);
}

int run(Runtime& rt, Flags flags) {
  const Resources total = rt.total_resources();
  fill_defaults(flags, total);
  train::ImageSet test_images = load_dataset(flags.dataset, flags.data_dir).test;  // bad files end it here
  const tune::ResultGrid grid = tune::run<train_cifar>(tune_options(flags, total), flags.data_dir);
  if (!grid.interrupted()) test_best(grid.best(), flags, std::move(test_images));
  std::cout << "Results: " << grid.dir().string() << std::endl;
  return grid.interrupted() ? 128 + grid.signal() : 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    Runtime rt = Runtime::start(argc, argv);
    CLI::App app("Tunes a small CNN with ASHA on Fashion-MNIST or CIFAR-10.");
    Flags flags;
    add_flags(app, flags);
    app.footer("Flags of the runtime:\n" + Runtime::flags_help());
    CLI11_PARSE(app, argc, argv);
    return run(rt, flags);
  } catch (const std::exception& e) {
    std::cerr << "tune_fashion_mnist: " << e.what() << std::endl;
    return 1;
  }
}
