#pragma once
// Checkpoints of a training run: weights, buffers, optimiser, epoch, metrics and the random generator's state in one
// file, so that going on gives bit for bit what never stopping would have given.
//
// The file is written under another name, synced and renamed: it is there whole or not at all. It is a zip archive that
// Python reads too: torch.load("checkpoint.pt", weights_only=False)["model"] is a state_dict. Free functions,
// thread-safe for different directories; a model must not be trained meanwhile.
//
//   train::save_checkpoint(dir, *net, &optimizer, {.epoch = epoch, .metrics = {{"loss", loss}}});
//   int next_epoch = 1 + train::load_checkpoint(dir, *net, &optimizer).epoch;
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

namespace torch::nn {
class Module;
}
namespace torch::optim {
class Optimizer;
}

namespace manta::train {

struct CheckpointInfo {
  std::int64_t epoch{0};
  std::map<std::string, double> metrics{};
};

/// Name of the file in a checkpoint's directory.
inline constexpr const char* kCheckpointFile = "checkpoint.pt";

/// Writes dir/checkpoint.pt; makes the directory, replaces an earlier file. `optimizer` may be null. Throws IoError.
void save_checkpoint(const std::filesystem::path& dir, const torch::nn::Module& model,
                     const torch::optim::Optimizer* optimizer, const CheckpointInfo& info);

/// Puts the saved state into a model and optimiser of the same shape, and LibTorch's default CPU generator back to where
/// it was. Without `optimizer` only the model is restored: for evaluation. Throws NotFound when there is no checkpoint,
/// StorageCorruption when it is damaged, InvalidArgument when it is another model's; the model is then unchanged.
CheckpointInfo load_checkpoint(const std::filesystem::path& dir, torch::nn::Module& model,
                               torch::optim::Optimizer* optimizer = nullptr);

}  // namespace manta::train
