#include "runtime/store/directory_claim.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <optional>

#include "runtime/base/standard_streams.hpp"

namespace manta {

namespace {

using FileId = std::pair<dev_t, ino_t>;

/// Of the lock file in the directory; looks without opening it.
std::optional<FileId> lock_file_in(const std::string& path) {
  struct stat status {};
  return ::stat((path + "/LOCK").c_str(), &status) == 0 ? std::optional(FileId{status.st_dev, status.st_ino}) : std::nullopt;
}

/// The directories this process has open, also where they have been moved to since. Its own lock files must not be opened: POSIX drops a
/// process's lock as soon as it closes any descriptor of the file.
class OpenDirectories {
 public:
  static OpenDirectories& instance() {
    static auto& directories = *new OpenDirectories;  // never destroyed: a static of the program's may have one open
    return directories;
  }
  bool insert(const std::string& path) {
    std::lock_guard lock(mutex_);
    return !has(path) && open_.emplace(path, std::nullopt).second;
  }
  void note_lock_file(const std::string& path) {
    std::lock_guard lock(mutex_);
    open_[path] = lock_file_in(path);
  }
  void erase(const std::string& path) {
    std::lock_guard lock(mutex_);
    open_.erase(path);
    released_.notify_all();
  }
  void await_release(const std::string& path, std::chrono::milliseconds timeout) {
    std::unique_lock lock(mutex_);
    released_.wait_for(lock, timeout, [&] { return !has(path); });
  }
  /// Whether it is open here, or else what `look` says; none is opened meanwhile.
  template <typename Look>
  bool contains_or(const std::string& path, const Look& look) {
    std::lock_guard lock(mutex_);
    return has(path) || look();
  }

 private:
  /// An open lock file keeps its number for itself.
  bool has(const std::string& path) const {
    const auto there = lock_file_in(path);
    return open_.contains(path) || (there && std::any_of(open_.begin(), open_.end(), [&](const auto& each) { return each.second == there; }));
  }
  std::mutex mutex_;
  std::condition_variable released_;
  std::map<std::string, std::optional<FileId>> open_;
};

std::string process_name(pid_t pid) {
  if (pid <= 0) return "a program in another container, or on another machine";
  std::string name;
  std::getline(std::ifstream(fmt::format("/proc/{}/comm", pid)), name);
  return name.empty() ? fmt::format("process {}", pid) : fmt::format("process {} ({})", pid, name);
}

/// Who has the directory's lock file locked, if that can be seen.
std::optional<pid_t> lock_holder(const std::string& path) {
  const int fd = ::open((path + "/LOCK").c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  const bool asked = ::fcntl(fd, F_GETLK, &lock) == 0;
  ::close(fd);
  return asked && lock.l_type != F_UNLCK ? std::optional(lock.l_pid) : std::nullopt;
}

/// The same before and after the directory is made: a relative path of which nothing is there yet would stay relative.
std::string canonical_path(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::weakly_canonical(std::filesystem::absolute(path, ignored), ignored).string();
}

}  // namespace

DirectoryClaim::~DirectoryClaim() {
  if (!path_.empty()) OpenDirectories::instance().erase(path_);
}

void DirectoryClaim::note_lock_file() { OpenDirectories::instance().note_lock_file(path_); }

ErrorInfo held_by(const std::string& path, const std::string& holder) {
  return {.code = ErrorCode::kResourceExhausted,
          .message = fmt::format("{} is in use by {}; wait until it ends or stop it, or choose another directory", path,
                                 holder)};
}

Result<DirectoryClaim> claim_directory(const std::string& path) {
  take_standard_streams();  // files are opened here next
  const std::string canonical = canonical_path(path);
  if (!OpenDirectories::instance().insert(canonical)) return held_by(path, "this program itself");
  DirectoryClaim claimed(canonical);
  if (const auto pid = lock_holder(path)) return held_by(path, process_name(*pid));
  return claimed;
}

void await_release(const std::string& path, std::chrono::milliseconds timeout) {
  OpenDirectories::instance().await_release(canonical_path(path), timeout);
}

bool directory_in_use(const std::string& path) {
  return OpenDirectories::instance().contains_or(canonical_path(path), [&] { return lock_holder(path).has_value(); });
}

}  // namespace manta
