#pragma once
// Floors: the least that a hand-over between two threads or processes costs on this machine, written as plainly as can be.
// A bench is read as a ratio to one of them. Each is made once, by the main thread, and used by one thread at a time.
#include <sys/types.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "bench/harness/machine.hpp"
#include "bench/harness/measure.hpp"

namespace manta::bench {

/// Two threads, each held on a core of its own, wake each other in turn through one futex each. An operation is a round
/// trip. The thread lives as long as the object.
class FutexPingPong {
 public:
  explicit FutexPingPong(const Machine& machine);
  ~FutexPingPong();
  FutexPingPong(const FutexPingPong&) = delete;
  FutexPingPong& operator=(const FutexPingPong&) = delete;
  Timed operator()(std::size_t n);

 private:
  void answer();
  std::vector<int> cores_;
  std::atomic<std::uint32_t> ping_{0};
  std::atomic<std::uint32_t> pong_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

/// A pool of one thread per core behind a queue with a mutex and a condition variable; jobs are std::function<int()>. An
/// operation is a job, handed over in batches of 1000 and awaited together.
class QueuePool {
 public:
  explicit QueuePool(const Machine& machine);
  ~QueuePool();
  QueuePool(const QueuePool&) = delete;
  QueuePool& operator=(const QueuePool&) = delete;
  Timed operator()(std::size_t n);

 private:
  void serve();
  void push(std::function<int()> job);
  void await_all();
  std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable done_;
  std::deque<std::function<int()>> queue_;
  std::size_t unfinished_ = 0;
  std::int64_t sum_ = 0;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

/// Two processes, each held on a core of its own, send 8 bytes to and fro over a unix socket pair. An operation is a round
/// trip. Forks when it is made: make it before any thread. The child ends with the object, or with this process.
class SocketPingPong {
 public:
  explicit SocketPingPong(const Machine& machine);
  ~SocketPingPong();
  SocketPingPong(const SocketPingPong&) = delete;
  SocketPingPong& operator=(const SocketPingPong&) = delete;
  Timed operator()(std::size_t n);

 private:
  std::vector<int> cores_;
  int socket_ = -1;
  pid_t child_ = -1;
};

}  // namespace manta::bench
