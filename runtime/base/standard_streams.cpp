#include "runtime/base/standard_streams.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace manta {

namespace {
using Flags = std::array<bool, STDERR_FILENO + 1>;

/// At the first call.
const Flags& close_on_exec_at_start() noexcept {
  static const Flags flags = [] {
    Flags seen{};
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; ++stream) {
      const int now = ::fcntl(stream, F_GETFD);
      seen[static_cast<std::size_t>(stream)] = now >= 0 && (now & FD_CLOEXEC);
    }
    return seen;
  }();
  return flags;
}
}  // namespace

int above_standard_streams(int fd) noexcept {
  if (fd < 0 || fd > STDERR_FILENO) return fd;
  const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  const int error = errno;
  ::close(fd);
  errno = error;
  return copy;
}

bool is_standard_stream(int fd) noexcept {
  const auto& at_start = close_on_exec_at_start();
  const int flags = ::fcntl(fd, F_GETFD);
  return flags >= 0 && (!(flags & FD_CLOEXEC) || at_start[static_cast<std::size_t>(fd)]);
}

void take_standard_streams() noexcept {
  close_on_exec_at_start();
  for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; ++stream) {
    if (::fcntl(stream, F_GETFD) >= 0) continue;
    const int taken = ::open("/dev/null", O_RDWR);  // not O_CLOEXEC: a program that this one executes needs them as well
    if (taken > STDERR_FILENO) ::close(taken);      // another thread has taken it meanwhile
  }
}

}  // namespace manta
