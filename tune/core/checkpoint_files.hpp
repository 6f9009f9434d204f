#pragma once
// Checkpoint directories of one trial: they appear whole or not at all, and vanish likewise.
//
// A checkpoint is written under a hidden name, synced to disk file by file, renamed to checkpoint_000003, and the
// directory above is synced. Deletion renames to a hidden name first. Hidden leftovers of a killed process are removed when
// the experiment is resumed. Functions are safe to call from different processes for different trials.
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace manta::tune {

using SaveFunction = std::function<void(const std::filesystem::path& dir)>;

std::string checkpoint_name(std::uint64_t iteration);

/// Calls `save` with an empty directory, then makes that the checkpoint of `iteration`, in place of one of that name.
/// Returns the checkpoint's name. Throws what `save` throws, or IoError; then nothing is left.
std::string write_checkpoint(const std::filesystem::path& trial_dir, std::uint64_t iteration, const SaveFunction& save);

/// Bytes of all files in it; 0 when it is not there.
std::uint64_t checkpoint_bytes(const std::filesystem::path& checkpoint_dir);

/// Makes a copy of a checkpoint in a trial's directory, whole or not at all; files are shared by hard links where the file
/// system allows it. Throws IoError.
void copy_checkpoint(const std::filesystem::path& source, const std::filesystem::path& trial_dir, const std::string& name);

/// Deletes one checkpoint; nothing happens when it is not there.
void remove_checkpoint(const std::filesystem::path& trial_dir, const std::string& name);

/// Deletes what a killed process left: hidden directories, and checkpoints that are not in `keep`.
void remove_leftovers(const std::filesystem::path& trial_dir, const std::vector<std::string>& keep);

}  // namespace manta::tune
