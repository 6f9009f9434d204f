#pragma once
// Lane: a few threads for work that may block (disks, forks, large copies), away from control actors and reactors. The first
// is started at once, so that post never fails; the others when wanted, as far as the system lets. Thread-safe; the destructor
// finishes what was posted.
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace manta::detail {

class Lane {
 public:
  /// Throws std::system_error when the system gives no thread.
  explicit Lane(std::size_t threads);
  ~Lane();
  /// Jobs start in order; they must not throw.
  void post(std::function<void()> job);
  /// Waits until nothing is queued or running.
  void drain();
  /// The same; false when it was not over in time.
  bool drain_until(std::chrono::steady_clock::time_point deadline);

 private:
  void work();
  void add_thread();
  const std::size_t limit_;
  std::mutex mutex_;
  std::condition_variable wanted_;
  std::deque<std::function<void()>> jobs_;
  std::condition_variable drained_;
  std::size_t idle_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace manta::detail
