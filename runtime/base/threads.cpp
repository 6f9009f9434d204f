#include "runtime/base/threads.hpp"

#include <sched.h>

#include <algorithm>
#include <thread>

namespace manta {

std::size_t usable_cpus() noexcept {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return std::max(1u, std::thread::hardware_concurrency());  // more than a set holds
  return static_cast<std::size_t>(CPU_COUNT(&set));
}

sigset_t asynchronous_signals() noexcept {
  sigset_t set;
  ::sigfillset(&set);
  for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS}) ::sigdelset(&set, fault);
  return set;
}

}  // namespace manta
