#include "runtime/process/owned_fd.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "runtime/base/standard_streams.hpp"

namespace manta {

ErrorInfo system_error(const char* what, int error) {
  std::string text = std::string(what) + " failed: " + std::generic_category().message(error);
  const bool files = error == EMFILE || error == ENFILE, memory = error == EAGAIN || error == ENOMEM;
  if (files) text += "; raise the limit of open files (ulimit -n)";
  if (memory) text += "; raise the limit of processes (ulimit -u) or free memory";
  return {.code = files || memory ? ErrorCode::kResourceExhausted : ErrorCode::kIoError, .message = std::move(text)};
}

namespace {
Result<FdPair> lifted(const int (&fds)[2]) {
  FdPair pair{OwnedFd(above_standard_streams(fds[0])), OwnedFd(above_standard_streams(fds[1]))};
  if (!pair.first || !pair.second) return system_error("duplicating a descriptor", errno);
  return pair;
}
}  // namespace

Result<FdPair> make_pipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) return system_error("making a pipe", errno);
  return lifted(fds);
}

Result<FdPair> make_socket_pair(int type) {
  int fds[2];
  if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds) != 0) return system_error("making a socket pair", errno);
  return lifted(fds);
}

Result<OwnedFd> duplicate(int fd) {
  const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  if (copy < 0) return system_error("duplicating a descriptor", errno);
  return OwnedFd(copy);
}

void set_nonblocking(int fd) noexcept { ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK); }

}  // namespace manta
