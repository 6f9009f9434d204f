#include "runtime/process/forks.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>

#include "runtime/base/error.hpp"

namespace manta {

namespace {

int kept_fd = -1;  // a handler of pthread_atfork can only reach globals
int null_fd = -1;
std::atomic<int> forks = 0;

/// Only async-signal-safe calls: other threads' locks are as they were. In a child of a child the numbers may be of the user's files.
void in_child() {
  const bool first = forks.fetch_add(1, std::memory_order_relaxed) == 0;
  if (first && kept_fd >= 0) ::dup3(null_fd, kept_fd, O_CLOEXEC);
}

}  // namespace

void keep_from_forks(int fd) {
  MANTA_CHECK(kept_fd < 0);
  null_fd = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null_fd < 0) return;  // no descriptor is left: the process will not come far
  kept_fd = fd;
  count_forks();
}

int count_forks() {
  static const bool registered = ::pthread_atfork(nullptr, nullptr, &in_child) == 0;
  MANTA_CHECK(registered);
  return forks.load(std::memory_order_relaxed);
}

}  // namespace manta
