// Data-parallel ranks in forked processes against one process on the joined batch.
#include <ATen/Parallel.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/randn.h>
#include <torch/nn/functional/loss.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/sgd.h>
#include <torch/utils.h>

#include <csignal>
#include <algorithm>

#include "runtime/errors.hpp"
#include "tests/train/torch/ranks.hpp"
#include "train/models/conv_net.hpp"
#include "train/torch/distributed.hpp"

#define DOCTEST_CONFIG_IMPLEMENT
#include "tests/train/doctest_with_torch.hpp"

using namespace manta;
using namespace std::chrono_literals;
using train::testing::RankResult;
using train::testing::run_ranks;

namespace {

constexpr int kSteps = 5;
constexpr std::int64_t kBatch = 16;

std::vector<float> flatten(const std::vector<torch::Tensor>& tensors) {
  std::vector<float> out;
  for (const auto& tensor : tensors) {
    const torch::Tensor flat = tensor.detach().to(torch::kFloat).contiguous().view(-1);
    out.insert(out.end(), flat.data_ptr<float>(), flat.data_ptr<float>() + flat.numel());
  }
  return out;
}

float largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size() || a.empty()) return 1e9f;
  float gap = 0;
  for (std::size_t i = 0; i < a.size(); ++i) gap = std::max(gap, std::abs(a[i] - b[i]));
  return gap;
}

train::ProcessGroup meet(int rank, int world, const std::string& rendezvous) {
  return train::ProcessGroup({.rank = rank, .world_size = world, .rendezvous = rendezvous, .timeout = 60s});
}

struct Data {
  torch::Tensor images = at::randn({kBatch, 1, 28, 28});
  torch::Tensor labels = at::randint(10, {kBatch}, torch::kLong);
};

train::ConvNet make_net(std::uint64_t seed) {
  torch::manual_seed(seed);
  return train::ConvNet(train::ConvNetOptions{.l1 = 32, .l2 = 16});
}

torch::optim::SGD make_optimizer(train::ConvNet& net) {
  return torch::optim::SGD(net->parameters(), torch::optim::SGDOptions(0.05).momentum(0.9));
}

torch::Tensor cross_entropy(const torch::Tensor& outputs, const torch::Tensor& targets) {
  return torch::nn::functional::cross_entropy(outputs, targets);
}

/// Weights after kSteps on rank `rank`'s share of each batch; `pieces` > 1 adds gradients up without sending them.
std::vector<float> train_share(int rank, int world, const std::string& rendezvous, std::int64_t pieces,
                               const train::DistributedOptions& options = {}) {
  std::vector<Data> data;
  for (int i = 0; i < kSteps; ++i) {
    torch::manual_seed(static_cast<std::uint64_t>(100 + i));
    data.emplace_back();
  }
  auto net = make_net(static_cast<std::uint64_t>(rank));  // every rank starts elsewhere: rank 0's weights must win
  auto optimizer = make_optimizer(net);
  train::DistributedModel<train::ConvNet> model(net, meet(rank, world, rendezvous), options);
  for (const Data& batch : data) {
    optimizer.zero_grad();
    const auto images = batch.images.chunk(world)[static_cast<std::size_t>(rank)].chunk(pieces);
    const auto labels = batch.labels.chunk(world)[static_cast<std::size_t>(rank)].chunk(pieces);
    const auto step = [&](std::size_t i) {
      (cross_entropy(model.forward(images[i]), labels[i]) / static_cast<double>(pieces)).backward();
    };
    model.no_sync([&] {
      for (std::size_t i = 0; i + 1 < images.size(); ++i) step(i);
    });
    step(images.size() - 1);
    optimizer.step();
  }
  return flatten(net->parameters());
}

/// The same in one process without any group.
std::vector<float> train_joined() {
  return run_ranks(1, [](int, const std::string&) {
    auto net = make_net(0);
    auto optimizer = make_optimizer(net);
    for (int i = 0; i < kSteps; ++i) {
      torch::manual_seed(static_cast<std::uint64_t>(100 + i));
      const Data batch;
      optimizer.zero_grad();
      cross_entropy(net->forward(batch.images), batch.labels).backward();
      optimizer.step();
    }
    return flatten(net->parameters());
  })[0].values;
}

