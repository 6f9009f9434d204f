#include "examples/tune_fashion_mnist/trainable.hpp"

#include <torch/nn/functional/loss.h>
#include <torch/optim/adam.h>
#include <torch/optim/sgd.h>
#include <torch/utils.h>

#include <memory>

#include "runtime/errors.hpp"
#include "train/checkpoint.hpp"
#include "train/data_parallel.hpp"
#include "train/torch/distributed.hpp"
#include "train/torch/worker.hpp"

using namespace manta;

namespace {

/// All that decides how a trial trains; travels to its workers.
struct Setting {
  std::string dataset{};
  std::string data_dir{};
  std::int64_t l1{0};
  std::int64_t l2{0};
  std::int64_t batch_size{0};
  double lr{0};
  std::size_t epoch_images{0};
  std::uint64_t seed{0};

  template <class Archive>
  void serialize(Archive& archive) {
    archive(dataset, data_dir, l1, l2, batch_size, lr, epoch_images, seed);
  }
};

Setting setting_of(const tune::Config& config, const std::string& data_dir, std::uint64_t seed) {
  const auto dataset = config.get_or<std::string>("dataset", kDataset);
  return {.dataset = dataset,
          .data_dir = data_dir,
          .l1 = config.get<std::int64_t>("l1"),
          .l2 = config.get<std::int64_t>("l2"),
          .batch_size = config.get<std::int64_t>("batch_size"),
          .lr = config.get<double>("lr"),
          .epoch_images = config.get_or<std::size_t>("epoch_images", epoch_images(dataset)),
          .seed = seed};
}

std::unique_ptr<torch::optim::Optimizer> make_optimizer(const Setting& setting, train::ConvNet& net) {
  if (setting.dataset == "cifar10") {
    return std::make_unique<torch::optim::SGD>(net->parameters(), torch::optim::SGDOptions(setting.lr).momentum(0.9));
  }
  return std::make_unique<torch::optim::Adam>(net->parameters(), torch::optim::AdamOptions(setting.lr));
}

/// A checkpoint brings the rate that it was trained with; the configuration's counts, which population based training changes.
void load(const std::string& dir, const Setting& setting, train::ConvNet& net, torch::optim::Optimizer& optimizer) {
  train::load_checkpoint(dir, *net, &optimizer);
  for (auto& group : optimizer.param_groups()) group.options().set_lr(setting.lr);
}

/// The training files, cut into what to train on and what to choose by.
struct Data {
  explicit Data(const Setting& setting) : Data(setting, load_dataset(setting.dataset, setting.data_dir).train) {}
  Data(const Setting& setting, const train::ImageSet& images)
      : fit(images.slice(0, images.size() - kHeldOut), normalization(setting.dataset)),
        held_out(images.slice(images.size() - kHeldOut, images.size()), normalization(setting.dataset)) {}

  train::TensorSet fit;
  train::TensorSet held_out;
};

train::ShardedSampler make_sampler(const Setting& setting, std::size_t size, int rank = 0, int world_size = 1) {
  return train::ShardedSampler({.size = size,
                                .rank = rank,
                                .world_size = world_size,
                                .seed = setting.seed,
                                .epoch_size = std::min(setting.epoch_images, size)});
}

/// One pass over the indices. A last batch of one is left out: a batch of one has no statistics to normalise by.
template <class Forward>
void train_epoch(Forward&& forward, torch::optim::Optimizer& optimizer, const train::TensorSet& set,
                 const std::vector<std::uint32_t>& indices, std::size_t batch_size, const at::Device& device) {
  for (std::size_t first = 0; first + 1 < indices.size(); first += batch_size) {
    const std::size_t size = std::min(batch_size, indices.size() - first);
    if (size < 2) break;
    const train::Batch batch = set.batch(std::span(indices).subspan(first, size), device);
    optimizer.zero_grad();
    torch::nn::functional::cross_entropy(forward(batch.images), batch.labels).backward();
    optimizer.step();
  }
}

/// One rank of a trial that trains with several workers. The ranks share each batch and the evaluation.
class TrialWorker {
 public:
  TrialWorker(const train::WorkerContext& worker, const Setting& setting)
      : worker_(worker),
        device_(train::device_of(worker)),
        group_(train::join(worker)),
        setting_(setting),
        data_(setting),
        net_((torch::manual_seed(setting.seed), make_net(setting.dataset, setting.l1, setting.l2))),
        model_((net_->to(device_), net_), group_),
        optimizer_(make_optimizer(setting, net_)) {}

  std::vector<double> run_epoch(std::uint64_t number) {
    const auto sampler = make_sampler(setting_, data_.fit.size(), worker_.rank, worker_.world_size);
    const auto share = static_cast<std::size_t>(std::max<std::int64_t>(2, setting_.batch_size / worker_.world_size));
    train_epoch([&](const torch::Tensor& images) { return model_.forward(images); }, *optimizer_, data_.fit,
                sampler.epoch(number), share, device_);
    return evaluate_together();
  }
  void save(const std::string& dir, std::uint64_t epochs) {
    train::save_checkpoint(dir, *net_, optimizer_.get(), {.epoch = static_cast<std::int64_t>(epochs)});
  }
  void load(const std::string& dir) { ::load(dir, setting_, net_, *optimizer_); }

