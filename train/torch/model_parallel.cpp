#include "train/model_parallel.hpp"

#include <ATen/Context.h>
#include <torch/nn/modules/batchnorm.h>

#include "runtime/errors.hpp"

namespace manta::train {

std::vector<at::Device> split_devices(std::size_t n) {
  const bool gpus = at::hasCUDA() && static_cast<std::size_t>(at::detail::getCUDAHooks().deviceCount()) >= n;
  std::vector<at::Device> devices;
  for (std::size_t i = 0; i < n; ++i) {
    devices.push_back(gpus ? at::Device(at::kCUDA, static_cast<at::DeviceIndex>(i)) : at::Device(at::kCPU));
  }
  return devices;
}

SplitModel::SplitModel(Stages stages, std::vector<at::Device> devices)
    : stages_(std::move(stages)), devices_(std::move(devices)) {
  if (stages_.empty() || stages_.size() != devices_.size()) {
    throw InvalidArgument("SplitModel: " + std::to_string(stages_.size()) + " stages need as many devices, not " +
                          std::to_string(devices_.size()));
  }
  for (std::size_t i = 0; i < stages_.size(); ++i) {
    register_module("stage" + std::to_string(i), stages_[i])->to(devices_[i]);
  }
}

torch::Tensor SplitModel::forward(torch::Tensor x) {
  for (std::size_t i = 0; i < stages_.size(); ++i) x = stages_[i]->forward(x.to(devices_[i]));
  return x;
}

void freeze_batch_norm(torch::nn::Module& module) {
  for (const auto& part : module.modules()) {
    if (part->as<torch::nn::BatchNorm1dImpl>() || part->as<torch::nn::BatchNorm2dImpl>() ||
        part->as<torch::nn::BatchNorm3dImpl>()) {
      part->eval();
    }
  }
}

}  // namespace manta::train
