#pragma once
// A loop that waits for descriptors, timers and posted functions, and calls back.
//
// Whoever starts a Reactor owns it and stops it; it must outlive everything that is registered with it. All callbacks
// run on the thread that has the loop, one at a time; they must not block and must not throw. That is the reactor's own
// thread, which takes no signals, so that the program's own handlers run on the program's own threads. A wake-up of another
// thread costs as much as a message, so the loop can change threads without one (docs/design/0011): a thread that waits for
// what the loop will bring runs it itself (run_until), and a short function may run where it was read
// (run_after_round). Every operation but stop() is safe from any thread.
//
//   auto reactor = Reactor::start("links").value();
//   Reactor::Token token = reactor->add(fd, EPOLLIN, [fd](std::uint32_t events) { read_from(fd); });
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/process/baton.hpp"
#include "runtime/process/owned_fd.hpp"

namespace manta {

class Reactor {
 public:
  using Token = std::uint64_t;  ///< names one registration; never used twice
  using Callback = std::function<void(std::uint32_t events)>;
  using Function = std::function<void()>;
  enum class Threads {
    kOne,
    kLent,  ///< lends the loop to threads that wait in run_until
    kTwo,   ///< while a function of run_after_round runs on one of two, the other takes the loop over
  };

  /// Starts the thread; `name` (15 characters at most) is what `top -H` shows. IoError.
  static Result<std::unique_ptr<Reactor>> start(const std::string& name, Threads threads = Threads::kOne);
  ~Reactor();
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;

  /// Calls back with epoll's events (level-triggered) until remove(). The caller keeps the descriptor open until then.
  /// IoError; RuntimeStopped after stop().
  Result<Token> add(int fd, std::uint32_t events, Callback callback);
  /// Waits for other events from now on.
  void modify(Token token, std::uint32_t events);
  /// No call begins after this. From another thread, one that runs already may still be running.
  void remove(Token token);

  /// Runs a function once, after what was posted before it. False, and the function is dropped, after stop().
  bool post(Function function);
  /// Runs a function once, not before `delay` is over; dropped if the reactor stops first.
  void run_after(std::chrono::milliseconds delay, Function function);

  /// Runs the loop on this thread until `done()`, if nobody else has it; false, at once or at the deadline, when that never came
  /// true. Whatever makes it true elsewhere calls nudge().
  bool run_until(const std::function<bool()>& done, Deadline deadline);
  bool lies_free() const noexcept { return baton_.lies_free(); }
  /// Makes the loop look at its conditions; costs nothing on the thread that has it.
  void nudge() noexcept;
  /// Around a wait for something of the loop's by other means than run_until: meanwhile the loop is not lent.
  void begin_wait() noexcept { waiting_.fetch_add(1, std::memory_order_relaxed); }
  void end_wait() noexcept { waiting_.fetch_sub(1, std::memory_order_relaxed); }
  /// Something was sent that will have an answer: when it is not the only one, the loop does not wait for a thread that waits.
  void expect_answer() noexcept;
  /// Its own thread takes the loop now, if it lies free.
  void take_back() noexcept {
    if (baton_.lies_free()) baton_.hurry();
  }

  /// In a callback: runs the function on this thread when the round of callbacks is over, with the loop laid down. It may
  /// block; what is short should come here. False: not now, run it elsewhere.
  bool run_after_round(Function function);
  /// A function of run_after_round that runs on this thread is about to wait: the loop goes to the other thread at once.
  static void stand_back() noexcept;

  /// Runs what has been posted, ends the thread, drops all registrations. Not from a callback. Twice does nothing.
  void stop();
  /// True in callbacks.
  bool on_reactor_thread() const noexcept { return leader_.load(std::memory_order_acquire) == std::this_thread::get_id(); }

 private:
  using Clock = std::chrono::steady_clock;
  struct Entry {
    int fd;
    Callback callback;
  };
  Reactor(OwnedFd epoll, OwnedFd wake, Threads threads);
  std::thread start_thread(const std::string& name);
  void loop();
  void lead();
  bool round(Deadline deadline);
  void run_next(Function& function);
  void run_posted();
  void run_timers();
  int timeout_ms(Deadline deadline);
  std::shared_ptr<Entry> find(Token token);
  void wake() noexcept;

  const OwnedFd epoll_;
  const OwnedFd wake_;
  std::mutex mutex_;
  std::unordered_map<Token, std::shared_ptr<Entry>> entries_;
  std::vector<Function> posted_;
  std::multimap<Clock::time_point, Function> timers_;
  Token next_token_ = 1;
  bool stopping_ = false;

  const Threads threads_;
  Baton baton_;
  std::atomic<std::thread::id> leader_{};
  std::atomic<bool> wanted_{false};        // a thread would have run the loop itself, had it been free
  std::atomic<int> waiting_{0};            // waits between begin_wait and end_wait
  std::atomic<int> expected_{0};           // sends since the loop was laid down
  std::atomic<int> refused_{0};            // calls of run_after_round that go elsewhere, after one that took long
  Function next_;                          // of run_after_round; whoever has the loop only
  bool takes_next_ = false;                // likewise: this round may have one
  sigset_t signals_{};                     // of the program's threads
  std::thread thread_;
  std::thread second_;
};

}  // namespace manta
