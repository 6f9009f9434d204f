#include "runtime/process/reactor.hpp"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include "runtime/base/standard_streams.hpp"
#include "runtime/base/threads.hpp"

namespace manta {

namespace {

constexpr int kEventsPerWait = 64;
constexpr Reactor::Token kWakeToken = 0;
constexpr int kRefusedAfterLong = 64;  // functions that go elsewhere after one that outlasted the patience

thread_local Reactor* t_laid_down = nullptr;

ErrorInfo stopped_error() {
  return {.code = ErrorCode::kRuntimeStopped, .message = "the reactor has been stopped; nothing can be registered"};
}

}  // namespace

Result<std::unique_ptr<Reactor>> Reactor::start(const std::string& name, Threads threads) {
  OwnedFd epoll(above_standard_streams(::epoll_create1(EPOLL_CLOEXEC)));
  if (!epoll) return system_error("making an epoll instance", errno);
  OwnedFd wake(above_standard_streams(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)));
  if (!wake) return system_error("making an event descriptor", errno);
  epoll_event event{.events = EPOLLIN, .data = {.u64 = kWakeToken}};
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, wake.get(), &event) != 0)
    return system_error("watching an event descriptor", errno);
  std::unique_ptr<Reactor> reactor(new Reactor(std::move(epoll), std::move(wake), threads));
  const sigset_t blocked = asynchronous_signals();
  ::pthread_sigmask(SIG_BLOCK, &blocked, &reactor->signals_);  // the threads inherit it
  const sigset_t before = reactor->signals_;
  try {
    reactor->thread_ = reactor->start_thread(name);
    if (threads == Threads::kTwo) reactor->second_ = reactor->start_thread(name);
  } catch (const std::system_error& e) {
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return system_error("starting a thread", e.code().value());
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return reactor;
}

Reactor::Reactor(OwnedFd epoll, OwnedFd wake, Threads threads)
    : epoll_(std::move(epoll)), wake_(std::move(wake)), threads_(threads) {}

Reactor::~Reactor() { stop(); }

std::thread Reactor::start_thread(const std::string& name) {
  std::thread thread([this] { loop(); });
  ::pthread_setname_np(thread.native_handle(), name.substr(0, 15).c_str());
  return thread;
}

Result<Reactor::Token> Reactor::add(int fd, std::uint32_t events, Callback callback) {
  auto entry = std::make_shared<Entry>(Entry{fd, std::move(callback)});
  std::lock_guard lock(mutex_);
  if (stopping_) return stopped_error();
  const Token token = next_token_++;
  epoll_event event{.events = events, .data = {.u64 = token}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return system_error("watching a descriptor", errno);
  entries_.emplace(token, std::move(entry));
  return token;
}

void Reactor::modify(Token token, std::uint32_t events) {
  std::lock_guard lock(mutex_);
  const auto found = entries_.find(token);
  if (found == entries_.end()) return;
  epoll_event event{.events = events, .data = {.u64 = token}};
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, found->second->fd, &event);
}

void Reactor::remove(Token token) {
  std::shared_ptr<Entry> dropped;  // its callback may own things whose destructors call us: destroyed unlocked
  std::lock_guard lock(mutex_);
  const auto found = entries_.find(token);
  if (found == entries_.end()) return;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, found->second->fd, nullptr);
  dropped = std::move(found->second);
  entries_.erase(found);
}

bool Reactor::post(Function function) {
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return false;
    posted_.push_back(std::move(function));
    if (posted_.size() > 1) return true;  // whoever made it non-empty has woken the thread
  }
  wake();
  return true;
}

void Reactor::run_after(std::chrono::milliseconds delay, Function function) {
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return;
    timers_.emplace(Clock::now() + delay, std::move(function));
  }
  wake();
}

void Reactor::stop() {
  MANTA_CHECK(!on_reactor_thread());
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake();
  baton_.hurry();
  if (thread_.joinable()) thread_.join();
  if (second_.joinable()) second_.join();
  decltype(entries_) entries;
  decltype(timers_) timers;
  std::lock_guard lock(mutex_);
  entries.swap(entries_);
  timers.swap(timers_);
}

void Reactor::wake() noexcept {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(wake_.get(), &one, sizeof(one));
}

void Reactor::loop() {
  // Laid down, it is not taken up again at once: that is how whoever asked for it gets it.
  for (bool mine = baton_.try_take(); mine || baton_.stand_by(); mine = false) lead();
}

