#pragma once
// A bounded spin before going to sleep: a wake-up by the kernel costs 5 to 30 µs, so looking for a few microseconds
// first is cheaper when the answer is near. Never spins where there is one CPU only.
#include <chrono>
#include <thread>

namespace manta {

inline constexpr std::chrono::microseconds kSpinTime{20};

inline void cpu_relax() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

/// Looks at `done()` for at most kSpinTime; true as soon as it holds.
template <class Done>
bool spin_until(Done&& done) noexcept {
  static const bool alone = std::thread::hardware_concurrency() < 2;
  if (done()) return true;
  if (alone) return false;
  const auto end = std::chrono::steady_clock::now() + kSpinTime;
  do {
    for (int i = 0; i < 64; ++i) {
      if (done()) return true;
      cpu_relax();
    }
  } while (std::chrono::steady_clock::now() < end);
  return done();
}

}  // namespace manta
