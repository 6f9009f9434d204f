#include "runtime/base/standard_streams.hpp"

#include <fcntl.h>
#include <unistd.h>

namespace manta {

void take_standard_streams() noexcept {
  for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; ++stream) {
    if (::fcntl(stream, F_GETFD) >= 0) continue;
    const int taken = ::open("/dev/null", O_RDWR);  // not O_CLOEXEC: a program that this one executes needs them as well
    if (taken > STDERR_FILENO) ::close(taken);      // another thread has taken it meanwhile
  }
}

}  // namespace manta