 private:
  std::vector<double> evaluate_together() {
    group_.broadcast(net_->buffers());  // each rank has moved its running statistics by its own last batch
    const std::size_t size = data_.held_out.size();
    const auto rank = static_cast<std::size_t>(worker_.rank);
    const auto world = static_cast<std::size_t>(worker_.world_size);
    const std::size_t first = size * rank / world;
    const std::size_t last = size * (rank + 1) / world;
    const Score mine = evaluate(net_, data_.held_out, first, last, device_);
    const double share = static_cast<double>(last - first) / static_cast<double>(size);
    return {group_.sum(mine.loss * share), group_.sum(mine.accuracy * share)};
  }

  train::WorkerContext worker_;
  at::Device device_;
  train::ProcessGroup group_;
  Setting setting_;
  Data data_;
  train::ConvNet net_;
  train::DistributedModel<train::ConvNet> model_;
  std::unique_ptr<torch::optim::Optimizer> optimizer_;
};

void train_with_workers(tune::TrialContext& ctx, const tune::Config& config, const std::string& data_dir) {
  const Setting setting = setting_of(config, data_dir, ctx.seed());
  train::WorkerGroup<TrialWorker> group(
      ctx.runtime(), {.name = ctx.name(),
       .num_workers = config.get_or<int>("workers", kWorkers),
       .cpus_per_worker = config.get_or<double>("cpus_per_worker", kCpusPerWorker),
       .echo_output = false}, setting);
  if (auto dir = ctx.checkpoint()) group.call<&TrialWorker::load>(dir->string());
  const auto epochs = config.get_or<std::uint64_t>("max_epochs", kMaxEpochs);
  for (std::uint64_t epoch = ctx.iteration(); epoch < epochs; ++epoch) {
    const std::vector<double> score = group.call<&TrialWorker::run_epoch>(epoch)[0];
    ctx.report({{"loss", score[0]}, {"accuracy", score[1]}}, [&](const std::filesystem::path& dir) {
      group.call_rank<&TrialWorker::save>(0, dir.string(), epoch + 1);
    });
  }
}

at::Device device_of(const tune::TrialContext& ctx) {
  return train::device_of({.use_gpu = !ctx.gpu_ids().empty()});
}

}  // namespace

train::ImageDataset load_dataset(const std::string& dataset, const std::string& dir) {
  return dataset == "cifar10" ? train::load_cifar10(dir) : train::load_fashion_mnist(dir);
}

train::Normalization normalization(const std::string& dataset) {
  return dataset == "cifar10" ? train::cifar10_norm() : train::fashion_mnist_norm();
}

train::ConvNet make_net(const std::string& dataset, std::int64_t l1, std::int64_t l2) {
  return train::ConvNet(dataset == "cifar10" ? train::classic_cifar_net(l1, l2) : train::fashion_mnist_net(l1, l2));
}

Score evaluate(train::ConvNet& net, const train::TensorSet& set, std::size_t first, std::size_t last,
               const at::Device& device) {
  constexpr std::size_t kBatch = 250;
  const torch::NoGradGuard no_grad;
  net->eval();
  Score total;
  for (std::size_t at = first; at < last; at += kBatch) {
    const train::Batch batch = set.range(at, std::min(at + kBatch, last), device);
    const torch::Tensor logits = net->forward(batch.images);
    const auto sum = torch::nn::functional::CrossEntropyFuncOptions().reduction(torch::kSum);
    total.loss += torch::nn::functional::cross_entropy(logits, batch.labels, sum).item<double>();
    total.accuracy += logits.argmax(1).eq(batch.labels).sum().item<double>();
  }
  net->train();
  const auto count = static_cast<double>(last - first);
  return {total.loss / count, total.accuracy / count};
}

void train_cifar(tune::TrialContext& ctx, const tune::Config& config, const std::string& data_dir) {
  if (config.get_or<int>("workers", kWorkers) > 1) return train_with_workers(ctx, config, data_dir);

  const Setting setting = setting_of(config, data_dir, ctx.seed());
  train::use_cpus(ctx.num_cpus());
  torch::manual_seed(ctx.seed());
  const at::Device device = device_of(ctx);
  const Data data(setting);
  train::ConvNet net = make_net(setting.dataset, setting.l1, setting.l2);
  net->to(device);
  const auto optimizer = make_optimizer(setting, net);
  const auto sampler = make_sampler(setting, data.fit.size());
  if (auto dir = ctx.checkpoint()) load(dir->string(), setting, net, *optimizer);

  const auto epochs = config.get_or<std::uint64_t>("max_epochs", kMaxEpochs);
  for (std::uint64_t epoch = ctx.iteration(); epoch < epochs; ++epoch) {
    train_epoch([&](const torch::Tensor& images) { return net->forward(images); }, *optimizer, data.fit,
                sampler.epoch(epoch), static_cast<std::size_t>(setting.batch_size), device);
    const Score score = evaluate(net, data.held_out, 0, data.held_out.size(), device);
    ctx.report({{"loss", score.loss}, {"accuracy", score.accuracy}}, [&](const std::filesystem::path& dir) {
      train::save_checkpoint(dir, *net, optimizer.get(), {.epoch = static_cast<std::int64_t>(epoch + 1)});
    });
  }
}
