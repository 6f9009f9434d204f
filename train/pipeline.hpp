#pragma once
// Pipeline parallelism inside one process: the batch is cut into micro-batches that flow through the stages of a
// SplitModel, so that all stages work at once. The schedule is 1F1B (Narayanan et al., "PipeDream", 2019; here with a
// flush after each batch): stage s of p runs p-1-s forward passes ahead, then one forward and one backward by turns, so at
// most p-s micro-batches are held in stage s. Each stage has a thread; on GPUs that thread only queues work.
//
// What is equal to what. Losses and gradients are those of the model run on one micro-batch after the other with the
// gradients added up (micro_batched_step), in the same order of sums. They are those of the uncut model on the whole
// batch exactly when a sample's output does not depend on its neighbours: always without batch normalisation, and with
// it after freeze_batch_norm(). Batch normalisation in training mode takes its statistics from what it is given, here a
// micro-batch (as in GPipe, section 3.1); no schedule that overlaps stages can do otherwise. Dropout draws from
// LibTorch's one CPU generator, whose order among stages is not fixed.
//
//   train::Pipeline pipeline(split, loss, {.micro_batches = 4});
//   optimizer.zero_grad();
//   double mean_loss = pipeline.step(images, labels);
//   optimizer.step();
#include <functional>
#include <memory>

#include "train/model_parallel.hpp"

namespace manta::train {

/// The mean loss over the samples of (outputs, targets): a scalar. Called by the last stage's thread.
using LossFn = std::function<torch::Tensor(const torch::Tensor& outputs, const torch::Tensor& targets)>;

struct PipelineOptions {
  int micro_batches{4};      ///< at least 1; a batch of fewer samples gives as many micro-batches as samples
  int threads_per_stage{0};  ///< intra-op threads of each stage on the CPU; 0: the caller's divided by the stages
};

/// Owns one thread per stage from construction to destruction. One thread at a time may call step, and nobody else may
/// use the model meanwhile.
class Pipeline {
 public:
  /// Throws InvalidArgument when micro_batches < 1 or threads_per_stage < 0.
  Pipeline(std::shared_ptr<SplitModel> model, LossFn loss, PipelineOptions options = {});
  ~Pipeline();
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  /// Forward and backward over one batch: adds the gradient of the batch's mean loss to each parameter's grad and gives
  /// that loss. Micro-batch i has its samples in the order of the batch; sizes differ by at most one. Throws
  /// InvalidArgument when inputs and targets differ in length or are empty, and what a stage throws (the gradients are
  /// then partial; the pipeline can be used again).
  double step(const torch::Tensor& inputs, const torch::Tensor& targets);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// The reference: the same micro-batches through the same model, one after the other, on the calling thread.
double micro_batched_step(Stage& model, const LossFn& loss, const torch::Tensor& inputs, const torch::Tensor& targets,
                          int micro_batches);

}  // namespace manta::train
