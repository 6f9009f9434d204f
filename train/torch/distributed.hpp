#pragma once
// Distributed data parallel training (Li et al., "PyTorch Distributed", VLDB 2020) for a C++ module: c10d's Reducer adds
// up gradients bucket by bucket while backward still runs.
//
// Each rank wraps its own copy of one model. Construction checks that all ranks have the same shapes and copies rank 0's
// weights and buffers to the others; a forward that records gradients first copies rank 0's buffers (running
// statistics); backward leaves the mean of all ranks' gradients in every parameter's grad. With equally large batches
// that is the gradient of the mean loss over the joined batch. Belongs to one thread; ends before its group. After an
// exception in backward make a new one.
//
//   train::DistributedModel<train::ConvNet> model(net, group);
//   loss(model.forward(images), labels).backward();
//   optimizer.step();
#include <torch/nn/module.h>

#include <memory>

#include "train/torch/process_group.hpp"

namespace manta::train {

struct DistributedOptions {
  bool find_unused_parameters{false};     ///< parameters may take no part in a step; costs a walk of the graph
  bool broadcast_buffers{true};           ///< rank 0's buffers before each training forward
  bool gradient_as_bucket_view{false};    ///< gradients live in the buckets: saves a copy, but Optimizer::zero_grad
                                          ///< cannot be used then (it detaches gradients); zero them by hand
  std::int64_t bucket_bytes{25 << 20};    ///< upper bound of a bucket
  std::int64_t first_bucket_bytes{1 << 20};
};

namespace detail {

/// The part of DistributedModel that does not depend on the module's type.
class GradientSync {
 public:
  GradientSync(torch::nn::Module& module, const ProcessGroup& group, const DistributedOptions& options);
  ~GradientSync();
  void before_forward();
  void before_backward(const std::vector<at::Tensor>& outputs);
  void set_enabled(bool on) noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace detail

/// M: a module holder (TORCH_MODULE) or shared_ptr of a module, with a forward that gives one tensor.
template <class M>
class DistributedModel {
 public:
  /// Throws InvalidArgument when the ranks' parameters differ in number, shape or type, or none needs a gradient.
  DistributedModel(M module, const ProcessGroup& group, const DistributedOptions& options = {})
      : module_(std::move(module)), sync_(*module_, group, options) {}

  /// The module's output. With gradients on it readies the next backward; an output may be dropped
  /// without one.
  template <class... Args>
  torch::Tensor forward(Args&&... args) {
    sync_.before_forward();
    torch::Tensor output = module_->forward(std::forward<Args>(args)...);
    sync_.before_backward({output});
    return output;
  }

  /// Runs `body` with gradients only added up on this rank; the next backward outside sends the sum.
  template <class F>
  void no_sync(F&& body) {
    struct Guard {
      detail::GradientSync& sync;
      ~Guard() { sync.set_enabled(true); }
    } guard{sync_};
    sync_.set_enabled(false);
    body();
  }

  M& module() noexcept { return module_; }

 private:
  M module_;
  detail::GradientSync sync_;
};

}  // namespace manta::train
