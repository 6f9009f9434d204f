#include "runtime/as_completed.hpp"

namespace manta::detail {

void Arrivals::watch(const std::vector<Cell*>& cells) {
  cells_ = cells;
  taken_.reserve(cells.size());
  for (std::size_t i = 0; i < cells.size(); ++i)
    if (cells[i]->settled())
      taken_.push_back(i);
    else
      watches_.emplace_back(*this, i);
  // Only now, as the vector does not move any more.
  for (auto& watch : watches_) cells[watch.index()]->on_settled(std::shared_ptr<Cell::Waiter>(shared_from_this(), &watch));
}

void Arrivals::forget(const std::vector<Cell*>& cells) {
  for (auto& watch : watches_)
    if (auto* cell = cells[watch.index()]; !cell->settled()) cell->forget(watch.whose());
}

void Arrivals::arrived(std::size_t index) {
  {
    std::lock_guard lock(mutex_);
    arrived_.push_back(index);
  }
  if (waiting_.exchange(0, std::memory_order_acq_rel)) futex_wake_all(waiting_);
}

std::optional<std::size_t> Arrivals::take(Engine& engine, Deadline deadline) {
  while (next_ == taken_.size()) {
    next_ = 0;
    taken_.clear();
    {
      std::lock_guard lock(mutex_);
      taken_.swap(arrived_);
      if (!taken_.empty()) break;
      waiting_.store(1, std::memory_order_release);
    }
    if (!engine.wait_while(waiting_, 1, deadline, cells_)) return std::nullopt;
  }
  return taken_[next_++];
}

}  // namespace manta::detail
