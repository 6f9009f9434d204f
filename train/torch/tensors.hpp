#pragma once
// Image sets as tensors: pixels stay bytes, a batch is gathered, scaled and moved to its device when it is asked for.
//
// Immutable after construction, so safe to share between threads that only call batch().
//
//   train::TensorSet set(data.train, train::kFashionMnistNorm);
//   auto [images, labels] = set.batch(indices, device);     // float [N, C, H, W], int64 [N]
#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "train/data.hpp"

namespace manta::train {

/// Mean and standard deviation of each channel, of pixels in 0…1.
struct Normalization {
  std::vector<float> mean{};
  std::vector<float> deviation{};
};

/// Of the training images of Fashion-MNIST.
Normalization fashion_mnist_norm();
/// Of the training images of CIFAR-10.
Normalization cifar10_norm();

struct Batch {
  at::Tensor images{};  ///< float [N, C, H, W]
  at::Tensor labels{};  ///< int64 [N]
};

class TensorSet {
 public:
  /// Takes the images over. Throws InvalidArgument when the normalisation has another number of channels.
  TensorSet(ImageSet images, const Normalization& norm);

  /// The samples of `indices` (each < size(); throws InvalidArgument otherwise), normalised, on `device`.
  Batch batch(std::span<const std::uint32_t> indices, const at::Device& device = at::kCPU) const;
  /// The samples first … last-1. Requires first < last ≤ size().
  Batch range(std::size_t first, std::size_t last, const at::Device& device = at::kCPU) const;
  std::size_t size() const noexcept { return images_.size(); }

 private:
  ImageSet images_;
  std::vector<float> table_;  ///< [channel][pixel value]: the normalised value
};

}  // namespace manta::train
