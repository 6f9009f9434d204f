#pragma once
// LiveLogs: the logs that the stores of this process write to just now, by their files' names. Thread-safe.
#include <filesystem>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace manta {

class LiveLogs {
 public:
  static LiveLogs& instance() {
    static LiveLogs& logs = *new LiveLogs;  // never destroyed: RocksDB's threads may outlive main
    return logs;
  }
  void add(const std::string& file) {
    std::lock_guard lock(mutex_);
    files_.insert(file);
  }
  void remove(const std::string& file) {
    std::lock_guard lock(mutex_);
    files_.erase(file);
  }
  /// The others in the same directory.
  std::vector<std::string> beside(const std::string& file) const {
    const auto directory = [](const std::string& of) { return std::filesystem::path(of).parent_path(); };
    std::vector<std::string> found;
    std::lock_guard lock(mutex_);
    for (const auto& each : files_)
      if (each != file && directory(each) == directory(file)) found.push_back(each);
    return found;
  }

 private:
  mutable std::mutex mutex_;  // guards files_
  std::set<std::string> files_{};
};

}  // namespace manta
