#pragma once
// CheckpointStore: where the trials' checkpoints are, as the driver sees them: on the disk, or in a simulation's memory.
// Trials write them; the driver looks whether they are there, copies and deletes. Used by the driver's thread only.
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace manta::tune {

class CheckpointStore {
 public:
  virtual ~CheckpointStore() = default;

  /// Throws IoError.
  virtual void make_trial_dir(const std::filesystem::path& trial_dir) = 0;
  virtual bool contains(const std::filesystem::path& checkpoint) const = 0;
  /// Makes a copy in a trial's directory, whole or not at all. Throws IoError.
  virtual void copy(const std::filesystem::path& source, const std::filesystem::path& trial_dir, const std::string& name) = 0;
  /// Nothing happens when it is not there.
  virtual void remove(const std::filesystem::path& trial_dir, const std::string& name) = 0;
  /// Deletes what a killed process left, and checkpoints that are not in `keep`.
  virtual void remove_leftovers(const std::filesystem::path& trial_dir, const std::vector<std::string>& keep) = 0;
};

/// Directories, as tune/core/checkpoint_files.hpp writes them.
std::shared_ptr<CheckpointStore> disk_checkpoints();

}  // namespace manta::tune
