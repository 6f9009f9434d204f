// Split and pipelined models against the whole one: same loss, same gradients.
#include <ATen/Parallel.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <torch/nn/functional/loss.h>
#include <torch/nn/modules/linear.h>
#include <torch/utils.h>

#include <condition_variable>
#include <mutex>

#include "runtime/base/error.hpp"
#include "train/models/conv_net.hpp"
#include "train/models/resnet.hpp"
#include "train/pipeline.hpp"

#define DOCTEST_CONFIG_IMPLEMENT
#include "tests/train/doctest_with_torch.hpp"

using namespace manta;

namespace {

torch::Tensor cross_entropy(const torch::Tensor& outputs, const torch::Tensor& targets) {
  return torch::nn::functional::cross_entropy(outputs, targets);
}

/// All four groups of a ResNet with few channels.
train::ResNetOptions tiny_resnet() { return {.blocks = {1, 2, 1, 1}, .width = 8, .classes = 10}; }

struct Sample {
  std::shared_ptr<train::ResNet> whole;
  std::shared_ptr<train::SplitModel> split;  ///< shares the whole model's parameters
  torch::Tensor images;
  torch::Tensor labels;
};

Sample make_sample(const train::ResNetOptions& options, std::int64_t batch, std::int64_t side = 32) {
  torch::manual_seed(3);
  Sample s;
  s.whole = std::make_shared<train::ResNet>(options);
  s.split = std::make_shared<train::SplitModel>(train::Stages{s.whole->front(), s.whole->back()},
                                                std::vector<at::Device>(2, at::kCPU));
  s.images = at::randn({batch, 3, side, side});
  s.labels = at::randint(options.classes, {batch}, at::kLong);
  return s;
}

struct Outcome {
  double loss;
  std::vector<torch::Tensor> gradients;
  std::vector<torch::Tensor> buffers;
};

/// Loss, gradients and new running statistics of `step`; puts the statistics back afterwards.
template <class F>
Outcome outcome(train::ResNet& model, F&& step) {
  model.zero_grad();
  std::vector<torch::Tensor> before;
  for (const auto& buffer : model.buffers()) before.push_back(buffer.clone());
  Outcome out{step(), {}, {}};
  for (const auto& parameter : model.parameters()) out.gradients.push_back(parameter.grad().clone());
  for (const auto& buffer : model.buffers()) out.buffers.push_back(buffer.clone());
  const torch::NoGradGuard no_grad;
  for (std::size_t i = 0; i < before.size(); ++i) model.buffers()[i].copy_(before[i]);
  return out;
}

/// The largest difference of any gradient, relative to the largest entry of that gradient.
double gradient_gap(const Outcome& a, const Outcome& b) {
  REQUIRE(a.gradients.size() == b.gradients.size());
  double gap = 0;
  for (std::size_t i = 0; i < a.gradients.size(); ++i) {
    const double scale = std::max(1e-3, a.gradients[i].abs().max().item<double>());
    gap = std::max(gap, (a.gradients[i] - b.gradients[i]).abs().max().item<double>() / scale);
  }
  return gap;
}

bool same_buffers(const Outcome& a, const Outcome& b) {
  bool same = a.buffers.size() == b.buffers.size();
  for (std::size_t i = 0; same && i < a.buffers.size(); ++i) same = a.buffers[i].allclose(b.buffers[i], 1e-5, 1e-6);
  return same;
}

double whole_step(train::Stage& model, const Sample& s) {
  const torch::Tensor loss = cross_entropy(model.forward(s.images), s.labels);
  loss.backward();
  return loss.item<double>();
}

}  // namespace

