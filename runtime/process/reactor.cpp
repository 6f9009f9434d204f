#include "runtime/process/reactor.hpp"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <future>

namespace manta {

namespace {

constexpr int kEventsPerWait = 64;
constexpr Reactor::Token kWakeToken = 0;

ErrorInfo stopped_error() {
  return {.code = ErrorCode::kRuntimeStopped, .message = "the reactor has been stopped; nothing can be registered"};
}

/// All signals but those that a fault of this very thread raises.
sigset_t asynchronous_signals() {
  sigset_t set;
  ::sigfillset(&set);
  for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS}) ::sigdelset(&set, fault);
  return set;
}

}  // namespace

Result<std::unique_ptr<Reactor>> Reactor::start(const std::string& name) {
  OwnedFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return system_error("making an epoll instance", errno);
  OwnedFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake) return system_error("making an event descriptor", errno);
  epoll_event event{.events = EPOLLIN, .data = {.u64 = kWakeToken}};
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, wake.get(), &event) != 0)
    return system_error("watching an event descriptor", errno);
  std::unique_ptr<Reactor> reactor(new Reactor(std::move(epoll), std::move(wake)));
  const sigset_t blocked = asynchronous_signals();
  sigset_t before;
  ::pthread_sigmask(SIG_BLOCK, &blocked, &before);  // the thread inherits it
  std::promise<void> ready;                         // the thread must not look at thread_ before it is set
  reactor->thread_ = std::thread([self = reactor.get(), started = ready.get_future().share()] {
    started.wait();
    self->loop();
  });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::pthread_setname_np(reactor->thread_.native_handle(), name.substr(0, 15).c_str());
  ready.set_value();
  return reactor;
}

Reactor::Reactor(OwnedFd epoll, OwnedFd wake) : epoll_(std::move(epoll)), wake_(std::move(wake)) {}

Reactor::~Reactor() { stop(); }

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
  if (thread_.joinable()) thread_.join();
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
  std::array<epoll_event, kEventsPerWait> events;
  for (;;) {
    const int count = ::epoll_wait(epoll_.get(), events.data(), kEventsPerWait, timeout_ms());
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
    if (stopping_ && posted_.empty()) return;
  }
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

int Reactor::timeout_ms() {
  std::lock_guard lock(mutex_);
  if (!posted_.empty() || stopping_) return 0;
  if (timers_.empty()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(timers_.begin()->first - Clock::now());
  return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 1'000'000));
}

std::shared_ptr<Reactor::Entry> Reactor::find(Token token) {
  std::lock_guard lock(mutex_);
  const auto found = entries_.find(token);
  return found == entries_.end() ? nullptr : found->second;
}

}  // namespace manta
