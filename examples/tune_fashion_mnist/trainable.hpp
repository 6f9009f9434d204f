#pragma once
// What one trial does: trains a small CNN and reports loss and accuracy each epoch. After the classic example of Ray
// Tune, which trains the PyTorch tutorial's net on CIFAR-10.
#include <string>

#include "train/models/conv_net.hpp"
#include "train/torch/tensors.hpp"
#include "tune/config.hpp"
#include "tune/trial_context.hpp"

/// Images of the training files that trials never train on: the configuration is chosen by them.
constexpr std::size_t kHeldOut = 10000;

/// Reads the whole data set, every size and checksum checked. `dataset`: "fashion-mnist" or "cifar10".
manta::train::ImageDataset load_dataset(const std::string& dataset, const std::string& dir);
manta::train::Normalization normalization(const std::string& dataset);
manta::train::ConvNet make_net(const std::string& dataset, std::int64_t l1, std::int64_t l2);

struct Score {
  double loss{0};
  double accuracy{0};
};
/// Mean loss and share of right answers over samples first … last-1.
Score evaluate(manta::train::ConvNet& net, const manta::train::TensorSet& set, std::size_t first, std::size_t last,
               const at::Device& device);

/// The trainable. Reads l1, l2, lr, batch_size, dataset, max_epochs, epoch_images, workers and cpus_per_worker from its configuration.
void train_cifar(manta::tune::TrialContext& ctx, const manta::tune::Config& config, const std::string& data_dir);
