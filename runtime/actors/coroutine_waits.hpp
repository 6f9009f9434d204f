#pragma once
// CoroutineWaits: tells once of each co_await that takes long. A thread that sleeps in a get says so itself; a coroutine that waits has
// no thread, so one of this object's looks at all that have waited once, a few times in the limit. Nothing is measured at
// the co_await itself: a wait whose number is the same at several looks is long.
//
// Owned by the engine, which outlives the coroutines. Thread-safe; a thread is started with the first coroutine that waits.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace manta::detail {

class Cell;
class RunningCoroutine;

class CoroutineWaits {
 public:
  struct Entry {
    RunningCoroutine* coroutine;
    std::uint64_t wait = 0;  ///< its number at the last look
    int looks = 0;           ///< at which it was the same
  };
  using Place = std::list<Entry>::iterator;
  /// Gets the coroutine's name and what it waits for, on this object's thread, which may block there.
  using Tell = std::function<void(const std::string& name, Cell& awaited)>;

  CoroutineWaits(std::chrono::milliseconds limit, Tell tell) : limit_(limit), tell_(std::move(tell)) {}
  ~CoroutineWaits() { stop(); }
  CoroutineWaits(const CoroutineWaits&) = delete;
  CoroutineWaits& operator=(const CoroutineWaits&) = delete;
  /// Until remove, which its destructor calls first.
  Place add(RunningCoroutine& coroutine);
  void remove(Place place);
  /// Waits for what is being told; nothing is afterwards.
  void stop();

 private:
  struct Late;
  static constexpr int kLooks = 4;
  static constexpr std::size_t kMostTold = 20;  // at one look, so that ten thousand that wait for one thing do not fill a log
  void loop();
  std::vector<Late> look();
  void tell(const std::vector<Late>& late) const;
  const std::chrono::milliseconds limit_;
  const Tell tell_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::list<Entry> entries_{};
  std::atomic<bool> stopped_{false};
  std::thread thread_;
};

}  // namespace manta::detail
