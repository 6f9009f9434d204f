#pragma once
// Waiting on one 32-bit word with a deadline, which std::atomic::wait does not offer. Linux futex, private to the process.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>

namespace manta {

using SteadyClock = std::chrono::steady_clock;
using Deadline = std::optional<SteadyClock::time_point>;  ///< none: wait for ever

/// Sleeps while `word` holds `expected`, until woken or the deadline. False when the deadline passed. May wake early.
bool futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t expected, Deadline deadline) noexcept;
void futex_wake_one(std::atomic<std::uint32_t>& word) noexcept;
void futex_wake_all(std::atomic<std::uint32_t>& word) noexcept;

}  // namespace manta
