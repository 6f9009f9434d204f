#pragma once
// A queue between two stage threads. Thread-safe. It never holds more than the micro-batches of one step.
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>

namespace manta::train::detail {

template <class T>
class SharedChannel {
 public:
  void push(T value) {
    {
      const std::lock_guard lock(mutex_);
      items_.push_back(std::move(value));
    }
    ready_.notify_one();
  }

  /// The oldest item, waiting for one; nothing once close() was called.
  std::optional<T> pop() {
    std::unique_lock lock(mutex_);
    ready_.wait(lock, [this] { return closed_ || !items_.empty(); });
    if (closed_) return std::nullopt;
    T value = std::move(items_.front());
    items_.pop_front();
    return value;
  }

  /// Wakes every waiter and drops what is queued, until reopen().
  void close() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
      items_.clear();
    }
    ready_.notify_all();
  }

  void reopen() {
    const std::lock_guard lock(mutex_);
    closed_ = false;
    items_.clear();
  }

 private:
  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<T> items_;
  bool closed_ = false;
};

}  // namespace manta::train::detail