/// With the loop, until it is laid down or the reactor stops.
void Reactor::lead() {
  leader_ = std::this_thread::get_id();
  for (;;) {
    // Only while the other thread stands by: were both to run tasks that wait for one another's messages, nobody would read.
    takes_next_ = threads_ == Threads::kTwo && baton_.has_stand_by();
    const bool goes_on = round(std::nullopt);
    takes_next_ = false;
    const bool lend = threads_ == Threads::kLent && waiting_.load(std::memory_order_relaxed) == 0 && wanted_.exchange(false);
    if (goes_on && !next_ && !lend) continue;
    Function function = std::exchange(next_, nullptr);
    leader_ = std::thread::id();
    expected_.store(0, std::memory_order_relaxed);
    if (!goes_on) baton_.stop();
    baton_.lay_down();
    if (!goes_on || !function) return;
    run_next(function);
    if (!baton_.try_take()) return refused_.store(kRefusedAfterLong, std::memory_order_relaxed);
    leader_ = std::this_thread::get_id();
  }
}

/// With the signals of the program's threads: what the function starts inherits them.
void Reactor::run_next(Function& function) {
  const sigset_t blocked = asynchronous_signals();
  ::pthread_sigmask(SIG_SETMASK, &signals_, nullptr);
  limit_openmp_here();
  t_laid_down = this;
  function();
  function = nullptr;
  t_laid_down = nullptr;
  ::pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
}

/// One wait and the callbacks of what came. False when the reactor is to stop.
bool Reactor::round(Deadline deadline) {
  std::array<epoll_event, kEventsPerWait> events;
  const int count = ::epoll_wait(epoll_.get(), events.data(), kEventsPerWait, timeout_ms(deadline));
  MANTA_CHECK(count >= 0 || errno == EINTR);
  for (int i = 0; i < count; ++i) {
    if (events[i].data.u64 == kWakeToken) {
      std::uint64_t ignored = 0;
      [[maybe_unused]] const auto got = ::read(wake_.get(), &ignored, sizeof(ignored));
    } else if (const auto entry = find(events[i].data.u64)) {
      entry->callback(events[i].events);
    }
  }
  run_timers();
  run_posted();
  std::lock_guard lock(mutex_);
  return !stopping_ || !posted_.empty();
}

bool Reactor::run_until(const std::function<bool()>& done, Deadline deadline) {
  if (done()) return true;
  if (!baton_.try_take()) {
    wanted_.store(true, std::memory_order_relaxed);
    return false;
  }
  leader_ = std::this_thread::get_id();
  bool goes_on = true;
  while (!done() && goes_on && (!deadline || Clock::now() < *deadline)) goes_on = round(deadline);
  leader_ = std::thread::id();
  expected_.store(0, std::memory_order_relaxed);
  baton_.lay_down();
  const bool others_wait = threads_ == Threads::kTwo || waiting_.load(std::memory_order_relaxed) > 0;
  if (!goes_on || others_wait) baton_.hurry();
  return done();
}

void Reactor::nudge() noexcept {
  if (!on_reactor_thread()) wake();
}

void Reactor::expect_answer() noexcept {
  if (baton_.lies_free() && expected_.fetch_add(1, std::memory_order_relaxed) == 1) baton_.hurry();
}

bool Reactor::run_after_round(Function function) {
  if (!on_reactor_thread() || !takes_next_ || next_) return false;
  if (refused_.load(std::memory_order_relaxed) > 0) {
    refused_.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }
  next_ = std::move(function);
  return true;
}

void Reactor::stand_back() noexcept {
  if (t_laid_down) t_laid_down->baton_.hurry();
}

void Reactor::run_posted() {
  std::vector<Function> functions;
  {
    std::lock_guard lock(mutex_);
    functions.swap(posted_);
  }
  for (Function& function : functions) {
    function();
    function = nullptr;
  }
}

void Reactor::run_timers() {
  for (;;) {
    Function function;
    {
      std::lock_guard lock(mutex_);
      const auto first = timers_.begin();
      if (first == timers_.end() || first->first > Clock::now()) return;
      function = std::move(first->second);
      timers_.erase(first);
    }
    function();
  }
}

int Reactor::timeout_ms(Deadline deadline) {
  std::lock_guard lock(mutex_);
  if (!posted_.empty() || stopping_) return 0;
  if (!timers_.empty() && (!deadline || timers_.begin()->first < *deadline)) deadline = timers_.begin()->first;
  if (!deadline) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline - Clock::now());
  return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 1'000'000));
}

std::shared_ptr<Reactor::Entry> Reactor::find(Token token) {
  std::lock_guard lock(mutex_);
  const auto found = entries_.find(token);
  return found == entries_.end() ? nullptr : found->second;
}

}  // namespace manta
