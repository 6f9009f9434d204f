#include "train/models/conv_net.hpp"

#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/relu.h>

#include "runtime/errors.hpp"

namespace manta::train {
namespace {

std::int64_t side_after(const ConvNetOptions& o) {
  const auto block = [&](std::int64_t side) { return (side - o.kernel + 1) / 2; };
  return block(block(o.image_side));
}

const ConvNetOptions& checked(const ConvNetOptions& o) {
  if (o.l1 < 1 || o.l2 < 1 || o.conv1 < 1 || o.conv2 < 1 || o.classes < 1 || o.in_channels < 1 || o.kernel < 1) {
    throw InvalidArgument("ConvNet: every width must be at least 1");
  }
  if (side_after(o) < 1) throw InvalidArgument("ConvNet: the images are too small for two convolutions and poolings");
  return o;
}

torch::nn::Conv2d conv(std::int64_t in, std::int64_t out, const ConvNetOptions& o) {
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, o.kernel).bias(!o.batch_norm));
}

torch::nn::Linear linear(std::int64_t in, std::int64_t out, bool bias) {
  return torch::nn::Linear(torch::nn::LinearOptions(in, out).bias(bias));
}

}  // namespace

ConvNetOptions fashion_mnist_net(std::int64_t l1, std::int64_t l2) {
  return {.in_channels = 1, .image_side = 28, .conv1 = 8, .conv2 = 32, .batch_norm = true, .l1 = l1, .l2 = l2};
}

ConvNetOptions classic_cifar_net(std::int64_t l1, std::int64_t l2) {
  return {.in_channels = 3, .image_side = 32, .conv1 = 6, .conv2 = 16, .l1 = l1, .l2 = l2};
}

ConvNetImpl::ConvNetImpl(const ConvNetOptions& o)
    : conv1_(conv(checked(o).in_channels, o.conv1, o)),
      conv2_(conv(o.conv1, o.conv2, o)),
      fc1_(linear(o.conv2 * side_after(o) * side_after(o), o.l1, !o.batch_norm)),
      fc2_(linear(o.l1, o.l2, !o.batch_norm)),
      fc3_(linear(o.l2, o.classes, true)) {
  register_module("conv1", conv1_);
  register_module("conv2", conv2_);
  register_module("fc1", fc1_);
  register_module("fc2", fc2_);
  register_module("fc3", fc3_);
  if (!o.batch_norm) return;
  norm1_ = register_module("norm1", torch::nn::BatchNorm2d(o.conv1));
  norm2_ = register_module("norm2", torch::nn::BatchNorm2d(o.conv2));
  norm3_ = register_module("norm3", torch::nn::BatchNorm1d(o.l1));
  norm4_ = register_module("norm4", torch::nn::BatchNorm1d(o.l2));
}

torch::Tensor ConvNetImpl::forward(torch::Tensor x) {
  const auto norm = [](auto& layer, torch::Tensor in) { return layer ? layer->forward(in) : in; };
  x = at::relu(at::max_pool2d(norm(norm1_, conv1_->forward(x)), 2));  // pooled first: a quarter of the work for relu
  x = at::relu(at::max_pool2d(norm(norm2_, conv2_->forward(x)), 2));
  x = at::relu(norm(norm3_, fc1_->forward(x.flatten(1))));
  x = at::relu(norm(norm4_, fc2_->forward(x)));
  return fc3_->forward(x);
}

}  // namespace manta::train
