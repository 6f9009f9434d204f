#pragma once
// What the tests of the stores share: directories that go away, bytes that can be checked, processes that are waited for.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/store/block.hpp"

namespace manta::test {

/// A new directory that is deleted with the object; in memory, where syncing costs nothing, if asked for.
class TemporaryDirectory {
 public:
  enum class Where { kDisk, kMemory };
  explicit TemporaryDirectory(Where where = Where::kDisk) {
    const bool in_memory = where == Where::kMemory && ::access("/dev/shm", W_OK) == 0;
    const auto parent = in_memory ? std::filesystem::path("/dev/shm") : std::filesystem::temp_directory_path();
    std::string pattern = (parent / "manta-test-XXXXXX").string();
    if (!::mkdtemp(pattern.data())) throw std::runtime_error("no temporary directory");
    path_ = pattern;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

/// `size` bytes that only this seed gives.
inline std::vector<std::byte> pattern(std::uint64_t seed, std::size_t size) {
  std::vector<std::byte> bytes(size);
  std::uint64_t state = seed * 0x9e3779b97f4a7c15ull + 1;
  for (std::size_t at = 0; at < size; at += 8) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    std::memcpy(bytes.data() + at, &state, std::min<std::size_t>(8, size - at));
  }
  return bytes;
}

inline bool equal(ByteView a, ByteView b) { return std::equal(a.begin(), a.end(), b.begin(), b.end()); }

inline std::string text(ByteView bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
inline ByteView bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

/// Runs `body` in a child process; gives its exit status, or minus the signal that ended it.
template <class Body>
int run_in_child(Body body) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    int status = 125;
    try {
      status = body();
    } catch (...) {
    }
    ::_exit(status);
  }
  int status = 0;
  if (pid < 0 || ::waitpid(pid, &status, 0) != pid) throw std::runtime_error("no child process");
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

/// What a HoldingChild does: something with its argument, then `ready()`, then it lasts until it is killed.
using ChildRole = void (*)(const std::string& argument, const std::function<void()>& ready);

inline std::map<std::string, ChildRole>& child_roles() {
  static std::map<std::string, ChildRole> roles;
  return roles;
}

struct RegisterChild {
  RegisterChild(const char* name, ChildRole role) { child_roles()[name] = role; }
};

/// This program, started anew in the given role (RocksDB's threads do not survive a mere fork) and killed at the end.
class HoldingChild {
 public:
  HoldingChild(const char* role, const std::string& argument) {
    int ends[2];
    if (::pipe(ends) != 0 || (pid_ = ::fork()) < 0) throw std::runtime_error("no child process");
    if (pid_ == 0) {
      ::close(ends[0]);
      const auto end = std::to_string(ends[1]);
      ::execl("/proc/self/exe", "child", "--child", role, argument.c_str(), end.c_str(), nullptr);
      ::_exit(126);
    }
    ::close(ends[1]);
    char ready = 0;
    if (::read(ends[0], &ready, 1) != 1) ready = 0;
    ::close(ends[0]);
    if (ready != 'r') {
      kill();
      throw std::runtime_error("the child did not get ready");
    }
  }
  ~HoldingChild() { kill(); }
  HoldingChild(const HoldingChild&) = delete;
  HoldingChild& operator=(const HoldingChild&) = delete;

  pid_t pid() const noexcept { return pid_; }
  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  pid_t pid_{-1};
};

inline std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void write_file(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}

/// The files in `directory` whose name ends with `ending`, by name.
inline std::vector<std::string> files_ending(const std::string& directory, const std::string& ending) {
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator(directory))
    if (entry.path().filename().string().ends_with(ending)) found.push_back(entry.path().string());
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace manta::test
