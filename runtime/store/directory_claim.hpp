#pragma once
// One program at a time in a store's directory: what this process has open, and who has the lock file of another.
#include <chrono>
#include <string>
#include <utility>

#include "runtime/base/result.hpp"

namespace manta {

/// Keeps a directory registered as open in this process. RocksDB's own lock keeps other processes out.
class DirectoryClaim {
 public:
  DirectoryClaim() = default;
  explicit DirectoryClaim(std::string path) : path_(std::move(path)) {}
  DirectoryClaim(DirectoryClaim&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  DirectoryClaim& operator=(DirectoryClaim&& other) noexcept {
    std::swap(path_, other.path_);
    return *this;
  }
  ~DirectoryClaim();
  /// Its lock file is there, and stays the same where the directory is moved to.
  void note_lock_file();

 private:
  std::string path_;
};

/// ResourceExhausted, naming the holder, when this process or another one has the directory open.
Result<DirectoryClaim> claim_directory(const std::string& path);
/// Waits until this process does not have the directory open, or the time is over.
void await_release(const std::string& path, std::chrono::milliseconds timeout);
/// Whether anybody has.
bool directory_in_use(const std::string& path);
/// The error that says so.
ErrorInfo held_by(const std::string& path, const std::string& holder);

}  // namespace manta
