#include "tune/core/signals.hpp"

#include <unistd.h>

#include <atomic>

#include "runtime/errors.hpp"

namespace manta::tune {

namespace {

std::atomic<int> noted{0};
std::atomic<bool> installed{false};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may touch lock-free atomics only");

extern "C" void note_signal(int number) {
  int none = 0;
  if (!noted.compare_exchange_strong(none, number)) ::_exit(128 + number);
}

}  // namespace

InterruptGuard::InterruptGuard() {
  if (installed.exchange(true))
    throw InvalidArgument("tune::run is running in this process already. Run one experiment after the other.");
  noted = 0;
  struct sigaction action {};
  action.sa_handler = note_signal;
  ::sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, &old_int_);
  ::sigaction(SIGTERM, &action, &old_term_);
}

InterruptGuard::~InterruptGuard() {
  ::sigaction(SIGINT, &old_int_, nullptr);
  ::sigaction(SIGTERM, &old_term_, nullptr);
  installed = false;
}

int InterruptGuard::signal() noexcept { return noted.load(); }

}  // namespace manta::tune
