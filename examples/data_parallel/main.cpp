// Two worker processes train one CNN on Fashion-MNIST together: each takes its share of every batch, and c10d's Reducer
// (over Gloo on CPUs, NCCL on GPUs) keeps their weights equal. Prints loss, accuracy and images per second.
#include <torch/nn/functional/loss.h>
#include <torch/optim/sgd.h>
#include <torch/utils.h>

#include <CLI/CLI.hpp>

#include <chrono>
#include <cstdio>
#include <iostream>

#include "runtime/runtime.hpp"
#include "train/data_parallel.hpp"
#include "train/models/conv_net.hpp"
#include "train/torch/distributed.hpp"
#include "train/torch/tensors.hpp"
#include "train/torch/worker.hpp"

using namespace manta;

namespace {

struct Settings {
  std::string data_dir{"/usr/share/datasets/fashion-mnist"};
  int epochs{2};
  std::int64_t batch{128};
  std::size_t epoch_images{12000};
  double lr{0.02};
  std::uint64_t seed{1};

  template <class Archive>
  void serialize(Archive& archive) {
    archive(data_dir, epochs, batch, epoch_images, lr, seed);
  }
};

struct Report {
  double accuracy{0};
  double weight_sum{0};  ///< equal on every rank, as the weights are

  template <class Archive>
  void serialize(Archive& archive) {
    archive(accuracy, weight_sum);
  }
};

/// This rank's share of one epoch; gives the sum of its batches' losses.
double run_epoch(train::DistributedModel<train::ConvNet>& model, torch::optim::Optimizer& optimizer,
                 const train::TensorSet& set, const std::vector<std::uint32_t>& mine, std::size_t share,
                 const at::Device& device) {
  double loss_sum = 0;
  for (std::size_t first = 0; first + share <= mine.size(); first += share) {
    const train::Batch batch = set.batch(std::span(mine).subspan(first, share), device);
    optimizer.zero_grad();
    const torch::Tensor loss = torch::nn::functional::cross_entropy(model.forward(batch.images), batch.labels);
    loss.backward();
    optimizer.step();
    loss_sum += loss.item<double>() * static_cast<double>(share);
  }
  return loss_sum;
}

double accuracy_of(train::ConvNet& net, const train::TensorSet& set, const at::Device& device) {
  const torch::NoGradGuard no_grad;
  net->eval();
  double right = 0;
  for (std::size_t first = 0; first < set.size(); first += 500) {
    const train::Batch batch = set.range(first, std::min(first + 500, set.size()), device);
    right += net->forward(batch.images).argmax(1).eq(batch.labels).sum().item<double>();
  }
  return right / static_cast<double>(set.size());
}

/// What every rank runs.
Report fit(train::WorkerContext& worker, const Settings& settings) {
  const train::ProcessGroup group = train::join(worker);
  const at::Device device = train::device_of(worker);
  auto data = train::load_fashion_mnist(settings.data_dir);
  const train::TensorSet images(std::move(data.train), train::fashion_mnist_norm());
  const train::TensorSet test(std::move(data.test), train::fashion_mnist_norm());

  torch::manual_seed(settings.seed);
  train::ConvNet net(train::fashion_mnist_net(128, 64));
  net->to(device);
  train::DistributedModel<train::ConvNet> model(net, group);
  torch::optim::SGD optimizer(net->parameters(), torch::optim::SGDOptions(settings.lr).momentum(0.9));
  const train::ShardedSampler sampler({.size = images.size(),
                                       .rank = worker.rank,
                                       .world_size = worker.world_size,
                                       .seed = settings.seed,
                                       .epoch_size = std::min(settings.epoch_images, images.size())});
  const auto share = static_cast<std::size_t>(std::max<std::int64_t>(2, settings.batch / worker.world_size));
  for (int epoch = 0; epoch < settings.epochs; ++epoch) {
    const auto begin = std::chrono::steady_clock::now();
    const auto mine = sampler.epoch(static_cast<std::uint64_t>(epoch));
    const double loss = group.sum(run_epoch(model, optimizer, images, mine, share, device));
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    const double seen = static_cast<double>(mine.size()) * worker.world_size;
    if (worker.rank == 0) {
      std::printf("epoch %d: loss %.4f, %.0f images/s over %d ranks\n", epoch + 1, loss / seen, seen / took.count(),
                  worker.world_size);
      std::fflush(stdout);
    }
  }
  Report report;
  for (const auto& parameter : net->parameters()) report.weight_sum += parameter.sum().item<double>();
  report.accuracy = accuracy_of(net, test, device);
  return report;
}

int run(Runtime& rt, int workers, const Settings& settings) {
  train::load_fashion_mnist(settings.data_dir);  // a bad file is reported before any worker starts
  const auto reports = train::run_data_parallel<fit>(rt, {.name = "fashion-mnist", .num_workers = workers}, settings);
  for (std::size_t rank = 0; rank < reports.size(); ++rank) {
    std::printf("rank %zu: sum of weights %.9f\n", rank, reports[rank].weight_sum);
    if (reports[rank].weight_sum != reports[0].weight_sum) throw std::runtime_error("the ranks' weights differ");
  }
  std::printf("test accuracy of rank 0: %.4f\n", reports[0].accuracy);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    Runtime rt = Runtime::start(argc, argv);
    CLI::App app("Trains a CNN on Fashion-MNIST with several worker processes.");
    Settings settings;
    int workers = 2;
    app.add_option("--workers-per-job", workers, "worker processes")->check(CLI::Range(1, 1024))->capture_default_str();
    app.add_option("--epochs", settings.epochs, "epochs")->check(CLI::Range(1, 100000))->capture_default_str();
    app.add_option("--batch", settings.batch, "images per step over all workers")->check(CLI::Range(2, 60000))->capture_default_str();
    app.add_option("--epoch-images", settings.epoch_images, "images of an epoch")->check(CLI::Range(1, 60000))->capture_default_str();
    app.add_option("--lr", settings.lr, "learning rate")->check(CLI::PositiveNumber)->capture_default_str();
    app.add_option("--seed", settings.seed, "of weights and order")->capture_default_str();
    app.add_option("--data-dir", settings.data_dir, "folder of the four IDX files")->capture_default_str();
    app.footer("Flags of the runtime:\n" + Runtime::flags_help());
    CLI11_PARSE(app, argc, argv);
    return run(rt, workers, settings);
  } catch (const std::exception& e) {
    std::cerr << "data_parallel: " << e.what() << std::endl;
    return 1;
  }
}
