#pragma once
// What one trial does: trains a small CNN and reports loss and accuracy each epoch. After the classic example of Ray
// Tune, which trains the PyTorch tutorial's net on CIFAR-10.
#include <string>
#include <string_view>

#include "train/models/conv_net.hpp"
#include "train/torch/tensors.hpp"
#include "tune/config.hpp"
#include "tune/trial_context.hpp"

/// Images of the training files that trials never train on: the configuration is chosen by them.
constexpr std::size_t kHeldOut = 10000;

// Where the configuration does not say otherwise.
inline constexpr const char* kDataset = "fashion-mnist";
constexpr std::uint64_t kMaxEpochs = 8;
constexpr int kWorkers = 1;
constexpr double kCpusPerWorker = 1;
/// Images of an epoch, drawn anew each epoch; 0: all. Fewer of Fashion-MNIST, so that the demo is over in minutes.
constexpr std::size_t epoch_images(std::string_view dataset) { return dataset == "cifar10" ? 0 : 12000; }

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

/// The trainable. Its configuration has l1, l2, lr, batch_size, and may have dataset, max_epochs, epoch_images, workers and
/// cpus_per_worker.
void train_cifar(manta::tune::TrialContext& ctx, const manta::tune::Config& config, const std::string& data_dir);
