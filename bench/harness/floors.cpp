#include "bench/harness/floors.hpp"

#include <linux/futex.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace manta::bench {
namespace {

constexpr std::size_t kBatch = 1000;

void futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t seen) {
  syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&word), FUTEX_WAIT_PRIVATE, seen, nullptr, nullptr, 0);
}

void futex_wake(std::atomic<std::uint32_t>& word) {
  syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&word), FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

void advance(std::atomic<std::uint32_t>& word) {
  word.fetch_add(1, std::memory_order_release);
  futex_wake(word);
}

/// Returns when the word is no longer `seen`.
void await_change(std::atomic<std::uint32_t>& word, std::uint32_t seen) {
  while (word.load(std::memory_order_acquire) == seen) futex_wait(word, seen);
}

/// Holds the calling thread on one core as long as it lives, then gives it all of them back.
class OnOneCore {
 public:
  OnOneCore(const std::vector<int>& all, int core) : all_(all) { hold_on({core}); }
  ~OnOneCore() { hold_on(all_); }
  OnOneCore(const OnOneCore&) = delete;
  OnOneCore& operator=(const OnOneCore&) = delete;

 private:
  const std::vector<int>& all_;
};

bool exchange_word(int socket, std::uint64_t& word, bool first) {
  const auto put = [&] { return send(socket, &word, sizeof word, MSG_NOSIGNAL) == sizeof word; };
  const auto take = [&] { return recv(socket, &word, sizeof word, MSG_WAITALL) == sizeof word; };
  return first ? put() && take() : take() && put();
}

int one() { return 1; }

}  // namespace

FutexPingPong::FutexPingPong(const Machine& machine) : cores_(machine.cores) {
  thread_ = std::thread([this] { answer(); });
}

FutexPingPong::~FutexPingPong() {
  stop_ = true;
  advance(ping_);
  thread_.join();
}

void FutexPingPong::answer() {
  hold_on({cores_.back()});
  for (std::uint32_t seen = 0;; ++seen) {
    await_change(ping_, seen);
    if (stop_) return;
    advance(pong_);
  }
}

Timed FutexPingPong::operator()(std::size_t n) {
  OnOneCore pinned(cores_, cores_.front());
  return {n, time_of([&] {
            for (std::size_t i = 0; i < n; ++i) {
              const std::uint32_t seen = pong_.load(std::memory_order_relaxed);
              advance(ping_);
              await_change(pong_, seen);
            }
          })};
}

QueuePool::QueuePool(const Machine& machine) {
  for (int core : machine.cores) {
    threads_.emplace_back([this, core] {
      hold_on({core});
      serve();
    });
  }
}

QueuePool::~QueuePool() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  work_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void QueuePool::serve() {
  std::unique_lock lock(mutex_);
  for (;;) {
    work_.wait(lock, [&] { return stop_ || !queue_.empty(); });
    if (queue_.empty()) return;
    auto job = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    const int result = job();
    lock.lock();
    sum_ += result;
    if (--unfinished_ == 0) done_.notify_one();
  }
}

void QueuePool::push(std::function<int()> job) {
  {
    std::lock_guard lock(mutex_);
    queue_.push_back(std::move(job));
    ++unfinished_;
  }
  work_.notify_one();
}

void QueuePool::await_all() {
  std::unique_lock lock(mutex_);
  done_.wait(lock, [&] { return unfinished_ == 0; });
}

Timed QueuePool::operator()(std::size_t n) {
  const std::size_t batches = (n + kBatch - 1) / kBatch;
  return {batches * kBatch, time_of([&] {
            for (std::size_t batch = 0; batch < batches; ++batch) {
              for (std::size_t i = 0; i < kBatch; ++i) push(one);
              await_all();
            }
          })};
}

SocketPingPong::SocketPingPong(const Machine& machine) : cores_(machine.cores) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    throw std::system_error(errno, std::generic_category(), "socketpair");
  }
  child_ = fork();
  if (child_ < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (child_ == 0) {
    close(ends[0]);
    hold_on({cores_.back()});
    for (std::uint64_t word = 0; exchange_word(ends[1], word, false);) {}
    _exit(0);
  }
  close(ends[1]);
  socket_ = ends[0];
}

SocketPingPong::~SocketPingPong() {
  close(socket_);
  waitpid(child_, nullptr, 0);
}

Timed SocketPingPong::operator()(std::size_t n) {
  OnOneCore pinned(cores_, cores_.front());
  return {n, time_of([&] {
            for (std::uint64_t i = 0; i < n; ++i) {
              std::uint64_t word = i;
              if (!exchange_word(socket_, word, true) || word != i) throw std::runtime_error("the socket's other end is gone");
            }
          })};
}

}  // namespace manta::bench
