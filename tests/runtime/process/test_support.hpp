#pragma once
// Helpers of the tests of runtime/process: waiting for conditions, collecting what callbacks say.
#include <sys/types.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "runtime/process/zygote.hpp"

namespace manta_test {

inline constexpr std::chrono::seconds kPatience{20};

/// Polls a condition of another process until it holds; false after `limit`.
inline bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds limit = kPatience) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

/// A value that callbacks change and tests wait for. Thread-safe.
template <class T>
class Watched {
 public:
  void update(const std::function<void(T&)>& change) {
    std::lock_guard lock(mutex_);
    change(value_);
    changed_.notify_all();  // under the lock: whoever waits may destroy this as soon as it is free
  }
  bool wait(const std::function<bool(const T&)>& condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return condition(value_); });
  }
  T get() {
    std::lock_guard lock(mutex_);
    return value_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  T value_{};
};

/// The ends of workers by pid.
class Exits {
 public:
  std::function<void(const manta::WorkerExit&)> callback() {
    return [this](const manta::WorkerExit& exit) { exits_.update([&](auto& all) { all.emplace(exit.pid, exit); }); };
  }
  std::optional<manta::WorkerExit> wait(pid_t pid) {
    if (!exits_.wait([&](const auto& all) { return all.count(pid) > 0; })) return std::nullopt;
    return exits_.get().find(pid)->second;
  }
  std::size_t count() { return exits_.get().size(); }

 private:
  Watched<std::multimap<pid_t, manta::WorkerExit>> exits_;
};

/// Everything from a descriptor until its end, waiting for it.
std::string read_to_end(int fd);
/// One line from a descriptor, without its end.
std::string read_line(int fd);

}  // namespace manta_test