TEST_SUITE("train/models") {
  TEST_CASE("ResNet-50 has the 25,557,032 parameters of the paper's network and gives one logit per class") {
    train::ResNet net(train::resnet50());
    std::int64_t count = 0;
    for (const auto& parameter : net.parameters()) count += parameter.numel();
    CHECK(count == 25'557'032);
    net.eval();
    const torch::NoGradGuard no_grad;
    CHECK(net.forward(at::randn({2, 3, 64, 64})).sizes() == at::IntArrayRef({2, 1000}));
    CHECK(net.front()->forward(at::randn({1, 3, 64, 64})).sizes() == at::IntArrayRef({1, 512, 8, 8}));
  }

  TEST_CASE("the small nets take their data set's images, and refuse widths of zero and tiny images") {
    const torch::NoGradGuard no_grad;
    train::ConvNet fashion(train::fashion_mnist_net(4, 256));
    CHECK(fashion->forward(at::randn({2, 1, 28, 28})).sizes() == at::IntArrayRef({2, 10}));
    train::ConvNet cifar(train::classic_cifar_net(120, 84));
    CHECK(cifar->forward(at::randn({2, 3, 32, 32})).sizes() == at::IntArrayRef({2, 10}));
    std::int64_t count = 0;
    for (const auto& parameter : cifar->parameters()) count += parameter.numel();
    CHECK(count == 62'006);  // of the classic tutorial's net
    CHECK_THROWS_AS(train::ConvNet(train::fashion_mnist_net(0, 4)), InvalidArgument);
    CHECK_THROWS_AS(train::ConvNet(train::ConvNetOptions{.image_side = 12}), InvalidArgument);
    CHECK_THROWS_AS(train::ResNet({.blocks = {1, 0, 1, 1}}), InvalidArgument);
  }
}

TEST_SUITE("train/model_parallel") {
  TEST_CASE("split over two devices, ResNet-50 gives the whole one's loss, gradients and statistics bit for bit") {
    const Sample s = make_sample(train::resnet50(10), 4);
    const Outcome whole = outcome(*s.whole, [&] { return whole_step(*s.whole, s); });
    const Outcome split = outcome(*s.whole, [&] { return whole_step(*s.split, s); });
    CHECK(split.loss == whole.loss);
    CHECK(gradient_gap(whole, split) == 0);
    CHECK(same_buffers(whole, split));
  }

  TEST_CASE("pipelined, ResNet-50 gives the loss and gradients of the whole one run on the same micro-batches") {
    const Sample s = make_sample(train::resnet50(10), 8);
    train::Pipeline pipeline(s.split, cross_entropy, {.micro_batches = 4});
    const auto whole =
        outcome(*s.whole, [&] { return train::micro_batched_step(*s.whole, cross_entropy, s.images, s.labels, 4); });
    const auto piped = outcome(*s.whole, [&] { return pipeline.step(s.images, s.labels); });
    CHECK(piped.loss == doctest::Approx(whole.loss).epsilon(1e-6));
    CHECK(gradient_gap(whole, piped) < 1e-4);
    CHECK(same_buffers(whole, piped));
  }

  TEST_CASE("pipelined with frozen batch normalisation, ResNet-50 gives those of the whole one on the whole batch") {
    const Sample s = make_sample(train::resnet50(10), 8);
    s.whole->train();
    train::freeze_batch_norm(*s.whole);
    train::Pipeline pipeline(s.split, cross_entropy, {.micro_batches = 4});
    const Outcome whole = outcome(*s.whole, [&] { return whole_step(*s.whole, s); });
    const Outcome piped = outcome(*s.whole, [&] { return pipeline.step(s.images, s.labels); });
    CHECK(piped.loss == doctest::Approx(whole.loss).epsilon(1e-6));
    CHECK(gradient_gap(whole, piped) < 1e-4);
  }

  TEST_CASE("uneven micro-batches weigh by their samples, and a small batch gives fewer of them") {
    const Sample s = make_sample(tiny_resnet(), 7);
    train::freeze_batch_norm(*s.whole);
    const Outcome whole = outcome(*s.whole, [&] { return whole_step(*s.whole, s); });
    for (const int micro_batches : {1, 2, 3, 6, 7, 50}) {
      CAPTURE(micro_batches);
      train::Pipeline pipeline(s.split, cross_entropy, {.micro_batches = micro_batches});
      const Outcome piped = outcome(*s.whole, [&] { return pipeline.step(s.images, s.labels); });
      CHECK(piped.loss == doctest::Approx(whole.loss).epsilon(1e-5));
      CHECK(gradient_gap(whole, piped) < 1e-4);
    }
  }

  TEST_CASE("gradients of several steps add up until they are zeroed") {
    const Sample s = make_sample(tiny_resnet(), 4);
    train::freeze_batch_norm(*s.whole);
    train::Pipeline pipeline(s.split, cross_entropy, {.micro_batches = 2});
    const Outcome once = outcome(*s.whole, [&] { return pipeline.step(s.images, s.labels); });
    Outcome twice = outcome(*s.whole, [&] { return pipeline.step(s.images, s.labels), pipeline.step(s.images, s.labels); });
    for (auto& gradient : twice.gradients) gradient /= 2;
    CHECK(gradient_gap(once, twice) < 1e-5);
  }
}

namespace {

/// A linear layer that tells an observer when it works on something.
class ProbeStage : public train::Stage {
 public:
  explicit ProbeStage(std::function<void()> on_forward) : on_forward_(std::move(on_forward)), layer_(4, 4) {
    register_module("layer", layer_);
  }
  torch::Tensor forward(torch::Tensor x) override {
    on_forward_();
    return layer_->forward(x);
  }

 private:
  std::function<void()> on_forward_;
  torch::nn::Linear layer_;
};

std::shared_ptr<train::SplitModel> probe_model(std::vector<std::function<void()>> observers) {
  train::Stages stages;
  for (auto& observer : observers) stages.push_back(std::make_shared<ProbeStage>(std::move(observer)));
  const std::size_t n = stages.size();
  return std::make_shared<train::SplitModel>(std::move(stages), std::vector<at::Device>(n, at::kCPU));
}

torch::Tensor mean_square(const torch::Tensor& outputs, const torch::Tensor& targets) {
  return (outputs - targets).square().mean();
}

}  // namespace

TEST_SUITE("train/pipeline") {
  TEST_CASE("both stages work at once: each waits until the other is inside its own forward") {
    std::mutex mutex;
    std::condition_variable moved;
    int front = 0;
    int back = 0;
    bool met = true;
    const auto enter = [&](int& mine, const auto& reached) {
      std::unique_lock lock(mutex);
      ++mine;
      moved.notify_all();
      met = moved.wait_for(lock, std::chrono::seconds(20), reached) && met;
    };
    const auto model = probe_model({[&] { enter(front, [&] { return front < 2 || back >= 1; }); },
                                    [&] { enter(back, [&] { return front >= 2; }); }});
    train::Pipeline pipeline(model, mean_square, {.micro_batches = 4});
    pipeline.step(at::randn({8, 4}), at::randn({8, 4}));
    CHECK(met);
    CHECK(front == 4);
    CHECK(back == 4);
  }

  TEST_CASE("three stages give the gradients of the uncut model, whatever the number of micro-batches") {
    const auto model = probe_model({[] {}, [] {}, [] {}});
    const torch::Tensor x = at::randn({6, 4});
    const torch::Tensor y = at::randn({6, 4});
    mean_square(model->forward(x), y).backward();
    std::vector<torch::Tensor> expected;
    for (const auto& parameter : model->parameters()) expected.push_back(parameter.grad().clone());
    for (const int micro_batches : {1, 2, 3, 6}) {
      model->zero_grad();
      train::Pipeline(model, mean_square, {.micro_batches = micro_batches}).step(x, y);
      for (std::size_t i = 0; i < expected.size(); ++i) {
        CHECK(model->parameters()[i].grad().allclose(expected[i], 1e-5, 1e-6));
      }
    }
  }

  TEST_CASE("no stage holds more micro-batches than 1F1B allows") {
    int ahead = 0;
    int most = 0;
    std::mutex mutex;
    const auto model = probe_model({[&] {
                                      const std::lock_guard lock(mutex);
                                      most = std::max(most, ++ahead);
                                    },
                                    [&] {}});
    const auto loss = [&](const torch::Tensor& outputs, const torch::Tensor& targets) {
      const std::lock_guard lock(mutex);
      --ahead;
      return mean_square(outputs, targets);
    };
    train::Pipeline(model, loss, {.micro_batches = 16}).step(at::randn({16, 4}), at::randn({16, 4}));
    CHECK(most <= 2);
  }

  TEST_CASE("what a stage throws reaches the caller, no thread hangs, and the pipeline goes on") {
    for (const std::size_t bad : {0u, 1u, 2u}) {
      int calls = 0;
      std::vector<std::function<void()>> observers(3, [] {});
      observers[bad] = [&] {
        if (++calls == 2) throw std::runtime_error("a bad layer");
      };
      const auto model = probe_model(observers);
      train::Pipeline pipeline(model, mean_square, {.micro_batches = 4});
      const torch::Tensor x = at::randn({8, 4});
      CHECK_THROWS_WITH(pipeline.step(x, x), "a bad layer");
      model->zero_grad();
      const double loss = pipeline.step(x, x);
      CHECK(loss == doctest::Approx(mean_square(model->forward(x), x).item<double>()).epsilon(1e-5));
    }
  }

  TEST_CASE("wrong input is refused") {
    const auto model = probe_model({[] {}, [] {}});
    CHECK_THROWS_AS(train::Pipeline(model, mean_square, {.micro_batches = 0}), InvalidArgument);
    CHECK_THROWS_AS(train::SplitModel({}, {}), InvalidArgument);
    CHECK_THROWS_AS(train::SplitModel(model->stages(), {at::kCPU}), InvalidArgument);
    train::Pipeline pipeline(model, mean_square);
    CHECK_THROWS_AS(pipeline.step(at::randn({8, 4}), at::randn({7, 4})), InvalidArgument);
    CHECK_THROWS_AS(pipeline.step(at::randn({0, 4}), at::randn({0, 4})), InvalidArgument);
  }
}

int main(int argc, char** argv) {
  at::set_num_threads(1);
  return doctest::Context(argc, argv).run();
}
