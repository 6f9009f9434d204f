#pragma once
// Snapshot: the files of a directory, to be put back as they were after each damage.
#include "tests/runtime/store/store_fixtures.hpp"

namespace manta::test {

class Snapshot {
 public:
  explicit Snapshot(std::string directory) : directory_(std::move(directory)) {
    for (const auto& file : files_ending(directory_, "")) files_.emplace_back(file, read_file(file));
  }
  void restore() const {
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directory(directory_);
    for (const auto& [file, content] : files_) write_file(file, content);
  }
  /// The largest of the files with this ending; there is one with something in it.
  std::pair<std::string, std::string> file(const std::string& ending) const {
    std::pair<std::string, std::string> largest;
    for (const auto& [file, content] : files_)
      if (file.ends_with(ending) && content.size() > largest.second.size()) largest = {file, content};
    return largest;
  }

 private:
  std::string directory_;
  std::vector<std::pair<std::string, std::string>> files_;
};

}  // namespace manta::test
