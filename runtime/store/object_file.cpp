#include "runtime/store/object_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>

#include "runtime/base/standard_streams.hpp"
#include "runtime/store/memory_limits.hpp"
#include "runtime/store/store_directory.hpp"
#include "runtime/store/reserve_space.hpp"

namespace manta {

namespace {

constexpr std::string_view kPrefix = "manta-object-";
constexpr std::string_view kRandomPart = "XXXXXX";
constexpr int kFolderAttempts = 1000;

ErrorInfo file_error(ErrorCode code, const std::string& directory, std::uint64_t bytes, std::string_view why) {
  return {.code = code, .message = fmt::format("no file of {} bytes for an object in {}: {}", bytes, directory, why)};
}

int open_unnamed(const std::string& directory) {
  const int fd = above_standard_streams(::open(directory.c_str(), O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600));
  if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR)) return fd;
  auto name = fmt::format("{}/{}{}", directory, kPrefix, kRandomPart);  // a file system without unnamed files
  const int named = ::mkostemp(name.data(), O_CLOEXEC);
  if (named >= 0) ::unlink(name.c_str());
  return above_standard_streams(named);
}

bool is_in_memory(const struct statfs& info) { return info.f_type == TMPFS_MAGIC || info.f_type == RAMFS_MAGIC; }

/// A file system in memory would have the machine swap, or a process ended, before it says that it is full.
bool lies_in_memory(int fd) {
  struct statfs info {};
  return ::fstatfs(fd, &info) == 0 && is_in_memory(info);
}

/// A file system that copies on write would take new space for pages that reach the disk twice.
void write_in_place(int fd) {
  int flags = 0;
  if (::ioctl(fd, FS_IOC_GETFLAGS, &flags) != 0) return;
  flags |= FS_NOCOW_FL;
  static_cast<void>(::ioctl(fd, FS_IOC_SETFLAGS, &flags));  // only where it means something
}

}  // namespace

bool is_left_object_file(std::string_view name) noexcept {
  return name.size() == kPrefix.size() + kRandomPart.size() && name.starts_with(kPrefix);
}

bool lies_in_memory(const std::string& directory) {
  struct statfs info {};
  return ::statfs(directory.c_str(), &info) == 0 && is_in_memory(info);
}

Result<int> make_object_file(const std::string& directory, std::uint64_t bytes) {
  const int fd = open_unnamed(directory);
  if (fd < 0) return file_error(write_error_code(errno), directory, bytes, std::strerror(errno));
  const auto fail = [&](ErrorCode code, std::string_view why) {
    ::close(fd);
    return file_error(code, directory, bytes, why);
  };
  if (lies_in_memory(fd) && bytes > read_memory_limits().smaller())
    return fail(ErrorCode::kOutOfMemory, "that is in memory, of which less is left; name a directory on a disk");
  write_in_place(fd);
  const int error = reserve_space(fd, bytes);
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) return fail(ErrorCode::kOutOfDisk, std::strerror(error));
  if (error == EOPNOTSUPP) return fail(ErrorCode::kIoError, "its file system cannot reserve space; name another directory");
  if (error) return fail(ErrorCode::kIoError, std::strerror(error));
  if (::fchmod(fd, 0400) != 0) return fail(ErrorCode::kIoError, std::strerror(errno));
  return fd;
}

ObjectFileFactory object_files_in(std::string directory) {
  struct Folder {
    explicit Folder(std::string where) : path(std::move(where)) {}
    std::string path;
    std::atomic<bool> made{false};
    ~Folder() {
      if (made) ::rmdir(path.c_str());
    }
  };
  auto folder = std::make_shared<Folder>(std::move(directory));
  return [folder](std::uint64_t bytes) {
    std::error_code unseen;  // opening the file says it better
    for (int attempt = 1;; ++attempt) {
      if (const auto parent = std::filesystem::path(folder->path).parent_path(); !parent.empty())
        std::filesystem::create_directories(parent, unseen);
      if (::mkdir(folder->path.c_str(), 0700) == 0) folder->made = true;
      auto file = make_object_file(folder->path, bytes);
      // Another program that ends removes the folder, which is empty to it: our files have no names.
      if (file || attempt == kFolderAttempts || ::access(folder->path.c_str(), F_OK) == 0) return file;
    }
  };
}

}  // namespace manta
