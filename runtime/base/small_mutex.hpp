#pragma once
// SmallMutex: a mutex of four bytes, for what there are very many of; std::mutex takes forty. For sections of a few dozen instructions:
// whoever finds it held looks again for about a microsecond before it sleeps in the kernel, as a sleep costs two threads ten
// times as much. For std::lock_guard and std::unique_lock. After Drepper, "Futexes are tricky" (2011), mutex 3.
#include <atomic>
#include <cstdint>

namespace manta {

class SmallMutex {
 public:
  void lock() noexcept {
    std::uint32_t seen = kFree;
    if (!word_.compare_exchange_strong(seen, kHeld, std::memory_order_acquire, std::memory_order_relaxed)) lock_slowly();
  }
  void unlock() noexcept {
    if (word_.exchange(kFree, std::memory_order_release) == kAwaited) wake_next();
  }

 private:
  static constexpr std::uint32_t kFree = 0, kHeld = 1, kAwaited = 2;
  void lock_slowly() noexcept;
  void wake_next() noexcept;
  std::atomic<std::uint32_t> word_{kFree};
};

}  // namespace manta
