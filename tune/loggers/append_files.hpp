#pragma once
// AppendFiles: the files that a logger adds to, one for each trial. The files added to last stay open, a bounded number; text
// waits in memory until `flush`, or until there is much of it. Used by the driver's thread.
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

  /// Adds to the file of that trial in its directory; makes it when there is none. Throws IoError.
  void append(TrialIndex trial, const std::filesystem::path& dir, std::string_view text);
  /// Throws IoError for the first file that cannot be written; its text is lost, that of the others is not.
  void flush();
  /// Writes what waits for that trial and lets go of its file. Throws IoError.
  void close(TrialIndex trial);
  /// Lets go of it and of what waits for it.
  void forget(TrialIndex trial);

 private:
  struct File {
    TrialIndex trial{0};
    std::filesystem::path path{};
    int fd{-1};
    std::string waiting{};
  };
  using Position = std::list<File>::iterator;

  void write(File& file);
  void drop(Position position);

  std::string name_;
  std::list<File> files_;  // added to last comes first
  std::unordered_map<TrialIndex, Position> by_trial_;
};

}  // namespace manta::tune
