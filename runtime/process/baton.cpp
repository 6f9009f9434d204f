#include "runtime/process/baton.hpp"

namespace manta {

bool Baton::try_take() noexcept {
  auto turn = turn_.load(std::memory_order_acquire);
  if (stopped_ || turn % 2 == 0 || !turn_.compare_exchange_strong(turn, turn + 1, std::memory_order_acq_rel)) return false;
  hurry_.store(false, std::memory_order_relaxed);
  return true;
}

void Baton::lay_down() noexcept {
  turn_.fetch_add(1);   // sequentially consistent, like the next: either we see it asleep, or it sees the new turn
  if (asleep_.load()) ring();
}

void Baton::hurry() noexcept {
  hurry_.store(true, std::memory_order_release);
  ring();
}

void Baton::stop() noexcept {
  stopped_ = true;
  ring();
}

void Baton::ring() noexcept {
  bell_.fetch_add(1, std::memory_order_release);
  futex_wake_all(bell_);
}

bool Baton::stand_by() noexcept {
  standing_by_.fetch_add(1, std::memory_order_acq_rel);
  const bool taken = wait_for_turn();
  standing_by_.fetch_sub(1, std::memory_order_acq_rel);
  return taken;
}

bool Baton::wait_for_turn() noexcept {
  auto seen = turn_.load(std::memory_order_acquire);
  int quiet = 0;
  while (!stopped_) {
    const auto bell = bell_.load(std::memory_order_acquire);
    if (!hurry_.load(std::memory_order_acquire)) sleep(bell, quiet >= kQuietTurns && seen == turn_.load() && seen % 2 == 0);
    const bool hurried = hurry_.exchange(false, std::memory_order_acq_rel);
    auto turn = turn_.load(std::memory_order_acquire);
    if (turn % 2 == 1 && (turn == seen || hurried) && turn_.compare_exchange_strong(turn, turn + 1, std::memory_order_acq_rel))
      return true;
    quiet = turn == seen ? quiet + 1 : 0;
    seen = turn;
  }
  return false;
}

void Baton::sleep(std::uint32_t bell, bool quiet) noexcept {
  if (!quiet) return static_cast<void>(futex_wait(bell_, bell, SteadyClock::now() + kPatience));
  const auto turn = turn_.load();
  asleep_ = true;
  if (turn == turn_.load() && turn % 2 == 0) futex_wait(bell_, bell, std::nullopt);
  asleep_ = false;
}

}  // namespace manta
