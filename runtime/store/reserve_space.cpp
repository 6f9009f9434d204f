#include "runtime/store/reserve_space.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "runtime/base/threads.hpp"

namespace manta {

namespace {
/// Of a limit to the size of files: it would end the program, who asks hears of it by the error. With the signals blocked.
void take_back_file_size_signal() noexcept {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGXFSZ);
  const timespec now{};
  while (::sigtimedwait(&set, nullptr, &now) < 0 && errno == EINTR) {
  }
}
}  // namespace

int reserve_space(int fd, std::uint64_t bytes) noexcept {
  constexpr std::uint64_t kPart = 64 << 20;  // some 20 ms in memory: the program's signals do not wait for longer
  for (std::uint64_t at = 0; at < bytes; at += kPart) {
    const SignalsBlocked blocked;
    int failed = 0;
    do failed = ::fallocate(fd, 0, static_cast<off_t>(at), static_cast<off_t>(std::min(kPart, bytes - at)));
    while (failed && errno == EINTR);
    if (!failed) continue;
    const int error = errno;
    if (error == EFBIG) take_back_file_size_signal();
    return error;
  }
  return 0;
}

}  // namespace manta
