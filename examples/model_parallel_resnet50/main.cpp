// ResNet-50 whole, split over two devices, and pipelined over them in micro-batches: time per batch of each. With two
// GPUs the halves sit on cuda:0 and cuda:1, else both on the CPU, where the pipeline gives each half a thread of its own.
#include <ATen/Parallel.h>
#include <torch/nn/functional/loss.h>
#include <torch/optim/sgd.h>
#include <torch/utils.h>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <iostream>
#include <thread>

#include "train/models/resnet.hpp"
#include "train/pipeline.hpp"

using namespace manta;

namespace {

struct Settings {
  std::int64_t batch{16};
  int micro_batches{4};
  std::int64_t image_side{64};
  std::int64_t classes{1000};
  int steps{5};
  int threads{0};
  std::string device{"auto"};
  std::uint64_t seed{1};
};

torch::Tensor cross_entropy(const torch::Tensor& outputs, const torch::Tensor& targets) {
  return torch::nn::functional::cross_entropy(outputs, targets);
}

struct Timing {
  double median_ms{0};
  double fastest_ms{0};
  double loss{0};  ///< of the first timed step
};

/// Runs one warm-up step and `steps` timed ones. The loss is read each time, so a step has ended when it is counted.
Timing measure(int steps, const std::function<double()>& step) {
  Timing timing;
  step();
  std::vector<double> times;
  for (int i = 0; i < steps; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    const double loss = step();
    times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count());
    if (i == 0) timing.loss = loss;
  }
  std::sort(times.begin(), times.end());
  timing.median_ms = times[times.size() / 2];
  timing.fastest_ms = times.front();
  return timing;
}

void print(const char* name, const Timing& timing, const Timing& whole) {
  std::printf("%-10s %10.1f ms/batch (fastest %.1f), %.2f x the whole one's speed, loss %.6f\n", name, timing.median_ms,
              timing.fastest_ms, whole.median_ms / timing.median_ms, timing.loss);
  std::fflush(stdout);
}

std::vector<at::Device> devices_of(const std::string& name) {
  if (name == "cpu") return {at::kCPU, at::kCPU};
  const auto devices = train::split_devices(2);
  if (name == "cuda" && !devices[0].is_cuda()) throw std::runtime_error("there are no two CUDA devices");
  return devices;
}

class Experiment {
 public:
  explicit Experiment(const Settings& settings) : settings_(settings), devices_(devices_of(settings.device)) {
    torch::manual_seed(settings.seed);
    images_ = torch::randn({settings.batch, 3, settings.image_side, settings.image_side});
    labels_ = torch::randint(settings.classes, {settings.batch}, torch::kLong);
  }

  /// The same weights each time; nothing is updated, so every variant computes the same numbers.
  std::shared_ptr<train::ResNet> make_net() const {
    torch::manual_seed(settings_.seed);
    return std::make_shared<train::ResNet>(train::resnet50(settings_.classes));
  }
  std::shared_ptr<train::SplitModel> make_split() const {
    const auto net = make_net();
    return std::make_shared<train::SplitModel>(train::Stages{net->front(), net->back()}, devices_);
  }

  Timing whole() const {
    const auto net = make_net();
    net->to(devices_[0]);
    return measure(settings_.steps, [&] { return plain_step(*net, devices_[0], devices_[0]); });
  }
  Timing split() const {
    const auto net = make_split();
    return measure(settings_.steps, [&] { return plain_step(*net, devices_[0], devices_[1]); });
  }
  Timing pipelined() const {
    const auto net = make_split();
    train::Pipeline pipeline(net, cross_entropy, {.micro_batches = settings_.micro_batches});
    return measure(settings_.steps, [&] {
      net->zero_grad();
      return pipeline.step(images_, labels_);
    });
  }
  const std::vector<at::Device>& devices() const { return devices_; }

 private:
  double plain_step(train::Stage& net, const at::Device& in, const at::Device& out) const {
    net.zero_grad();
    const torch::Tensor loss = cross_entropy(net.forward(images_.to(in)), labels_.to(out));
    loss.backward();
    return loss.item<double>();
  }

  Settings settings_;
  std::vector<at::Device> devices_;
  torch::Tensor images_;
  torch::Tensor labels_;
};

void run(const Settings& settings) {
  at::set_num_threads(settings.threads > 0 ? settings.threads
                                           : std::max(1, static_cast<int>(std::thread::hardware_concurrency())));
  const Experiment experiment(settings);
  std::printf("ResNet-50 on %s and %s, %d threads, batch %lld of 3 x %lld x %lld, %d micro-batches, %d steps\n",
              experiment.devices()[0].str().c_str(), experiment.devices()[1].str().c_str(), at::get_num_threads(),
              static_cast<long long>(settings.batch), static_cast<long long>(settings.image_side),
              static_cast<long long>(settings.image_side), settings.micro_batches, settings.steps);
  const Timing whole = experiment.whole();
  print("whole", whole, whole);
  print("split", experiment.split(), whole);
  print("pipelined", experiment.pipelined(), whole);
  std::printf("The pipelined loss differs where batch normalisation sees micro-batches instead of the batch.\n");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Times ResNet-50 whole, split over two devices, and pipelined.");
  Settings settings;
  app.add_option("--batch", settings.batch, "images per batch")->check(CLI::Range(1, 100000))->capture_default_str();
  app.add_option("--micro-batches", settings.micro_batches, "parts of a batch")->check(CLI::Range(1, 100000))->capture_default_str();
  app.add_option("--image-size", settings.image_side, "side of an image in pixels")->check(CLI::Range(32, 4096))->capture_default_str();
  app.add_option("--classes", settings.classes, "outputs")->check(CLI::Range(1, 1000000))->capture_default_str();
  app.add_option("--steps", settings.steps, "timed batches")->check(CLI::Range(1, 100000))->capture_default_str();
  app.add_option("--threads", settings.threads, "intra-op threads, 0: one per CPU")->check(CLI::NonNegativeNumber)->capture_default_str();
  app.add_option("--device", settings.device, "auto, cpu or cuda")->check(CLI::IsMember({"auto", "cpu", "cuda"}))->capture_default_str();
  app.add_option("--seed", settings.seed, "of weights and images")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    run(settings);
    return 0;
  } catch (const std::exception& e) {
    std::cerr << "model_parallel_resnet50: " << e.what() << std::endl;
    return 1;
  }
}
