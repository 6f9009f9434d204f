#include "runtime/cell.hpp"

#include <algorithm>

#include "runtime/base/log.hpp"
#include "runtime/base/spin.hpp"

namespace manta::detail {

namespace {

/// What was ended on purpose is no news.
bool was_wanted(const ErrorInfo& error) {
  const ErrorInfo* root = &error;
  while (root->cause) root = root->cause.get();
  return root->code == ErrorCode::kCancelled || root->code == ErrorCode::kRuntimeStopped || root->code == ErrorCode::kActorDied;
}

/// Lets a few messages through in each period, and counts the others.
class LogLimit {
 public:
  /// -1: not this one; else how many were left out before it.
  int admit() {
    std::lock_guard lock(mutex_);
    const auto now = SteadyClock::now();
    if (now - begin_ > kPeriod) begin_ = now, count_ = 0;
    if (++count_ > kMessages) return ++left_out_, -1;
    return std::exchange(left_out_, 0);
  }

 private:
  static constexpr std::chrono::seconds kPeriod{10};
  static constexpr int kMessages = 20;
  std::mutex mutex_;
  SteadyClock::time_point begin_{};
  int count_ = 0, left_out_ = 0;
};

}  // namespace

void Cell::log_unseen_failure() const noexcept {
  try {
    if (was_wanted(*error_)) return;
    static LogLimit limit;
    const int left_out = limit.admit();
    if (left_out < 0) return;
    log(LogLevel::kWarning, "a failure that nobody has asked for: " + error_->to_string() +
                                (left_out ? " (and " + std::to_string(left_out) + " more before it)" : ""));
  } catch (...) {  // it is the log's loss
  }
}

void Cell::publish(std::uint32_t state) noexcept {
  std::vector<std::shared_ptr<Waiter>> waiters;
  std::uint32_t before;
  {
    std::lock_guard lock(mutex_);
    before = state_.exchange(state, std::memory_order_acq_rel);
    waiters.swap(waiters_);
  }
  if (before == kSleepers) futex_wake_all(state_);
  for (auto& waiter : waiters) waiter->settled();
}

void Cell::on_settled(std::shared_ptr<Waiter> waiter) {
  bool pending = false;
  {
    std::lock_guard lock(mutex_);
    if (!settled()) {
      waiters_.push_back(std::move(waiter));
      pending = true;
    }
  }
  if (pending) return demand();
  waiter->settled();
}

void Cell::forget(const Waiter* waiter) {
  std::lock_guard lock(mutex_);
  std::erase_if(waiters_, [waiter](const auto& each) { return each.get() == waiter; });
}

bool Cell::set_value(std::shared_ptr<const void> value) {
  if (!claim()) return false;
  value_ = std::move(value);
  publish(kReady);
  return true;
}

bool Cell::set_bytes(Buffer bytes, SharedReferences references) {
  if (!claim()) return false;
  bytes_ = std::move(bytes);
  references_ = std::move(references);
  has_bytes_ = true;
  publish(kReady);
  return true;
}

bool Cell::set_stored(std::shared_ptr<StoredObject> stored, SharedReferences references) {
  if (!claim()) return false;
  stored_ = std::move(stored);
  references_ = std::move(references);
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
  if (settled()) return true;
  demand();
  if (spin_until([this] { return settled(); })) return true;
  while (true) {
    std::uint32_t seen = state_.load(std::memory_order_acquire);
    if (seen >= kReady) return true;
    if (seen == kPending && !state_.compare_exchange_weak(seen, kSleepers, std::memory_order_acq_rel)) continue;
    if (!futex_wait(state_, kSleepers, deadline)) return settled();
  }
}

std::shared_ptr<const void> Cell::value() {
  MANTA_CHECK(settled());
  if (error()) throw_error(*error_);
  std::unique_lock lock(mutex_);
  if (value_) return value_;
  if (has_bytes_) return value_ = ops().decode(bytes_, references_);
  if (auto alive = decoded_.lock()) return alive;
  auto stored = stored_;
  auto references = references_;
  lock.unlock();  // reading back from disk may take long
  auto decoded = ops().decode(stored->open().value(), references);
  lock.lock();
  decoded_ = decoded;
  return decoded;
}

void Cell::leave_to_store() {
  std::shared_ptr<const void> value;  // its destructor may be the user's: it runs without the lock
  {
    std::lock_guard lock(mutex_);
    if (!stored_) return;
    decoded_ = value_;
    value.swap(value_);
  }
}

}  // namespace manta::detail
