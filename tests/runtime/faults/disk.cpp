#include "tests/runtime/faults/disk.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>
#include <set>

namespace manta_test {

namespace {

std::atomic<bool> g_failing{false};
std::atomic<int> g_failures{0};
std::atomic<int> g_retries{0};
std::mutex g_mutex;
std::set<std::string> g_failed;

std::string path_of(int fd) {  // not the inode: that of a deleted file is used again
  std::error_code ignored;
  return fs::read_symlink("/proc/self/fd/" + std::to_string(fd), ignored).string();
}

int sync_or_fail(int fd, long call) {
  const auto file = path_of(fd);
  {
    std::lock_guard lock(g_mutex);
    if (g_failed.contains(file)) ++g_retries;
    if (g_failing) g_failed.insert(file), ++g_failures;
  }
  if (!g_failing) return static_cast<int>(::syscall(call, fd));
  errno = EIO;
  return -1;
}

}  // namespace

FailingSync::FailingSync() {
  {
    std::lock_guard lock(g_mutex);
    g_failed.clear();
  }
  g_failures = g_retries = 0;
  g_failing = true;
}
FailingSync::~FailingSync() { g_failing = false; }
int FailingSync::failures() { return g_failures; }
int FailingSync::retries() { return g_retries; }

}  // namespace manta_test

// The program's own definitions stand before the C library's, also for the calls of RocksDB's shared library.
extern "C" int fsync(int fd) { return manta_test::sync_or_fail(fd, SYS_fsync); }
extern "C" int fdatasync(int fd) { return manta_test::sync_or_fail(fd, SYS_fdatasync); }
