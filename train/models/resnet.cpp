#include "train/models/resnet.hpp"

#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/relu.h>
#include <torch/nn/init.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include "runtime/errors.hpp"

namespace manta::train {
namespace {

constexpr std::int64_t kExpansion = 4;

torch::nn::Conv2d conv(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride = 1) {
  torch::nn::Conv2d layer(
      torch::nn::Conv2dOptions(in, out, kernel).stride(stride).padding(kernel / 2).bias(false));
  torch::nn::init::kaiming_normal_(layer->weight, 0.0, torch::kFanOut, torch::kReLU);
  return layer;
}

/// 1 × 1 down, 3 × 3, 1 × 1 up, plus the input (projected where its shape differs).
class BottleneckImpl : public torch::nn::Module {
 public:
  BottleneckImpl(std::int64_t in, std::int64_t planes, std::int64_t stride)
      : conv1_(register_module("conv1", conv(in, planes, 1))),
        conv2_(register_module("conv2", conv(planes, planes, 3, stride))),
        conv3_(register_module("conv3", conv(planes, planes * kExpansion, 1))),
        bn1_(register_module("bn1", torch::nn::BatchNorm2d(planes))),
        bn2_(register_module("bn2", torch::nn::BatchNorm2d(planes))),
        bn3_(register_module("bn3", torch::nn::BatchNorm2d(planes * kExpansion))) {
    if (stride == 1 && in == planes * kExpansion) return;
    downsample_ = register_module(
        "downsample", torch::nn::Sequential(conv(in, planes * kExpansion, 1, stride),
                                            torch::nn::BatchNorm2d(planes * kExpansion)));
  }

  torch::Tensor forward(torch::Tensor x) {
    torch::Tensor y = at::relu(bn1_->forward(conv1_->forward(x)));
    y = at::relu(bn2_->forward(conv2_->forward(y)));
    y = bn3_->forward(conv3_->forward(y));
    return at::relu(y + (downsample_ ? downsample_->forward(x) : x));
  }

 private:
  torch::nn::Conv2d conv1_, conv2_, conv3_;
  torch::nn::BatchNorm2d bn1_, bn2_, bn3_;
  torch::nn::Sequential downsample_{nullptr};
};
TORCH_MODULE(Bottleneck);

torch::nn::Sequential group(std::int64_t in, std::int64_t planes, int blocks, std::int64_t stride) {
  torch::nn::Sequential layers(Bottleneck(in, planes, stride));
  for (int i = 1; i < blocks; ++i) layers->push_back(Bottleneck(planes * kExpansion, planes, 1));
  return layers;
}

class Front : public Stage {
 public:
  explicit Front(const ResNetOptions& o)
      : conv1_(register_module("conv1", conv(o.in_channels, o.width, 7, 2))),
        bn1_(register_module("bn1", torch::nn::BatchNorm2d(o.width))),
        layer1_(register_module("layer1", group(o.width, o.width, o.blocks[0], 1))),
        layer2_(register_module("layer2", group(o.width * kExpansion, o.width * 2, o.blocks[1], 2))) {}

  torch::Tensor forward(torch::Tensor x) override {
    x = at::max_pool2d(at::relu(bn1_->forward(conv1_->forward(x))), 3, 2, 1);
    return layer2_->forward(layer1_->forward(x));
  }

 private:
  torch::nn::Conv2d conv1_;
  torch::nn::BatchNorm2d bn1_;
  torch::nn::Sequential layer1_, layer2_;
};

class Back : public Stage {
 public:
  explicit Back(const ResNetOptions& o)
      : layer3_(register_module("layer3", group(o.width * 2 * kExpansion, o.width * 4, o.blocks[2], 2))),
        layer4_(register_module("layer4", group(o.width * 4 * kExpansion, o.width * 8, o.blocks[3], 2))),
        fc_(register_module("fc", torch::nn::Linear(o.width * 8 * kExpansion, o.classes))) {}

  torch::Tensor forward(torch::Tensor x) override {
    x = at::adaptive_avg_pool2d(layer4_->forward(layer3_->forward(x)), {1, 1});
    return fc_->forward(x.flatten(1));
  }

 private:
  torch::nn::Sequential layer3_, layer4_;
  torch::nn::Linear fc_;
};

const ResNetOptions& checked(const ResNetOptions& o) {
  const bool blocks = o.blocks[0] > 0 && o.blocks[1] > 0 && o.blocks[2] > 0 && o.blocks[3] > 0;
  if (!blocks || o.width < 1 || o.in_channels < 1 || o.classes < 1) {
    throw InvalidArgument("ResNet: blocks, width, channels and classes must each be at least 1");
  }
  return o;
}

}  // namespace

ResNetOptions resnet50(std::int64_t classes) { return {.blocks = {3, 4, 6, 3}, .classes = classes}; }

ResNet::ResNet(const ResNetOptions& options)
    : front_(register_module("front", std::make_shared<Front>(checked(options)))),
      back_(register_module("back", std::make_shared<Back>(options))) {}

torch::Tensor ResNet::forward(torch::Tensor images) { return back_->forward(front_->forward(std::move(images))); }

}  // namespace manta::train
