#include "train/pipeline.hpp"

#include <ATen/Parallel.h>

#include <exception>
#include <latch>
#include <thread>

#include "runtime/errors.hpp"
#include "train/torch/channel.hpp"

namespace manta::train {
namespace {

/// A step was given up because another stage failed.
struct Abandoned {};

struct MicroBatch {
  torch::Tensor input;
  torch::Tensor target;
  double weight;  ///< its share of the batch's samples
};

std::vector<MicroBatch> cut(const torch::Tensor& inputs, const torch::Tensor& targets, int micro_batches) {
  if (inputs.dim() < 1 || targets.dim() < 1 || inputs.size(0) != targets.size(0) || inputs.size(0) < 1) {
    throw InvalidArgument("a step needs a batch of at least one sample and as many targets as inputs");
  }
  const std::int64_t parts = std::min<std::int64_t>(micro_batches, inputs.size(0));
  const auto xs = inputs.tensor_split(parts);
  const auto ys = targets.tensor_split(parts);
  std::vector<MicroBatch> cuts;
  for (std::size_t i = 0; i < xs.size(); ++i) {
    cuts.push_back({xs[i], ys[i], static_cast<double>(xs[i].size(0)) / static_cast<double>(inputs.size(0))});
  }
  return cuts;
}

void check(const PipelineOptions& o) {
  if (o.micro_batches < 1) throw InvalidArgument("Pipeline: micro_batches must be at least 1");
  if (o.threads_per_stage < 0) throw InvalidArgument("Pipeline: threads_per_stage must not be negative");
}

}  // namespace

class Pipeline::Impl {
 public:
  Impl(std::shared_ptr<SplitModel> model, LossFn loss, PipelineOptions options)
      : model_(std::move(model)), loss_(std::move(loss)), options_(options), lanes_(model_->stages().size()) {
    const int mine = at::get_num_threads();
    const int stages = static_cast<int>(lanes_.size());
    const int threads = options_.threads_per_stage ? options_.threads_per_stage : std::max(1, mine / stages);
    std::latch started(stages);
    for (std::size_t s = 0; s < lanes_.size(); ++s) {
      lanes_[s].thread = std::thread([this, s, threads, &started] {
        at::set_num_threads(threads);
        started.count_down();
        serve(s);
      });
    }
    started.wait();
    at::set_num_threads(mine);  // the count is the thread's own, but LibTorch also keeps the last one for new threads
  }

  ~Impl() {
    for (Lane& lane : lanes_) lane.jobs.close();
    for (Lane& lane : lanes_) lane.thread.join();
  }

  double step(const torch::Tensor& inputs, const torch::Tensor& targets) {
    micro_batches_ = cut(inputs, targets, options_.micro_batches);
    loss_sum_ = 0;
    failure_ = nullptr;
    std::latch done(static_cast<std::ptrdiff_t>(lanes_.size()));
    for (Lane& lane : lanes_) {
      lane.activations.reopen();
      lane.gradients.reopen();
    }
    for (Lane& lane : lanes_) lane.jobs.push(&done);
    done.wait();
    micro_batches_.clear();
    if (failure_) std::rethrow_exception(failure_);
    return loss_sum_;
  }

 private:
  struct Held {
    torch::Tensor input;   ///< leaf that receives the gradient for the stage before
    torch::Tensor output;  ///< activation, or the weighted loss in the last stage
  };
  struct Lane {
    std::thread thread{};
    detail::SharedChannel<std::latch*> jobs{};
    detail::SharedChannel<torch::Tensor> activations{};  ///< from the stage before
    detail::SharedChannel<torch::Tensor> gradients{};    ///< from the stage after
    std::deque<Held> held{};
  };

  void serve(std::size_t s) {
    while (const auto done = lanes_[s].jobs.pop()) {
      try {
        run(s);
      } catch (const Abandoned&) {
      } catch (...) {
        fail(std::current_exception());
      }
      lanes_[s].held.clear();
      (*done)->count_down();
    }
  }

  void run(std::size_t s) {
    const std::size_t total = micro_batches_.size();
    const std::size_t ahead = std::min(total, lanes_.size() - 1 - s);
    for (std::size_t i = 0; i < ahead; ++i) forward(s, i);
    for (std::size_t i = ahead; i < total; ++i) {
      forward(s, i);
      backward(s);
    }
    for (std::size_t i = 0; i < ahead; ++i) backward(s);
  }

  void forward(std::size_t s, std::size_t i) {
    const MicroBatch& part = micro_batches_[i];
    torch::Tensor input = s == 0 ? part.input : take(lanes_[s].activations);
    input = input.to(model_->devices()[s]);
    if (s > 0) input = input.detach().requires_grad_(true);
    torch::Tensor output = model_->stages()[s]->forward(input);
    if (s + 1 < lanes_.size()) {
      lanes_[s + 1].activations.push(output.detach());
    } else {
      output = loss_(output, part.target.to(output.device())) * part.weight;
      loss_sum_ += output.item<double>();
    }
    lanes_[s].held.push_back({input, output});
  }

  void backward(std::size_t s) {
    const bool last = s + 1 == lanes_.size();
    const torch::Tensor gradient = last ? torch::Tensor() : take(lanes_[s].gradients);
    const Held held = std::move(lanes_[s].held.front());
    lanes_[s].held.pop_front();
    held.output.backward(last ? gradient : gradient.to(held.output.device()));
    if (s > 0) lanes_[s - 1].gradients.push(held.input.grad());
  }

  static torch::Tensor take(detail::SharedChannel<torch::Tensor>& channel) {
    auto tensor = channel.pop();
    if (!tensor) throw Abandoned{};
    return std::move(*tensor);
  }

  void fail(std::exception_ptr error) {
    {
      const std::lock_guard lock(failure_mutex_);
      if (!failure_) failure_ = std::move(error);
    }
    for (Lane& lane : lanes_) {
      lane.activations.close();
      lane.gradients.close();
    }
  }

  std::shared_ptr<SplitModel> model_;
  LossFn loss_;
  PipelineOptions options_;
  std::vector<MicroBatch> micro_batches_;  // written by step while no stage runs
  double loss_sum_ = 0;                    // the last stage's while a step runs
  std::mutex failure_mutex_;
  std::exception_ptr failure_;
  std::deque<Lane> lanes_;  // last: its threads use the rest
};

Pipeline::Pipeline(std::shared_ptr<SplitModel> model, LossFn loss, PipelineOptions options)
    : impl_((check(options), std::make_unique<Impl>(std::move(model), std::move(loss), options))) {}

Pipeline::~Pipeline() = default;

double Pipeline::step(const torch::Tensor& inputs, const torch::Tensor& targets) { return impl_->step(inputs, targets); }

double micro_batched_step(Stage& model, const LossFn& loss, const torch::Tensor& inputs, const torch::Tensor& targets,
                          int micro_batches) {
  check({.micro_batches = micro_batches});
  double sum = 0;
  for (const MicroBatch& part : cut(inputs, targets, micro_batches)) {
    const torch::Tensor output = model.forward(part.input);
    const torch::Tensor weighted = loss(output, part.target.to(output.device())) * part.weight;
    sum += weighted.item<double>();
    weighted.backward();
  }
  return sum;
}

}  // namespace manta::train
