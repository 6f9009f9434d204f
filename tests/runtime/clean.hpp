#pragma once
// Clean: what every test of a fault ends with. It notes what this process has of the system when it is made, and looks at its end
// whether all else has been given back: descriptors, mappings of object memory, named shared memory, child processes, threads. What
// a runtime counts itself (resources, leases, objects, pins, bytes, queued work) is the business of Machine, which has a Clean of its own:
// a case with a Machine needs no other. Header only, for the programs of tests that link no runtime.
//
//   TEST_CASE("fault 25: …") {
//     const Clean clean;  // first, so that it goes last
#include <doctest/doctest.h>

#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <thread>

namespace manta_test {

/// What a process has of the system: how many of what. A plain value.
class Holdings {
 public:
  static Holdings now() {
    Holdings found;
    found.add_descriptors(), found.add_mappings(), found.add_segments(), found.add_children(), found.add_threads();
    return found;
  }
  /// How many of one kind, as beyond() names them.
  long count(const std::string& what) const {
    const auto it = counts_.find(what);
    return it == counts_.end() ? 0 : it->second;
  }
  /// In words, what is here beyond `before`: empty when there is nothing.
  std::string beyond(const Holdings& before) const {
    std::string text;
    for (const auto& [what, count] : counts_) {
      const auto more = count - before.count(what);
      if (more > 0) text += (text.empty() ? "" : ", ") + std::to_string(more) + " x " + what;
    }
    return text;
  }

 private:
  template <class Each>
  static void for_entries(const char* folder, Each&& each) {
    std::error_code gone;
    for (std::filesystem::directory_iterator it(folder, gone), end; !gone && it != end; it.increment(gone)) each(*it);
  }
  static std::string line_of(const std::filesystem::path& file) {
    std::ifstream in(file);
    std::string line;
    std::getline(in, line);
    return line;
  }
  /// By what they are, not by number: a pipe is as good as another.
  void add_descriptors() {
    for_entries("/proc/self/fd", [this](const auto& each) {
      std::error_code gone;
      const auto target = std::filesystem::read_symlink(each.path(), gone).string();
      if (gone || target.find("/proc/") == 0) return;  // of this very look
      ++counts_["descriptor of " + target.substr(0, target.find(":["))];
    });
  }
  void add_mappings() {
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);)
      if (const auto at = line.find("memfd:manta"); at != std::string::npos) ++counts_["mapping of " + line.substr(at)];
  }
  void add_segments() {
    for_entries("/dev/shm", [this](const auto& each) {
      std::error_code gone;  // folders there are other programs' temporary ones
      const auto name = each.path().filename().string();
      if (name.find("manta") != std::string::npos && each.is_regular_file(gone)) ++counts_["/dev/shm/" + name];
    });
  }
  /// A process that has ended but was not waited for counts when it is our own: its parent forgot it.
  void add_children() {
    for_entries("/proc/self/task", [this](const auto& each) {
      std::ifstream in(each.path() / "children");
      for (int pid; in >> pid;) {
        const auto status = line_of("/proc/" + std::to_string(pid) + "/stat");
        const auto end = status.rfind(')');
        const bool ended = end == std::string::npos || end + 2 >= status.size() || status[end + 2] == 'Z' || status[end + 2] == 'X';
        if (!ended) ++counts_["child process"];
      }
    });
  }
  /// The disk library keeps its threads for the next store.
  void add_threads() {
    for_entries("/proc/self/task", [this](const auto& each) {
      const auto name = line_of(each.path() / "comm");
      if (!name.empty() && name.find("rocksdb") != 0) ++counts_["thread"];
    });
  }

  std::map<std::string, long> counts_{};
};

class Clean {
 public:
  Clean() : before_(held_once_threads_run()) {}
  Clean(const Clean&) = delete;
  ~Clean() {
    const auto left = what_stays();
    CHECK_MESSAGE(left.empty(), "left in this process: " << left);
  }

 private:
  /// With a process's first thread ThreadSanitizer starts one of its own.
  static Holdings held_once_threads_run() {
    std::thread([] {}).join();
    return Holdings::now();
  }
  /// Empty when all goes within a minute: the limit only bounds a failure.
  std::string what_stays() const {
    const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (true) {
      auto left = Holdings::now().beyond(before_);
      if (left.empty() || std::chrono::steady_clock::now() > end) return left;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }
  const Holdings before_;
};

}  // namespace manta_test
