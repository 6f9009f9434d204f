#pragma once
// Timer: calls back at a time, from a thread of its own that sleeps until the next is due. It is started at the first use, or
// by start(), after which at() cannot fail.
// Callbacks must be short and not throw. Thread-safe. What is not due when it ends is dropped.
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "runtime/base/futex.hpp"

namespace manta::detail {

class Timer {
 public:
  Timer() = default;
  ~Timer() { stop(); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  /// Throws std::system_error when the system gives no thread.
  void start();
  /// `over`: true once the call would mean nothing any more. There may be very many of such calls far ahead, say deadlines of tasks
  /// that end long before them: those that are over take no memory for long.
  void at(SteadyClock::time_point when, std::function<void()> what, std::function<bool()> over = {});
  std::size_t waiting() const;
  /// Waits for the callback that is running; later calls of at() do nothing. Not to be called by a callback.
  void stop();

 private:
  static constexpr std::size_t kFew = 1024;
  struct Entry {
    SteadyClock::time_point when;
    std::function<void()> what;
    std::function<bool()> over;
    static bool later(const Entry& a, const Entry& b) { return a.when > b.when; }
  };
  void start_thread();
  void loop();
  void drop_over();
  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::vector<Entry> heap_;  // the next one in front
  std::size_t look_at_ = kFew;  // so many entries: look for those that are over
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace manta::detail
