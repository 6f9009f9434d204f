#pragma once
// Residual networks of bottleneck blocks (He, Zhang, Ren, Sun: "Deep Residual Learning for Image Recognition", 2015), in
// the variant known as v1.5: the stride sits on a block's 3 × 3 convolution. Built of two stages, so that one can put
// each on a device of its own (train/model_parallel.hpp). Modules are used by one thread at a time.
//
//   auto net = std::make_shared<train::ResNet>(train::resnet50());
//   torch::Tensor logits = net->forward(images);           // [N, 3, 224, 224] → [N, 1000]
//   train::SplitModel split({net->front(), net->back()}, {at::Device("cuda:0"), at::Device("cuda:1")});
#include <array>
#include <memory>

#include "train/torch/stage.hpp"

namespace manta::train {

struct ResNetOptions {
  std::array<int, 4> blocks{3, 4, 6, 3};  ///< bottleneck blocks of each group
  std::int64_t width{64};                 ///< channels of the stem; group g's blocks give 4 · width · 2^g
  std::int64_t in_channels{3};
  std::int64_t classes{1000};
};

/// ResNet-50: 25,557,032 parameters at 1,000 classes.
ResNetOptions resnet50(std::int64_t classes = 1000);

/// The whole network: front() then back(). Images need at least 32 × 32 pixels.
class ResNet : public Stage {
 public:
  /// Throws InvalidArgument when a number is below 1. Weights: Kaiming normal, fan out, as in the paper of 2015.
  explicit ResNet(const ResNetOptions& options);

  torch::Tensor forward(torch::Tensor images) override;

  /// The stem and groups 1 and 2: [N, in_channels, H, W] → [N, 8 · width, H/8, W/8].
  const std::shared_ptr<Stage>& front() const noexcept { return front_; }
  /// Groups 3 and 4, the mean over the image and the classifier: → [N, classes].
  const std::shared_ptr<Stage>& back() const noexcept { return back_; }

 private:
  std::shared_ptr<Stage> front_;
  std::shared_ptr<Stage> back_;
};

}  // namespace manta::train
