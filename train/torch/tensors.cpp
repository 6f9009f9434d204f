#include "train/torch/tensors.hpp"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <numeric>

#include "runtime/errors.hpp"

namespace manta::train {

Normalization fashion_mnist_norm() { return {{0.2860f}, {0.3530f}}; }
Normalization cifar10_norm() { return {{0.4914f, 0.4822f, 0.4465f}, {0.2470f, 0.2435f, 0.2616f}}; }

TensorSet::TensorSet(ImageSet images, const Normalization& norm) : images_(std::move(images)) {
  if (norm.mean.size() != images_.channels || norm.deviation.size() != images_.channels) {
    throw InvalidArgument("TensorSet: the normalisation needs one mean and one deviation per channel");
  }
  for (std::size_t c = 0; c < images_.channels; ++c) {
    for (int value = 0; value < 256; ++value) {
      table_.push_back((static_cast<float>(value) / 255.0f - norm.mean[c]) / norm.deviation[c]);
    }
  }
}

Batch TensorSet::batch(std::span<const std::uint32_t> indices, const at::Device& device) const {
  const auto n = static_cast<std::int64_t>(indices.size());
  const auto dim = [](std::size_t v) { return static_cast<std::int64_t>(v); };
  Batch out{at::empty({n, dim(images_.channels), dim(images_.height), dim(images_.width)}, at::kFloat),
            at::empty({n}, at::kLong)};
  float* pixel = out.images.mutable_data_ptr<float>();
  auto* label = out.labels.mutable_data_ptr<std::int64_t>();
  const std::size_t plane = images_.height * images_.width;
  for (const std::uint32_t i : indices) {
    if (i >= size()) throw InvalidArgument("TensorSet: index " + std::to_string(i) + " of " + std::to_string(size()));
    *label++ = images_.labels[i];
    const auto bytes = images_.image(i);
    for (std::size_t at = 0; at < bytes.size(); ++at) *pixel++ = table_[at / plane * 256 + bytes[at]];
  }
  return {out.images.to(device), out.labels.to(device)};
}

Batch TensorSet::range(std::size_t first, std::size_t last, const at::Device& device) const {
  std::vector<std::uint32_t> indices(last - first);
  std::iota(indices.begin(), indices.end(), static_cast<std::uint32_t>(first));
  return batch(indices, device);
}

}  // namespace manta::train
