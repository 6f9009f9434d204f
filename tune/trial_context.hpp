#pragma once
// TrialContext: what a running trial knows about itself, and its way to report.
//
//   void train(tune::TrialContext& ctx, const tune::Config& config) {
//     Model model(config.get<int>("width"));
//     if (auto dir = ctx.checkpoint()) model.load(*dir / "model.bin");
//     for (auto epoch = ctx.iteration(); epoch < 10; ++epoch) {
//       double loss = model.train_one_epoch();
//       ctx.report({{"loss", loss}}, [&](const std::filesystem::path& dir) { model.save(dir / "model.bin"); });
//     }
//   }
//
// Owned by the tuner; valid while the trainable runs. Used by the thread that the trainable was called on.
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "runtime/client.hpp"
#include "tune/metrics.hpp"

namespace manta::tune {

class TrialSession;

class TrialContext {
 public:
  using SaveFunction = std::function<void(const std::filesystem::path& dir)>;

  /// Reports one result and waits for the decision; counts one training iteration. When it has returned, the result is in the
  /// experiment's journal: a kill -9 neither loses nor doubles it (TuneOptions::buffer_results lets it be late). When the trial is to stop it throws
  /// an exception that is no std::exception, to unwind the trainable: let it pass (a later report throws it again). InvalidArgument
  /// while another report of the trial is under way.
  void report(const Metrics& metrics);
  /// The same with a checkpoint: `save` is called with an empty directory to fill. The checkpoint appears whole or not
  /// at all, and before the result does. Throws what `save` throws, or IoError.
  void report(const Metrics& metrics, const SaveFunction& save);

  /// How to save the trial when it has to leave its worker and its last report brought no checkpoint: when the scheduler
  /// pauses it, and with CheckpointOptions::at_end also when it is stopped. `save` is called by report, before that unwinds
  /// the trainable, and must stay valid until then. Class trainables with save need not call it.
  void save_when_leaving(SaveFunction save);

  /// The directory of the checkpoint to go on from, if there is one. Read it before the first report.
  std::optional<std::filesystem::path> checkpoint() const;
  /// Iterations done: those of the checkpoint at first, then one more after each report.
  std::uint64_t iteration() const noexcept;
  /// True when the driver wants the trial to end: a long iteration may look and return.
  bool should_stop() const noexcept;

  const std::string& id() const noexcept;
  const std::string& name() const noexcept;
  /// The trial's directory, for files of its own; names that begin with "checkpoint_" or "." are the tuner's.
  const std::filesystem::path& dir() const noexcept;
  /// A seed for the trial's own generators: a function of the experiment's seed and the trial's number.
  std::uint64_t seed() const noexcept;

  /// The runtime, to start tasks and actors of the trial's own (a trainer with several workers).
  Client& runtime() noexcept;
  /// The trial's bundles when TrialResources::bundles is set: the trial itself runs in bundle 0, tasks and actors of its own
  /// go into the others by `.placement = ctx.placement_group().bundle(1)`. Else it is empty.
  const PlacementGroup& placement_group() const noexcept;
  /// GPUs held by the trial, as NVML counts them; in a process of its own the first one is CUDA device 0.
  const std::vector<int>& gpu_ids() const noexcept;
  Amount num_cpus() const noexcept;

 private:
  friend class TrialSession;
  explicit TrialContext(TrialSession& session) : session_(&session) {}
  TrialSession* session_;
};

}  // namespace manta::tune
