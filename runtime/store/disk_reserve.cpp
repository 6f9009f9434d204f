#include "runtime/store/disk_reserve.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace manta {

namespace {

constexpr std::uint64_t kLeastPart = 64 << 10;

}  // namespace

Result<void> DiskReserve::hold() {
  if (held_) return {};
  const int fd = ::open(file_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  const int error = fd < 0 ? errno : ::posix_fallocate(fd, 0, static_cast<off_t>(bytes_));
  int part_error = error;
  for (auto part = bytes_ / 2; fd >= 0 && part_error && part >= kLeastPart; part /= 2)
    part_error = ::posix_fallocate(fd, 0, static_cast<off_t>(part));
  if (fd >= 0) ::close(fd);
  held_ = !error;
  if (held_) return {};
  const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
  return ErrorInfo{.code = full ? ErrorCode::kOutOfDisk : ErrorCode::kIoError,
                   .message = fmt::format("nothing new is kept without {}, the {} bytes that removing needs on a full disk: {}. Free "
                                          "some space, or remove values, and try again",
                                          file_, bytes_, std::strerror(error))};
}

void DiskReserve::give_up() {
  ::unlink(file_.c_str());
  held_ = false;
}

std::uint64_t free_disk_bytes(const std::string& path) {
  struct statvfs info {};
  if (::statvfs(path.c_str(), &info) != 0) return UINT64_MAX;
  return std::uint64_t{info.f_bavail} * info.f_frsize;
}

}  // namespace manta
