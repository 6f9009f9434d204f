#include "runtime/cell.hpp"

#include "runtime/base/spin.hpp"

namespace manta::detail {

namespace {

// Marks a list of waiters that is closed: the cell is settled.
Cell::WaiterNode* const kClosed = reinterpret_cast<Cell::WaiterNode*>(1);

}  // namespace

Cell::~Cell() {
  auto* node = waiters_.load(std::memory_order_acquire);
  while (node && node != kClosed) delete std::exchange(node, node->next);
}

void Cell::publish(std::uint32_t state) noexcept {
  const auto before = state_.exchange(state, std::memory_order_acq_rel);
  if (before == kSleepers) futex_wake_all(state_);
  auto* node = waiters_.exchange(kClosed, std::memory_order_acq_rel);
  while (node) {
    node->waiter->settled();
    delete std::exchange(node, node->next);
  }
}

bool Cell::set_value(std::shared_ptr<const void> value) {
  if (!claim()) return false;
  value_ = std::move(value);
  publish(kReady);
  return true;
}

bool Cell::set_bytes(Buffer bytes) {
  if (!claim()) return false;
  bytes_ = std::move(bytes);
  has_bytes_ = true;
  publish(kReady);
  return true;
}

bool Cell::set_stored(std::shared_ptr<StoredObject> stored) {
  if (!claim()) return false;
  stored_ = std::move(stored);
  publish(kReady);
  return true;
}

bool Cell::set_error(std::shared_ptr<const ErrorInfo> error) {
  if (!claim()) return false;
  error_ = std::move(error);
  publish(kFailed);
  return true;
}

bool Cell::wait(Deadline deadline) noexcept {
  if (spin_until([this] { return settled(); })) return true;
  while (true) {
    std::uint32_t seen = state_.load(std::memory_order_acquire);
    if (seen >= kReady) return true;
    if (seen == kPending && !state_.compare_exchange_weak(seen, kSleepers, std::memory_order_acq_rel)) continue;
    if (!futex_wait(state_, kSleepers, deadline)) return settled();
  }
}

void Cell::on_settled(std::shared_ptr<Waiter> waiter) {
  auto* head = waiters_.load(std::memory_order_acquire);
  if (head != kClosed) {
    auto* node = new WaiterNode{std::move(waiter), head};
    while (head != kClosed) {
      node->next = head;
      if (waiters_.compare_exchange_weak(head, node, std::memory_order_acq_rel)) return;
    }
    waiter = std::move(node->waiter);
    delete node;
  }
  waiter->settled();
}

std::shared_ptr<const void> Cell::value() {
  MANTA_CHECK(settled());
  if (error_) throw_error(*error_);
  std::unique_lock lock(mutex_);
  if (value_) return value_;
  if (has_bytes_) return value_ = ops_->decode(bytes_);
  if (auto alive = decoded_.lock()) return alive;
  auto stored = stored_;
  lock.unlock();  // reading back from disk may take long
  auto decoded = ops_->decode(stored->open().value());
  lock.lock();
  decoded_ = decoded;
  return decoded;
}

}  // namespace manta::detail
