// This program's wall clock: an hour ahead at one look, an hour behind at the next. Stands before the C library's, for all
// libraries too; the monotonic clock stays as it is.
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <atomic>

namespace {

std::atomic<unsigned> g_looks{0};

long jump() { return g_looks.fetch_add(1, std::memory_order_relaxed) % 2 ? 3600 : -3600; }

}  // namespace

unsigned wall_clock_looks() { return g_looks; }

extern "C" int clock_gettime(clockid_t clock, timespec* time) noexcept {
  const long failed = ::syscall(SYS_clock_gettime, clock, time);
  if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) time->tv_sec += jump();
  return static_cast<int>(failed);
}

extern "C" int gettimeofday(timeval* __restrict time, void* __restrict zone) noexcept {
  const long failed = ::syscall(SYS_gettimeofday, time, zone);
  if (!failed) time->tv_sec += jump();
  return static_cast<int>(failed);
}

extern "C" time_t time(time_t* place) noexcept {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  if (place) *place = now.tv_sec;
  return now.tv_sec;
}
