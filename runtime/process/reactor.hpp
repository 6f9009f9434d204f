#pragma once
// One thread that waits for descriptors, timers and posted functions, and calls back.
//
// Whoever starts a Reactor owns it and stops it; it must outlive everything that is registered with it. All callbacks
// run on its thread, one at a time; they must not block and must not throw. The thread takes no signals, so that the
// program's own handlers run on the program's own threads. Every operation but stop() is safe from any thread.
//
//   auto reactor = Reactor::start("links").value();
//   Reactor::Token token = reactor->add(fd, EPOLLIN, [fd](std::uint32_t events) { read_from(fd); });
#include <atomic>
#include <chrono>
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
#include "runtime/process/owned_fd.hpp"

namespace manta {

class Reactor {
 public:
  using Token = std::uint64_t;  ///< names one registration; never used twice
  using Callback = std::function<void(std::uint32_t events)>;
  using Function = std::function<void()>;

  /// Starts the thread; `name` (15 characters at most) is what `top -H` shows. IoError.
  static Result<std::unique_ptr<Reactor>> start(const std::string& name);
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

  /// Runs what has been posted, ends the thread, drops all registrations. Not from a callback. Twice does nothing.
  void stop();
  bool on_reactor_thread() const noexcept { return std::this_thread::get_id() == thread_.get_id(); }

 private:
  using Clock = std::chrono::steady_clock;
  struct Entry {
    int fd;
    Callback callback;
  };
  Reactor(OwnedFd epoll, OwnedFd wake);
  void loop();
  void run_posted();
  void run_timers();
  int timeout_ms();
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
  std::thread thread_;
};

}  // namespace manta
