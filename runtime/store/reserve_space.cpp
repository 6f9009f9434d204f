#include "runtime/store/reserve_space.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "runtime/base/threads.hpp"

namespace manta {

int reserve_space(int fd, std::uint64_t bytes) noexcept {
  constexpr std::uint64_t kPart = 64 << 20;  // some 20 ms in memory: the program's signals do not wait for longer
  for (std::uint64_t at = 0; at < bytes; at += kPart) {
    const SignalsBlocked blocked;
    int failed = 0;
    do failed = ::fallocate(fd, 0, static_cast<off_t>(at), static_cast<off_t>(std::min(kPart, bytes - at)));
    while (failed && errno == EINTR);
    if (failed) return errno;
  }
  return 0;
}

}  // namespace manta
