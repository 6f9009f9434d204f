#pragma once
// Image data sets in memory, and the sampler that shards and reshuffles them. No LibTorch here: tensors are made by
// train/torch/tensors.hpp.
//
// An ImageSet is a plain value. The loaders read whole files, check every size, label and checksum there is, and throw
// before anything is returned, so a set that exists is complete. Free functions are thread-safe; a ShardedSampler
// belongs to one thread.
//
//   auto data = train::load_fashion_mnist("/usr/share/datasets/fashion-mnist");
//   train::ShardedSampler sampler({.size = data.train.size(), .rank = rank, .world_size = 2, .seed = 7});
//   for (int epoch = 0; epoch < 8; ++epoch) for (std::uint32_t i : sampler.epoch(epoch)) use(data.train.image(i));
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace manta::train {

/// Images of one size with a label each. Pixels are bytes in the order image, channel, row, column.
struct ImageSet {
  std::size_t channels{0};
  std::size_t height{0};
  std::size_t width{0};
  std::vector<std::uint8_t> pixels{};
  std::vector<std::uint8_t> labels{};

  std::size_t size() const noexcept { return labels.size(); }
  std::size_t image_bytes() const noexcept { return channels * height * width; }
  /// The bytes of image i; requires i < size().
  std::span<const std::uint8_t> image(std::size_t i) const { return {&pixels[i * image_bytes()], image_bytes()}; }
  /// The images first … last-1 as a set of their own. Requires first ≤ last ≤ size().
  ImageSet slice(std::size_t first, std::size_t last) const;
};

struct ImageDataset {
  ImageSet train{};
  ImageSet test{};
  std::vector<std::string> classes{};  ///< the name of each label
};

/// Fashion-MNIST (Xiao et al. 2017) from its four IDX files, each gzipped (".gz", as Debian's dataset-fashion-mnist has
/// them) or not: 60,000 + 10,000 images of 1 × 28 × 28. Throws InvalidArgument when a file is missing, IoError when it
/// cannot be read, StorageCorruption when it is cut off or damaged.
ImageDataset load_fashion_mnist(const std::filesystem::path& dir);

/// CIFAR-10 (Krizhevsky 2009) from the binary version's data_batch_1.bin … data_batch_5.bin and test_batch.bin:
/// 50,000 + 10,000 images of 3 × 32 × 32. Errors as load_fashion_mnist. The format has no checksum: sizes and labels
/// are checked, a changed pixel cannot be seen.
ImageDataset load_cifar10(const std::filesystem::path& dir);

/// One IDX file of unsigned bytes, gzipped or not. Errors as load_fashion_mnist.
struct IdxArray {
  std::vector<std::size_t> dims{};
  std::vector<std::uint8_t> bytes{};
};
IdxArray load_idx(const std::filesystem::path& file);

/// How a ShardedSampler deals out its indices.
struct SamplerOptions {
  std::size_t size{0};         ///< number of samples in the set, at least 1
  int rank{0};                 ///< this worker, 0 … world_size-1
  int world_size{1};           ///< workers that share the set
  std::uint64_t seed{0};       ///< the same on every rank
  bool shuffle{true};          ///< another order each epoch; false: ascending
  bool drop_last{false};       ///< what does not divide by world_size: drop it (true) or repeat samples (false)
  std::size_t epoch_size{0};   ///< samples of an epoch over all ranks, drawn anew each epoch; 0: all
};

/// Deals the indices of a set to ranks so that every rank gets equally many, like PyTorch's DistributedSampler: rank r
/// takes positions r, r + world_size, … of the epoch's order. Same options and epoch: same indices on every platform.
class ShardedSampler {
 public:
  /// Throws InvalidArgument when the options contradict each other.
  explicit ShardedSampler(SamplerOptions options);

  /// This rank's indices for an epoch, in the order to use them.
  std::vector<std::uint32_t> epoch(std::uint64_t number) const;
  /// Indices per rank and epoch.
  std::size_t size() const noexcept { return per_rank_; }

 private:
  std::vector<std::uint32_t> order(std::uint64_t number) const;

  SamplerOptions options_;
  std::size_t per_rank_;
};

}  // namespace manta::train
