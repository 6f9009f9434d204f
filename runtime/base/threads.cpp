#include "runtime/base/threads.hpp"

#include <pthread.h>
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

namespace {
StackExtent look_up_stack() noexcept {
  pthread_attr_t attributes;
  if (::pthread_getattr_np(::pthread_self(), &attributes) != 0) return {};
  void* lowest = nullptr;
  std::size_t size = 0;
  const bool known = ::pthread_attr_getstack(&attributes, &lowest, &size) == 0;
  ::pthread_attr_destroy(&attributes);
  return known ? StackExtent{reinterpret_cast<std::uintptr_t>(lowest), size} : StackExtent{};
}
}  // namespace

StackExtent own_stack() noexcept {
  thread_local const StackExtent stack = look_up_stack();
  return stack;
}

sigset_t asynchronous_signals() noexcept {
  sigset_t set;
  ::sigfillset(&set);
  for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS}) ::sigdelset(&set, fault);
  return set;
}

SignalsBlocked::SignalsBlocked() noexcept {
  const sigset_t set = asynchronous_signals();
  ::pthread_sigmask(SIG_BLOCK, &set, &before_);
}

SignalsBlocked::~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

}  // namespace manta