class TwoBranchesImpl : public torch::nn::Module {
 public:
  TwoBranchesImpl() : left_(register_module("left", torch::nn::Linear(4, 1))),
                      right_(register_module("right", torch::nn::Linear(4, 1))) {}
  torch::Tensor forward(const torch::Tensor& x, bool use_right) {
    return use_right ? left_->forward(x) + right_->forward(x) : left_->forward(x);
  }

 private:
  torch::nn::Linear left_, right_;
};
TORCH_MODULE(TwoBranches);

}  // namespace

TEST_SUITE("train/distributed") {
  TEST_CASE("one, two and four ranks end with the weights of one process on the joined batch") {
    const std::vector<float> joined = train_joined();
    for (const int world : {1, 2, 4}) {
      CAPTURE(world);
      const auto ranks = run_ranks(world, [&](int rank, const std::string& rendezvous) {
        return train_share(rank, world, rendezvous, 1);
      });
      for (const RankResult& rank : ranks) {
        REQUIRE(rank.ok());
        CHECK(largest_difference(rank.values, joined) <= 1e-5f);
        CHECK(rank.values == ranks[0].values);
      }
    }
  }

  TEST_CASE("many small buckets give the same weights") {
    const std::vector<float> joined = train_joined();
    const auto ranks = run_ranks(2, [&](int rank, const std::string& rendezvous) {
      return train_share(rank, 2, rendezvous, 1,
                         {.bucket_bytes = 4096, .first_bucket_bytes = 512});
    });
    for (const RankResult& rank : ranks) CHECK(largest_difference(rank.values, joined) <= 1e-5f);
  }

  TEST_CASE("gradients added up under no_sync are sent with the next step") {
    const std::vector<float> joined = train_joined();
    const auto ranks = run_ranks(2, [&](int rank, const std::string& rendezvous) {
      return train_share(rank, 2, rendezvous, 4);
    });
    for (const RankResult& rank : ranks) CHECK(largest_difference(rank.values, joined) <= 1e-5f);
  }

  TEST_CASE("running statistics follow rank 0") {
    const auto ranks = run_ranks(2, [](int rank, const std::string& rendezvous) {
      torch::nn::BatchNorm1d net(3);
      train::DistributedModel<torch::nn::BatchNorm1d> model(net, meet(rank, 2, rendezvous));
      for (int i = 0; i < 3; ++i) {
        torch::manual_seed(static_cast<std::uint64_t>(10 * i + rank));
        model.forward(at::randn({8, 3}) + rank).sum().backward();
      }
      model.forward(at::randn({8, 3}));  // broadcasts what rank 0 had, then both move on by their own batch
      std::vector<float> before = flatten({net->running_mean});
      const torch::NoGradGuard no_grad;
      net->eval();
      return before;
    });
    REQUIRE(ranks[0].ok());
    REQUIRE(ranks[1].ok());
    // One batch of momentum 0.1 apart: without the broadcast four batches would have moved rank 1 by about 0.34.
    for (std::size_t i = 0; i < 3; ++i) CHECK(std::abs(ranks[1].values[i] - ranks[0].values[i]) < 0.25f);
    CHECK(ranks[0].values != ranks[1].values);
  }

  TEST_CASE("a parameter that one rank does not use gets the mean of all ranks' gradients") {
    const auto ranks = run_ranks(2, [](int rank, const std::string& rendezvous) {
      torch::manual_seed(1);
      TwoBranches net;
      train::DistributedModel<TwoBranches> model(net, meet(rank, 2, rendezvous), {.find_unused_parameters = true, .gradient_as_bucket_view = true});
      for (int i = 0; i < 3; ++i) {
        for (auto& parameter : net->parameters()) parameter.mutable_grad().reset();
        model.forward(torch::ones({1, 4}) * (rank + 1), rank == 0).sum().backward();
      }
      std::vector<torch::Tensor> gradients;
      for (const auto& parameter : net->parameters()) gradients.push_back(parameter.grad());
      return flatten(gradients);
    });
    for (const RankResult& rank : ranks) {
      REQUIRE(rank.ok());
      // left weight (1 + 2) / 2, left bias 1, right weight (1 + 0) / 2, right bias 1 / 2
      CHECK(rank.values == std::vector<float>{1.5f, 1.5f, 1.5f, 1.5f, 1.0f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f});
    }
  }

  TEST_CASE("an unused parameter without find_unused_parameters is an error, not a wrong gradient or a hang") {
    const auto ranks = run_ranks(2, [](int rank, const std::string& rendezvous) {
      TwoBranches net;
      train::DistributedModel<TwoBranches> model(net, meet(rank, 2, rendezvous));
      for (int i = 0; i < 2; ++i) model.forward(torch::ones({1, 4}), false).sum().backward();
      return std::vector<float>{};
    });
    for (const RankResult& rank : ranks) CHECK(rank.ending() == "exit 2");
  }

  TEST_CASE("an output may be dropped without a backward pass") {
    const auto ranks = run_ranks(2, [](int rank, const std::string& rendezvous) {
      TwoBranches net;
      train::DistributedModel<TwoBranches> model(net, meet(rank, 2, rendezvous));
      for (int i = 0; i < 4; ++i) {
        const torch::Tensor output = model.forward(torch::ones({1, 4}), true);
        if (i % 2) output.sum().backward();
      }
      return flatten(net->parameters());
    });
    CHECK(ranks[0].ok());
    CHECK(ranks[1].ok());
  }

  TEST_CASE("ranks with different shapes are told so") {
    const auto ranks = run_ranks(2, [](int rank, const std::string& rendezvous) {
      torch::nn::Linear net(4, rank == 0 ? 2 : 3);
      const auto group = meet(rank, 2, rendezvous);
      try {
        train::DistributedModel<torch::nn::Linear> model(net, group);
      } catch (const InvalidArgument&) {
        return std::vector<float>{1};
      }
      return std::vector<float>{0};
    });
    CHECK(ranks[1].values == std::vector<float>{1});
  }

  TEST_CASE("a rank that is killed makes the others throw at once, not hang") {
    const auto begin = std::chrono::steady_clock::now();
    const auto ranks = run_ranks(3, [](int rank, const std::string& rendezvous) {
      const auto group = meet(rank, 3, rendezvous);
      torch::nn::Linear net(64, 64);
      train::DistributedModel<torch::nn::Linear> model(net, group);
      for (int i = 0; i < 1000; ++i) {
        if (rank == 2 && i == 10) kill(getpid(), SIGKILL);
        model.forward(torch::ones({4, 64})).sum().backward();
      }
      return std::vector<float>{};
    });
    CHECK(ranks[2].ending() == "signal " + std::to_string(SIGKILL));
    CHECK(ranks[0].ending() == "exit 2");
    CHECK(ranks[1].ending() == "exit 2");
    CHECK(std::chrono::steady_clock::now() - begin < 30s);
  }

  TEST_CASE("a rank that never comes ends the meeting with Timeout") {
    const auto ranks = run_ranks(1, [](int, const std::string& rendezvous) {
      try {
        train::ProcessGroup({.rank = 0, .world_size = 2, .rendezvous = rendezvous, .timeout = 500ms});
      } catch (const Timeout&) {
        return std::vector<float>{1};
      }
      return std::vector<float>{0};
    });
    CHECK(ranks[0].values == std::vector<float>{1});
  }

  TEST_CASE("wrong options are refused") {
    CHECK_THROWS_AS(train::ProcessGroup({.rank = 2, .world_size = 2, .rendezvous = "x"}), InvalidArgument);
    CHECK_THROWS_AS(train::ProcessGroup({.rank = 0, .world_size = 2}), InvalidArgument);
  }
}

int main(int argc, char** argv) {
  at::set_num_threads(1);
  return doctest::Context(argc, argv).run();
}
