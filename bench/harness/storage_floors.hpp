#pragma once
// Floors of what moves many bytes: a copy in memory, a fork, plain files with a checksum each. One thread at a time.
#include <filesystem>
#include <vector>

#include "bench/harness/measure.hpp"

namespace manta::bench {

inline constexpr std::size_t kMebibyte = std::size_t{1} << 20;
inline constexpr std::size_t kBigMebibytes = 800;  ///< of the big object
inline constexpr std::size_t kSpillValues = 384;   ///< of 1 MiB each

/// A fresh folder in the one for temporary files; goes with the object.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// Forks this very program and ends the child at once; an operation is one.
Timed fork_and_exit(std::size_t n);

/// Copies 800 MiB between two pieces of memory that have been touched; an operation is a MiB.
class BigCopy {
 public:
  BigCopy();
  Timed operator()(std::size_t n);

 private:
  std::vector<char> from_;
  std::vector<char> to_;
};

/// 1 MiB that does not compress.
std::vector<char> random_mebibyte();

/// Forces all files of a folder, at any depth, to the disk; with `forget` also out of the kernel's memory, so that the next
/// read comes from the disk. Throws std::system_error.
void sync_files(const std::filesystem::path& folder, bool forget);

/// kSpillValues files of 1 MiB, each with its XXH3. An operation is a file.
class PlainFiles {
 public:
  /// Writes them all, then forces them to the disk.
  Timed write();
  /// Reads them all from the disk and compares the checksums; writes them first if need be.
  Timed read();

 private:
  std::filesystem::path file(std::size_t index) const;
  TemporaryFolder folder_{};
  std::vector<char> value_ = random_mebibyte();
  bool written_ = false;
};

}  // namespace manta::bench
