#pragma once
// SmallMutex: a mutex of four bytes, for what there are very many of; std::mutex takes forty. Sleeps in the kernel when it has to
// wait, and does not spin. For std::lock_guard and std::unique_lock. After Drepper, "Futexes are tricky" (2011), mutex 3.
#include <atomic>

#include "runtime/base/futex.hpp"

namespace manta {

class SmallMutex {
 public:
  void lock() noexcept {
    std::uint32_t seen = kFree;
    if (word_.compare_exchange_strong(seen, kHeld, std::memory_order_acquire, std::memory_order_relaxed)) return;
    if (seen != kAwaited) seen = word_.exchange(kAwaited, std::memory_order_acquire);
    while (seen != kFree) {
      futex_wait(word_, kAwaited, std::nullopt);
      seen = word_.exchange(kAwaited, std::memory_order_acquire);
    }
  }
  void unlock() noexcept {
    if (word_.exchange(kFree, std::memory_order_release) == kAwaited) futex_wake_one(word_);
  }

 private:
  static constexpr std::uint32_t kFree = 0, kHeld = 1, kAwaited = 2;
  std::atomic<std::uint32_t> word_{kFree};
};

}  // namespace manta
