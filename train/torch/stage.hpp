#pragma once
// A part of a model that takes one tensor and gives one: what model and pipeline parallelism cut a model into.
#include <torch/nn/module.h>

namespace manta::train {

/// Base of every stage. Used by one thread at a time.
class Stage : public torch::nn::Module {
 public:
  /// The stage's output for a batch on the stage's device.
  virtual torch::Tensor forward(torch::Tensor input) = 0;
};

}  // namespace manta::train
