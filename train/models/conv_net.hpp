#pragma once
// The small convolutional network of the classic PyTorch and Ray Tune CIFAR-10 example: two convolutions with pooling,
// then three fully connected layers whose widths l1 and l2 are what one tunes. A module is used by one thread at a time.
//
//   train::ConvNet net(train::fashion_mnist_net(128, 64));
//   torch::Tensor logits = net->forward(images);   // [N, 1, 28, 28] → [N, 10]
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

namespace manta::train {

struct ConvNetOptions {
  std::int64_t in_channels{1};
  std::int64_t image_side{28};  ///< images are square
  std::int64_t conv1{6};        ///< channels after the first convolution
  std::int64_t conv2{16};       ///< channels after the second
  std::int64_t kernel{5};       ///< side of both kernels
  bool batch_norm{false};       ///< normalise after each hidden layer, which makes training forgive learning rates
  std::int64_t l1{120};         ///< width of the first fully connected layer
  std::int64_t l2{84};          ///< width of the second
  std::int64_t classes{10};
};

/// For 1 × 28 × 28 images: 8 and 32 channels of 5 × 5, with batch normalisation.
ConvNetOptions fashion_mnist_net(std::int64_t l1, std::int64_t l2);
/// The classic example's net for 3 × 32 × 32 images: 6 and 16 channels of 5 × 5, no normalisation.
ConvNetOptions classic_cifar_net(std::int64_t l1, std::int64_t l2);

class ConvNetImpl : public torch::nn::Module {
 public:
  /// Throws InvalidArgument when a width is below 1 or the images are too small for two convolutions and poolings.
  explicit ConvNetImpl(const ConvNetOptions& options);

  /// Logits [N, classes] for images [N, in_channels, image_side, image_side].
  torch::Tensor forward(torch::Tensor images);

 private:
  torch::nn::Conv2d conv1_, conv2_;
  torch::nn::BatchNorm2d norm1_{nullptr}, norm2_{nullptr};
  torch::nn::BatchNorm1d norm3_{nullptr}, norm4_{nullptr};
  torch::nn::Linear fc1_, fc2_, fc3_;
};
TORCH_MODULE(ConvNet);

}  // namespace manta::train
