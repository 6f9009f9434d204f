#include "tune/core/checkpoint_store.hpp"

#include "runtime/errors.hpp"
#include "tune/core/checkpoint_files.hpp"

namespace manta::tune {

namespace {

class DiskCheckpoints final : public CheckpointStore {
 public:
  void make_trial_dir(const std::filesystem::path& trial_dir) override {
    std::error_code error;
    std::filesystem::create_directories(trial_dir, error);
    if (error) throw IoError("the trial's directory '" + trial_dir.string() + "' cannot be made: " + error.message() + ".");
  }
  bool contains(const std::filesystem::path& checkpoint) const override {
    std::error_code none;
    return std::filesystem::is_directory(checkpoint, none);
  }
  void copy(const std::filesystem::path& source, const std::filesystem::path& trial_dir, const std::string& name) override {
    copy_checkpoint(source, trial_dir, name);
  }
  void remove(const std::filesystem::path& trial_dir, const std::string& name) override { remove_checkpoint(trial_dir, name); }
  void remove_leftovers(const std::filesystem::path& trial_dir, const std::vector<std::string>& keep) override {
    manta::tune::remove_leftovers(trial_dir, keep);
  }
};

}  // namespace

std::shared_ptr<CheckpointStore> disk_checkpoints() { return std::make_shared<DiskCheckpoints>(); }

}  // namespace manta::tune
