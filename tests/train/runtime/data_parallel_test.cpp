// Data-parallel workers on the runtime: real processes, real faults.
#include <ATen/Parallel.h>
#include <ATen/ops/randn.h>
#include <torch/nn/functional/loss.h>
#include <torch/optim/sgd.h>
#include <torch/utils.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "runtime/runtime.hpp"
#include "train/checkpoint.hpp"
#include "train/data_parallel.hpp"
#include "train/models/conv_net.hpp"
#include "train/torch/codec.hpp"
#include "train/torch/distributed.hpp"
#include "train/torch/worker.hpp"

#define DOCTEST_CONFIG_IMPLEMENT
#include "tests/train/doctest_with_torch.hpp"

namespace fs = std::filesystem;
using namespace manta;
using namespace std::chrono_literals;

namespace {

constexpr int kSteps = 4;
constexpr std::int64_t kBatch = 16;

torch::Tensor cross_entropy(const torch::Tensor& outputs, const torch::Tensor& targets) {
  return torch::nn::functional::cross_entropy(outputs, targets);
}

struct JoinedBatch {
  explicit JoinedBatch(int step) {
    torch::manual_seed(static_cast<std::uint64_t>(100 + step));
    images = at::randn({kBatch, 1, 28, 28});
    labels = torch::randint(10, {kBatch}, torch::kLong);
  }
  torch::Tensor images;
  torch::Tensor labels;
};

train::ConvNet make_net(int seed) {
  torch::manual_seed(static_cast<std::uint64_t>(seed));
  return train::ConvNet(train::ConvNetOptions{.l1 = 32, .l2 = 16});
}

torch::optim::SGD make_optimizer(train::ConvNet& net) {
  return torch::optim::SGD(net->parameters(), torch::optim::SGDOptions(0.05).momentum(0.9));
}

std::vector<at::Tensor> weights_of(train::ConvNet& net) {
  std::vector<at::Tensor> weights;
  for (const auto& parameter : net->parameters()) weights.push_back(parameter.detach().clone());
  return weights;
}

/// Trains on this rank's share and gives back the weights as tensors.
std::vector<at::Tensor> fit(train::WorkerContext& worker, int steps) {
  train::ConvNet net = make_net(worker.rank);
  train::DistributedModel<train::ConvNet> model(net, train::join(worker));
  auto optimizer = make_optimizer(net);
  for (int i = 0; i < steps; ++i) {
    const JoinedBatch batch(i);
    const auto rank = static_cast<std::size_t>(worker.rank);
    optimizer.zero_grad();
    cross_entropy(model.forward(batch.images.chunk(worker.world_size)[rank]), batch.labels.chunk(worker.world_size)[rank])
        .backward();
    optimizer.step();
  }
  return weights_of(net);
}

std::vector<at::Tensor> fit_alone(int steps) {
  train::ConvNet net = make_net(0);
  auto optimizer = make_optimizer(net);
  for (int i = 0; i < steps; ++i) {
    const JoinedBatch batch(i);
    optimizer.zero_grad();
    cross_entropy(net->forward(batch.images), batch.labels).backward();
    optimizer.step();
  }
  return weights_of(net);
}

bool close(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  bool same = a.size() == b.size();
  for (std::size_t i = 0; same && i < a.size(); ++i) same = (a[i] - b[i]).abs().max().item<double>() <= 1e-5;
  return same;
}

int threads_of(train::WorkerContext& worker) {
  train::use_cpus(Amount{worker.num_threads});
  return at::get_num_threads();
}

/// Rank 1 ends as `how` says in the middle of training, the others wait for it in a collective.
int one_fails(train::WorkerContext& worker, const std::string& how) {
  const train::ProcessGroup group = train::join(worker);
  for (int i = 0; i < 1000; ++i) {
    if (worker.rank == 1 && i == 5 && how == "throw") throw std::runtime_error("no more data on this rank");
    if (worker.rank == 1 && i == 5 && how == "kill") kill(getpid(), SIGKILL);
    group.sum(1);
  }
  return 0;
}

/// Without any collective: the group must not wait for the ranks that are still at work.
int one_throws_alone(train::WorkerContext& worker) {
  if (worker.rank == 0) throw InvalidArgument("rank 0 dislikes its settings");
  for (;;) std::this_thread::sleep_for(10ms);
}

/// Counts to ten in a file; dies at five in the first attempt, goes on from the file in the next.
int count_to_ten(train::WorkerContext& worker) {
  const train::ProcessGroup group = train::join(worker);
  const fs::path file = fs::path(worker.storage_dir) / "count";
  int count = 0;
  std::ifstream(file) >> count;
  const int begin = count;
  for (; count < 10; ++count) {
    group.barrier();
    if (worker.rank == 0) std::ofstream(file) << count;
    group.barrier();
    if (worker.attempt == 1 && worker.rank == 1 && count == 5) kill(getpid(), SIGKILL);
  }
  return begin;
}

class Accumulator {
 public:
  Accumulator(const train::WorkerContext& worker, int start) : worker_(worker), group_(train::join(worker)), total_(start) {}
  double add(int value) { return total_ = group_.sum(total_ + value + worker_.rank); }
  int rank() { return worker_.rank; }
  void reset() { total_ = 0; }
  pid_t pid() { return getpid(); }

