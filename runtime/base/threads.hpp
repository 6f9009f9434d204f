#pragma once
// What the runtime's own threads need to know of the machine and of the program they live in. Thread-safe.
#include <signal.h>

#include <cstddef>
#include <cstdint>

namespace manta {

/// The CPUs that the calling thread may run on; at least 1.
std::size_t usable_cpus() noexcept;

/// All signals but those that a fault of the thread itself raises: a thread of the runtime's blocks them, for they are the program's.
sigset_t asynchronous_signals() noexcept;

/// While one lives, the calling thread hears none of these, nor does a thread that it starts.
class SignalsBlocked {
 public:
  SignalsBlocked() noexcept;
  ~SignalsBlocked();
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_{};
};

/// How each thread that runs the program's code begins: the signals that were blocked on the calling thread, which is the program's own, and
/// so many threads of OpenMP; 0: as that library says. The runtime's threads start one another, and most of them block signals. Only the first
/// call counts.
void remember_program_thread(int openmp_threads = 0) noexcept;
/// The calling thread, which has just been started, becomes such a one.
void become_program_thread() noexcept;
/// As for OpenMP alone; costs little but the first time on a thread.
void limit_openmp_here() noexcept;

/// The calling thread's stack: from its lowest address, the last to be used, so many bytes. None, size 0, where the system does not say.
struct StackExtent {
  std::uintptr_t lowest = 0;
  std::size_t size = 0;
};
StackExtent own_stack() noexcept;

}  // namespace manta
