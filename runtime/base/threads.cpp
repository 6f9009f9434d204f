#include "runtime/base/threads.hpp"

#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

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

namespace {
struct ProgramThread {
  std::mutex mutex;
  std::optional<sigset_t> signals;  // guarded by mutex, as what follows
  int openmp_threads = 0;
};
ProgramThread& program_thread() {
  static auto& made = *new ProgramThread;  // never destroyed: threads outlive main
  return made;
}
}  // namespace

void remember_program_thread(int openmp_threads) noexcept {
  sigset_t now;
  ::pthread_sigmask(SIG_BLOCK, nullptr, &now);
  auto& program = program_thread();
  std::lock_guard lock(program.mutex);
  if (program.signals) return;
  program.signals = now;
  program.openmp_threads = openmp_threads;
}

void become_program_thread() noexcept {
  auto& program = program_thread();
  std::unique_lock lock(program.mutex);
  const auto signals = program.signals;
  lock.unlock();
  if (signals) ::pthread_sigmask(SIG_SETMASK, &*signals, nullptr);
  limit_openmp_here();
}

/// Of the calling thread: the others have what the library read as it was loaded.
void limit_openmp_here() noexcept {
  thread_local bool limited = false;
  if (std::exchange(limited, true)) return;
  auto& program = program_thread();
  std::unique_lock lock(program.mutex);
  const int threads = program.openmp_threads;
  lock.unlock();
  using SetThreads = void (*)(int);
  const auto set = threads > 0 ? reinterpret_cast<SetThreads>(::dlsym(RTLD_DEFAULT, "omp_set_num_threads")) : nullptr;
  if (set) set(threads);
}

SignalsBlocked::SignalsBlocked() noexcept {
  const sigset_t set = asynchronous_signals();
  ::pthread_sigmask(SIG_BLOCK, &set, &before_);
}

SignalsBlocked::~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

}  // namespace manta
