#pragma once
// AppendFiles: the files that a logger adds to, one for each trial. The files added to last stay open, a bounded number; text
// waits in memory until `flush`, or until there is much of it. What cannot be written (a full disk, a share that is away for
// a moment) is kept, up to a bound, and tried again at each flush, so that the file has no gap and no half line once that
// works. Used by the driver's thread.
#include <cstddef>
#include <filesystem>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

#include "tune/objective.hpp"

namespace manta::tune {

class AppendFiles {
 public:
  explicit AppendFiles(std::string name) : name_(std::move(name)) {}
  ~AppendFiles();
  AppendFiles(const AppendFiles&) = delete;
  AppendFiles& operator=(const AppendFiles&) = delete;

  /// Adds whole lines or records to the file of that trial in its directory; makes it when there is none.
  void append(TrialIndex trial, const std::filesystem::path& dir, std::string_view text);
  /// Throws IoError for the first file that cannot be written, once for each file: later failures of it are no news.
  void flush();
  /// No more is to come for that trial: lets go of its file, at a later flush when it cannot be written now.
  void close(TrialIndex trial);
  /// Writes what waits for that trial and lets go of its file. False when it cannot be written: then it still waits.
  bool settle(TrialIndex trial);
  /// Lets go of it and of what waits for it.
  void forget(TrialIndex trial);

 private:
  struct File {
    TrialIndex trial{0};
    std::filesystem::path path{};
    int fd{-1};
    std::string waiting{};
    bool closing{false};  ///< to be let go of once its text is written
    bool failed{false};   ///< the last write did
    bool told{false};     ///< that it failed, by an error
  };
  using Position = std::list<File>::iterator;

  /// False when something is left.
  bool write(File& file);
  void failed(File& file, int error);
  /// Lets go of the file that was added to longest ago, or at least of its descriptor.
  void make_room();
  std::size_t kept() const;
  void drop(Position position);

  std::string name_;
  std::list<File> files_;  // added to last comes first
  std::unordered_map<TrialIndex, Position> by_trial_;
  std::string news_;  // the first error since the last flush that has not been told
};

}  // namespace manta::tune
