#include "runtime/base/small_mutex.hpp"

#include "runtime/base/futex.hpp"
#include "runtime/base/spin.hpp"

namespace manta {

void SmallMutex::lock_slowly() noexcept {
  constexpr int kLooks = 30;  // with a pause between them about a microsecond
  for (int i = 0; i < kLooks; ++i) {
    cpu_relax();
    std::uint32_t seen = word_.load(std::memory_order_relaxed);
    if (seen == kAwaited) break;  // others sleep already: the holder is slow
    if (seen == kFree && word_.compare_exchange_weak(seen, kHeld, std::memory_order_acquire, std::memory_order_relaxed)) return;
  }
  while (word_.exchange(kAwaited, std::memory_order_acquire) != kFree) futex_wait(word_, kAwaited, std::nullopt);
}

void SmallMutex::wake_next() noexcept { futex_wake_one(word_); }

}  // namespace manta
