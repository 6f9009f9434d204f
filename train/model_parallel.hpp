#pragma once
// A model cut into stages, each on a device of its own: for models that do not fit one device, and what
// train/pipeline.hpp runs on. Needs LibTorch's module header; include it by choice.
//
// A SplitModel is an ordinary torch::nn::Module: optimisers, checkpoints, train() and eval() work on it. Used by one
// thread at a time. It shares its stages with whoever made them.
//
//   auto net = std::make_shared<train::ResNet>(train::resnet50());
//   auto split = std::make_shared<train::SplitModel>(train::Stages{net->front(), net->back()}, train::split_devices(2));
//   loss(split->forward(images), labels.to(split->devices().back())).backward();
#include <vector>

#include "train/torch/stage.hpp"

namespace manta::train {

using Stages = std::vector<std::shared_ptr<Stage>>;

/// n devices to put stages on: cuda:0 … cuda:n-1 when there are that many GPUs, else n times the CPU.
std::vector<at::Device> split_devices(std::size_t n);

class SplitModel : public Stage {
 public:
  /// Moves stage i to devices[i]. Throws InvalidArgument unless there is one device per stage and at least one stage.
  SplitModel(Stages stages, std::vector<at::Device> devices);

  /// The output of all stages, on the last device; activations (and in backward their gradients) are copied from device
  /// to device. Same operations as the uncut model, so same values: bit for bit where all devices are of one kind.
  torch::Tensor forward(torch::Tensor input) override;

  const Stages& stages() const noexcept { return stages_; }
  const std::vector<at::Device>& devices() const noexcept { return devices_; }

 private:
  Stages stages_;
  std::vector<at::Device> devices_;
};

/// Makes every batch normalisation in `module` use its running statistics, and leave them alone, until the next call of
/// module.train(). Then a sample's output depends on that sample only.
void freeze_batch_norm(torch::nn::Module& module);

}  // namespace manta::train
