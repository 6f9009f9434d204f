#pragma once
// WorkCounts: how much an owner has not finished, in one word, so that whoever looks sees both numbers of one moment: read one
// after the other, an actor that began in between hid a task, and a process that still had work left. Thread-safe.
#include <atomic>
#include <cstdint>

namespace manta::detail {

class WorkCounts {
 public:
  struct Now {
    std::size_t submitted = 0;  ///< tasks and calls
    std::size_t actors = 0;
    std::size_t all() const { return submitted + actors; }
  };
  Now now() const noexcept {
    const auto both = both_.load(std::memory_order_acquire);
    return {.submitted = both & (kActor - 1), .actors = both / kActor};
  }
  void submitted() noexcept { both_.fetch_add(1, std::memory_order_acq_rel); }
  void ended(std::size_t count = 1) noexcept { both_.fetch_sub(count, std::memory_order_acq_rel); }
  void actor_begun() noexcept { both_.fetch_add(kActor, std::memory_order_acq_rel); }
  void actor_ended() noexcept { both_.fetch_sub(kActor, std::memory_order_acq_rel); }

 private:
  static constexpr std::uint64_t kActor = std::uint64_t{1} << 32;
  std::atomic<std::uint64_t> both_{0};
};

}  // namespace manta::detail
