#pragma once
// Baton: says which thread may run a loop, so that the loop can change threads without waking one. Whoever holds it runs the
// loop; laid down, it is free for any thread that has use for it at once; if none takes it, the one that stands by does
// after kPatience, or as soon as somebody says hurry().
//
// Owned by the loop. At most one thread stands by at a time; every other operation is safe from any thread.
#include "runtime/base/futex.hpp"

namespace manta {

class Baton {
 public:
  static constexpr std::chrono::microseconds kPatience{500};  ///< a loop lies still for up to twice that
  static constexpr int kQuietTurns = 20;                      ///< patiences without a change, then sleep until rung

  /// Takes it if it lies free; never after stop().
  bool try_take() noexcept;
  /// Requires that this thread holds it.
  void lay_down() noexcept;
  /// Whether somebody will take it when it is laid down. Whoever holds it and sees true may rely on that: only its holder's
  /// laying down ends a standing by.
  bool has_stand_by() const noexcept { return standing_by_.load(std::memory_order_acquire) > 0; }
  bool lies_free() const noexcept { return turn_.load(std::memory_order_acquire) % 2 == 1; }
  /// Whoever stands by takes it now, if it lies free.
  void hurry() noexcept;
  /// Waits until this thread has it. False after stop().
  bool stand_by() noexcept;
  void stop() noexcept;

 private:
  bool wait_for_turn() noexcept;
  void ring() noexcept;
  void sleep(std::uint32_t bell, bool quiet) noexcept;
  std::atomic<std::uint32_t> turn_{1};  // odd: lies free; a new number each time
  std::atomic<std::uint32_t> bell_{0};  // counts the calls to whoever stands by
  std::atomic<bool> asleep_{false};     // it sleeps without a limit
  std::atomic<bool> hurry_{false};
  std::atomic<int> standing_by_{0};     // counted: the next one may come before the last has noted that it left
  std::atomic<bool> stopped_{false};
};

}  // namespace manta
