#include "runtime/actors/timer.hpp"

#include <pthread.h>

#include <algorithm>

namespace manta::detail {

void Timer::at(SteadyClock::time_point when, std::function<void()> what, std::function<bool()> over) {
  std::lock_guard lock(mutex_);
  if (stopped_) return;
  if (!thread_.joinable()) start_thread();
  if (heap_.size() >= look_at_) drop_over();
  heap_.push_back({when, std::move(what), std::move(over)});
  std::push_heap(heap_.begin(), heap_.end(), Entry::later);
  if (heap_.front().when == when) changed_.notify_one();
}

/// Each time that there are twice as many as were left the last time, so that an entry is looked at twice on average.
void Timer::drop_over() {
  std::erase_if(heap_, [](const Entry& each) { return each.over && each.over(); });
  std::make_heap(heap_.begin(), heap_.end(), Entry::later);
  look_at_ = std::max(kFew, 2 * heap_.size());
}

std::size_t Timer::waiting() const {
  std::lock_guard lock(mutex_);
  return heap_.size();
}

void Timer::start() {
  std::lock_guard lock(mutex_);
  if (!stopped_ && !thread_.joinable()) start_thread();
}

void Timer::start_thread() {
  thread_ = std::thread([this] {
    ::pthread_setname_np(::pthread_self(), "manta-timer");
    loop();
  });
}

void Timer::stop() {
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Timer::loop() {
  std::unique_lock lock(mutex_);
  while (!stopped_) {
    if (heap_.empty()) {
      changed_.wait(lock);
    } else if (const auto next = heap_.front().when; SteadyClock::now() < next) {
      changed_.wait_until(lock, next);
    } else {
      std::pop_heap(heap_.begin(), heap_.end(), Entry::later);
      auto what = std::move(heap_.back().what);
      heap_.pop_back();
      lock.unlock();
      what();
      what = {};
      lock.lock();
    }
  }
}

}  // namespace manta::detail
