#include "runtime/store/directory_claim.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <optional>
#include <set>

#include "runtime/base/standard_streams.hpp"

namespace manta {

namespace {

/// The directories this process has open. Its own lock files must not be opened: POSIX drops a process's lock as soon as
/// it closes any descriptor of the file.
class OpenDirectories {
 public:
  static OpenDirectories& instance() {
    static OpenDirectories directories;
    return directories;
  }
  bool insert(const std::string& path) {
    std::lock_guard lock(mutex_);
    return paths_.insert(path).second;
  }
  void erase(const std::string& path) {
    std::lock_guard lock(mutex_);
    paths_.erase(path);
    released_.notify_all();
  }
  void await_release(const std::string& path, std::chrono::milliseconds timeout) {
    std::unique_lock lock(mutex_);
    released_.wait_for(lock, timeout, [&] { return !paths_.contains(path); });
  }
  /// Whether it is open here, or else what `look` says; none is opened meanwhile.
  template <typename Look>
  bool contains_or(const std::string& path, const Look& look) {
    std::lock_guard lock(mutex_);
    return paths_.contains(path) || look();
  }

 private:
  std::mutex mutex_;
  std::condition_variable released_;
  std::set<std::string> paths_;
};

std::string process_name(pid_t pid) {
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
