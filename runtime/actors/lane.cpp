#include "runtime/actors/lane.hpp"

#include <pthread.h>

#include <system_error>

#include "runtime/actors/own_threads.hpp"
#include "runtime/base/log.hpp"
#include "runtime/base/threads.hpp"

namespace manta::detail {

Lane::Lane(std::size_t threads) : limit_(threads) {
  std::lock_guard lock(mutex_);
  add_thread();
}

Lane::~Lane() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wanted_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void Lane::post(std::function<void()> job) {
  std::lock_guard lock(mutex_);
  jobs_.push_back(std::move(job));
  if (idle_ < jobs_.size() && threads_.size() < limit_) try {
      add_thread();
    } catch (const std::system_error& e) {
      log(LogLevel::kWarning, std::string("no more threads for what blocks, so it takes longer: ") + e.what());
    }
  wanted_.notify_one();
}

void Lane::add_thread() {
  threads_.emplace_back([this] {
    ::pthread_setname_np(::pthread_self(), "manta-lane");
    become_program_thread();
    t_is_runtimes = true;
    work();
  });
}

void Lane::drain() {
  std::unique_lock lock(mutex_);
  drained_.wait(lock, [this] { return jobs_.empty() && idle_ == threads_.size(); });
}

bool Lane::drain_until(std::chrono::steady_clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  return drained_.wait_until(lock, deadline, [this] { return jobs_.empty() && idle_ == threads_.size(); });
}

void Lane::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    ++idle_;
    drained_.notify_all();
    wanted_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    --idle_;
    if (jobs_.empty()) return;
    auto job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    job();
    job = {};
    lock.lock();
  }
}

}  // namespace manta::detail
