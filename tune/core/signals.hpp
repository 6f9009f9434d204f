#pragma once
// InterruptGuard: while it lives, the first SIGINT or SIGTERM is only noted and the second ends the process at once with
// the code of the signal. The former handlers come back when it goes. One at a time in a process; made and destroyed by
// the thread that runs the experiment.
#include <signal.h>

namespace manta::tune {

class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  /// The signal that came, or 0. Thread-safe.
  static int signal() noexcept;

 private:
  struct sigaction old_int_ {};
  struct sigaction old_term_ {};
};

}  // namespace manta::tune
