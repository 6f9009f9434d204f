#include "runtime/store/disk_reserve.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "runtime/base/threads.hpp"

namespace manta {

namespace {

constexpr std::uint64_t kLeastPart = 64 << 10;

int open_file(const std::string& file) {
  int fd = -1;
  do fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  while (fd < 0 && errno == EINTR);
  return fd;
}

/// A signal ends it before its end, and it would begin anew.
int allocate(int fd, std::uint64_t bytes) {
  const SignalsBlocked blocked;
  int error = 0;
  do error = ::posix_fallocate(fd, 0, static_cast<off_t>(bytes));
  while (error == EINTR);
  return error;
}

}  // namespace

Result<void> DiskReserve::hold(std::uint64_t bytes) {
  if (holds(bytes)) return {};
  const int fd = open_file(file_);
  const int error = fd < 0 ? errno : allocate(fd, bytes);
  int part_error = error;
  for (auto part = bytes / 2; fd >= 0 && part_error && part >= kLeastPart; part /= 2) part_error = allocate(fd, part);
  if (fd >= 0) ::close(fd);
  if (!error) held_ = bytes;
  if (!error) return {};
  const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
  return ErrorInfo{.code = full ? ErrorCode::kOutOfDisk : ErrorCode::kIoError,
                   .message = fmt::format("nothing new is kept without {}, the {} bytes that removing needs on a full disk: {}. Free "
                                          "some space, or remove values, and try again",
                                          file_, bytes, std::strerror(error))};
}

void DiskReserve::give_up() {
  ::unlink(file_.c_str());
  held_ = 0;
}

std::uint64_t free_disk_bytes(const std::string& path) {
  struct statvfs info {};
  if (::statvfs(path.c_str(), &info) != 0) return UINT64_MAX;
  return std::uint64_t{info.f_bavail} * info.f_frsize;
}

}  // namespace manta
