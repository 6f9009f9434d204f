#include "runtime/actors/coroutine_waits.hpp"

#include <pthread.h>

#include <system_error>

#include "runtime/actors/running_coroutine.hpp"
#include "runtime/base/log.hpp"

namespace manta::detail {

struct CoroutineWaits::Late {
  std::shared_ptr<const std::string> name;
  std::shared_ptr<Cell> awaited;
};

CoroutineWaits::Place CoroutineWaits::add(RunningCoroutine& coroutine) {
  std::lock_guard lock(mutex_);
  const auto place = entries_.insert(entries_.end(), {.coroutine = &coroutine});
  if (!thread_.joinable() && !stopped_) try {
      thread_ = std::thread([this] {
        ::pthread_setname_np(::pthread_self(), "manta-awaits");
        loop();
      });
    } catch (const std::system_error&) {  // the next one tries again; what is lost is a line in the log
    }
  if (entries_.size() == 1) changed_.notify_all();
  return place;
}

void CoroutineWaits::remove(Place place) {
  std::lock_guard lock(mutex_);
  entries_.erase(place);
}

void CoroutineWaits::stop() {
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void CoroutineWaits::loop() {
  const auto pause = std::max(limit_ / kLooks, std::chrono::milliseconds(1));
  std::unique_lock lock(mutex_);
  while (!stopped_) {
    changed_.wait(lock, [this] { return stopped_ || !entries_.empty(); });
    if (changed_.wait_for(lock, pause, [this] { return stopped_.load(); })) return;
    auto late = look();
    lock.unlock();
    tell(late);
    late.clear();  // without the lock: what was awaited may go here, and with it coroutines
    lock.lock();
  }
}

/// With mutex_ held: none of them can come to its end meanwhile.
std::vector<CoroutineWaits::Late> CoroutineWaits::look() {
  std::vector<Late> late;
  for (auto& entry : entries_) {
    const auto wait = entry.coroutine->awaits();
    if (wait == 0 || wait != std::exchange(entry.wait, wait))
      entry.looks = 0;
    else if (++entry.looks == kLooks)
      late.push_back({entry.coroutine->name(), entry.coroutine->awaited(wait)});
  }
  return late;
}

void CoroutineWaits::tell(const std::vector<Late>& late) const {
  std::size_t told = 0;
  for (const auto& [name, awaited] : late)
    if (awaited && !stopped_ && told++ < kMostTold) tell_(name ? *name : std::string("a coroutine"), *awaited);
  if (told > kMostTold)
    log(LogLevel::kWarning, std::to_string(told - kMostTold) + " more co_awaits have taken more than " + std::to_string(limit_.count()) + " ms");
}

}  // namespace manta::detail