 private:
  train::WorkerContext worker_;
  train::ProcessGroup group_;
  double total_;
};

/// A trainer inside a task, as a trial of a tuner runs it.
double nested(Context& ctx) {
  train::WorkerGroup<Accumulator> group(ctx, {.name = "inner", .num_workers = 2}, 0);
  return group.call<&Accumulator::add>(3)[1];
}

class TempDir {
 public:
  TempDir() {
    std::string pattern = (fs::temp_directory_path() / "manta-dp-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~TempDir() { fs::remove_all(path_); }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

RuntimeOptions four_cpus() { return {.num_cpus = 4}; }

template <class F>
ErrorInfo error_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.info();
  }
  FAIL("nothing was thrown");
  return {};
}

}  // namespace

TEST_SUITE("train/data_parallel") {
  TEST_CASE("two worker processes end with the weights of one process on the joined batch") {
    Runtime rt = Runtime::start(four_cpus());
    const auto by_rank = train::run_data_parallel<fit>(rt, {.num_workers = 2}, kSteps);
    REQUIRE(by_rank.size() == 2);
    const auto alone = fit_alone(kSteps);
    CHECK(close(by_rank[0], alone));
    CHECK(close(by_rank[1], by_rank[0]));
  }

  TEST_CASE("a rank that throws or is killed ends the group at once with an error that names it") {
    Runtime rt = Runtime::start(four_cpus());
    for (const std::string how : {"throw", "kill"}) {
      CAPTURE(how);
      const auto begin = std::chrono::steady_clock::now();
      const ErrorInfo error = error_of([&] { train::run_data_parallel<one_fails>(rt, {.num_workers = 3}, how); });
      CHECK(error.message.find("rank 1 of 3") != std::string::npos);
      if (how == "throw") CHECK(error.to_string().find("no more data on this rank") != std::string::npos);
      if (how == "kill") CHECK(error.code != ErrorCode::kTaskError);
      CHECK(std::chrono::steady_clock::now() - begin < 30s);
    }
    // The last rank's process was killed a moment ago; the node hears of its end in its own time.
    const auto limit = std::chrono::steady_clock::now() + 20s;
    while (rt.available_resources() != rt.total_resources() && std::chrono::steady_clock::now() < limit)
      std::this_thread::sleep_for(5ms);
    CHECK(rt.available_resources() == rt.total_resources());
  }

  TEST_CASE("a rank that throws outside any collective stops the ones that still work") {
    Runtime rt = Runtime::start(four_cpus());
    const ErrorInfo error = error_of([&] { train::run_data_parallel<one_throws_alone>(rt, {.num_workers = 2}); });
    CHECK(error.message.find("rank 0 of 2") != std::string::npos);
    CHECK(error.to_string().find("dislikes its settings") != std::string::npos);
  }

  TEST_CASE("with max_failures fresh workers go on from what was saved") {
    Runtime rt = Runtime::start(four_cpus());
    const TempDir dir;
    const auto begins = train::run_data_parallel<count_to_ten>(
        rt, {.num_workers = 2, .max_failures = 1, .storage_dir = dir.path()});
    CHECK(begins == std::vector<int>{5, 5});
  }

  TEST_CASE("a worker group keeps an object on each rank between calls, in a process of its own") {
    Runtime rt = Runtime::start(four_cpus());
    train::WorkerGroup<Accumulator> group(rt, {.num_workers = 2}, 10);
    CHECK(group.call<&Accumulator::add>(1) == std::vector<double>{23, 23});
    CHECK(group.call<&Accumulator::add>(0) == std::vector<double>{47, 47});
    CHECK(group.call_rank<&Accumulator::rank>(1) == 1);
    group.call<&Accumulator::reset>();
    CHECK(group.call<&Accumulator::add>(0) == std::vector<double>{1, 1});
    const auto pids = group.call<&Accumulator::pid>();
    CHECK(pids[0] != pids[1]);
    CHECK(pids[0] != getpid());
  }

  TEST_CASE("a trainer runs inside a task") {
    Runtime rt = Runtime::start(four_cpus());
    CHECK(rt.get(rt.remote<nested>(), 60s) == 7);
    CHECK(rt.get(rt.task<nested>({.num_cpus = 1, .isolation = own_process}).remote(), 60s) == 7);
  }

  TEST_CASE("the workers' intra-op threads follow their CPUs") {
    Runtime rt = Runtime::start(four_cpus());
    CHECK(train::run_data_parallel<threads_of>(rt, {.num_workers = 1, .cpus_per_worker = 2})[0] == 2);
    CHECK(train::run_data_parallel<threads_of>(rt, {.num_workers = 1, .cpus_per_worker = 0.5})[0] == 1);
  }

  TEST_CASE("more workers than there are CPUs or GPUs is refused before anything starts") {
    Runtime rt = Runtime::start(four_cpus());
    const ErrorInfo cpus = error_of([&] { train::run_data_parallel<threads_of>(rt, {.num_workers = 5}); });
    CHECK(cpus.code == ErrorCode::kInfeasibleResources);
    const ErrorInfo gpus = error_of([&] { train::run_data_parallel<threads_of>(rt, {.num_workers = 1, .gpus_per_worker = 99}); });
    CHECK(gpus.code == ErrorCode::kInfeasibleResources);
    CHECK(gpus.message.find("GPU") != std::string::npos);
    CHECK_THROWS_AS(train::run_data_parallel<threads_of>(rt, {.num_workers = 0}), InvalidArgument);
  }
}

TEST_SUITE("train/root_cause") {
  const auto error = [](ErrorCode code, std::string message) {
    return std::optional(ErrorInfo{.code = code, .message = std::move(message)});
  };

  TEST_CASE("a crash explains an exception, an exception explains a broken connection") {
    const auto broken = error(ErrorCode::kTaskError, "[gloo/transport/tcp/pair.cc] Connection closed by peer");
    const auto thrown = error(ErrorCode::kTaskError, "out of range");
    const auto crashed = error(ErrorCode::kWorkerCrashed, "killed by signal 9");
    CHECK(train::detail::root_cause({broken, thrown, crashed}) == 2);
    CHECK(train::detail::root_cause({broken, std::nullopt, thrown}) == 2);
    CHECK(train::detail::root_cause({std::nullopt, broken}) == 1);
    CHECK(train::detail::root_cause({thrown, thrown}) == 0);
  }
}

int main(int argc, char** argv) {
  Runtime::enter_worker_mode(argc, argv);
  at::set_num_threads(1);
  return doctest::Context(argc, argv).run();
}
