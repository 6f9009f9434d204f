#pragma once
// A file descriptor that is closed when its owner goes. Move-only; -1 means none. Not thread-safe.
#include <unistd.h>

#include <utility>

#include "runtime/base/result.hpp"

namespace manta {

class OwnedFd {
 public:
  OwnedFd() noexcept = default;
  explicit OwnedFd(int fd) noexcept : fd_(fd) {}
  OwnedFd(OwnedFd&& other) noexcept : fd_(other.release()) {}
  OwnedFd& operator=(OwnedFd&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  ~OwnedFd() { reset(); }

  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }
  /// Gives the descriptor away without closing it.
  int release() noexcept { return std::exchange(fd_, -1); }
  void reset(int fd = -1) noexcept {
    const int old = std::exchange(fd_, fd);
    if (old >= 0) ::close(old);
  }

 private:
  int fd_ = -1;
};

struct FdPair {
  OwnedFd first;
  OwnedFd second;
};

/// A close-on-exec pipe: first is the end to read, second the end to write. IoError.
Result<FdPair> make_pipe();

/// A close-on-exec unix socket pair; type is SOCK_STREAM or SOCK_SEQPACKET. IoError.
Result<FdPair> make_socket_pair(int type);

/// A close-on-exec duplicate. IoError.
Result<OwnedFd> duplicate(int fd);

void set_nonblocking(int fd) noexcept;

/// An IoError that says what was tried and the reason of the operating system (`error` is an errno value).
ErrorInfo system_error(const char* what, int error);

}  // namespace manta
