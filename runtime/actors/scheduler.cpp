#include "runtime/actors/scheduler.hpp"

#include <pthread.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "runtime/actors/own_threads.hpp"
#include "runtime/base/log.hpp"
#include "runtime/base/spin.hpp"
#include "runtime/base/threads.hpp"

#ifdef __SANITIZE_THREAD__
extern "C" void __tsan_acquire(void* address);
extern "C" void __tsan_release(void* address);
#endif

namespace manta::detail {

struct ElasticScheduler::Unit : caf::execution_unit {
  explicit Unit(ElasticScheduler& scheduler) : caf::execution_unit(&scheduler.system()), owner(scheduler) {}
  void exec_later(caf::resumable* job) override { owner.enqueue(job); }
  ElasticScheduler& owner;
};

struct ElasticScheduler::Worker {
  std::atomic<std::uint32_t> wake{0};
  std::thread thread;
  bool coming = false;  // started or woken, and not seen at the queue yet; guarded by the scheduler's mutex
};

namespace {

constexpr std::size_t kThroughput = 300;  // messages an actor may take before others get their turn

thread_local ElasticScheduler* t_pool = nullptr;  // set on the pool's threads
thread_local bool t_inline_next = false;
thread_local bool t_inline_running = false;
thread_local caf::resumable** t_kept = nullptr;
thread_local std::vector<caf::resumable*>* t_inline_waiting = nullptr;

#ifdef __SANITIZE_THREAD__
/// A job that this thread resumes. Another one may take it as soon as its mailbox is empty, before resume() has returned here and the order
/// could be told: that one waits a moment. Relaxed throughout, so that jobs are not ordered that nothing orders.
class Resumed {
 public:
  explicit Resumed(caf::resumable& job) : job_(&job), place_(g_jobs[std::hash<const void*>{}(job_) / 64 % g_jobs.size()]) {
    for (int i = 0; i < 1000 && place_.load(std::memory_order_relaxed) == job_; ++i) std::this_thread::yield();
    const void* none = nullptr;
    noted_ = place_.compare_exchange_strong(none, job_, std::memory_order_relaxed);  // else another job has the place
    __tsan_acquire(job_);
  }
  ~Resumed() {
    __tsan_release(job_);
    if (noted_) place_.store(nullptr, std::memory_order_relaxed);
  }
  Resumed(const Resumed&) = delete;

 private:
  static inline std::array<std::atomic<const void*>, 4096> g_jobs{};
  void* const job_;
  std::atomic<const void*>& place_;
  bool noted_ = false;
};
#endif

// What one thread did to an actor before it left it happens before what the next does with it. CAF's mailbox orders them,
// but ThreadSanitizer does not see into the packaged library, so it is told here.
caf::resumable::resume_result resume(caf::resumable& job, caf::execution_unit& unit) {
#ifdef __SANITIZE_THREAD__
  const Resumed resumed(job);
  return job.resume(&unit, kThroughput);
#else
  return job.resume(&unit, kThroughput);
#endif
}

}  // namespace

ElasticScheduler::ElasticScheduler(caf::actor_system& system)
    : abstract_coordinator(system), parallelism_(std::max(2u, std::thread::hardware_concurrency())) {}

ElasticScheduler::~ElasticScheduler() = default;

caf::actor_system::module* ElasticScheduler::make(caf::actor_system& system, caf::detail::type_list<>) {
  return new ElasticScheduler(system);
}

ElasticScheduler& ElasticScheduler::of(caf::actor_system& system) {
  return dynamic_cast<ElasticScheduler&>(system.scheduler());
}

void ElasticScheduler::set_parallelism(std::size_t threads) {
  std::lock_guard lock(mutex_);
  parallelism_ = std::max<std::size_t>(threads, 1);
}

std::size_t ElasticScheduler::thread_count() const {
  std::lock_guard lock(mutex_);
  return workers_.size();
}

void ElasticScheduler::inline_next(bool on) noexcept { t_inline_next = on; }

void ElasticScheduler::keep_next(caf::resumable** place) noexcept { t_kept = place; }

void ElasticScheduler::start() try {
  watcher_ = std::thread([this] {
    ::pthread_setname_np(::pthread_self(), "manta-watch");
    watch();
  });
  clock_reader_ = std::thread([this] {
    ::pthread_setname_np(::pthread_self(), "manta-clock");
    clock_.run_dispatch_loop();
  });
} catch (const std::system_error& e) {
  not_started_ = e;
}

void ElasticScheduler::begin() {
  if (not_started_) throw std::system_error(*not_started_);
  std::unique_lock lock(mutex_);
  if (workers_.empty()) add_thread(lock);
  if (workers_.empty()) throw std::system_error(EAGAIN, std::generic_category());
}

void ElasticScheduler::run(caf::resumable* job) {
  Unit unit(*this);
  switch (resume(*job, unit)) {
    case caf::resumable::resume_later:
      enqueue(job);
      break;
    case caf::resumable::done:
    case caf::resumable::awaiting_message:
      caf::intrusive_ptr_release(job);
      break;
    case caf::resumable::shutdown_execution_unit:
      break;
  }
}

void ElasticScheduler::run_inline(caf::resumable* job) {
  if (t_inline_running) {
    t_inline_waiting->push_back(job);
    return;
  }
  std::vector<caf::resumable*> waiting;  // takes no memory unless there is more than one
  t_inline_waiting = &waiting;
  t_inline_running = true;
  Unit unit(*this);
  for (std::size_t next = 0; job; job = next < waiting.size() ? waiting[next++] : nullptr) {
    if (resume(*job, unit) == caf::resumable::resume_later)
      waiting.push_back(job);
    else
      caf::intrusive_ptr_release(job);
  }
  t_inline_running = false;
  t_inline_waiting = nullptr;
}

void ElasticScheduler::enqueue(caf::resumable* job) {
  if (std::exchange(t_inline_next, false)) return run_inline(job);
  if (auto* place = std::exchange(t_kept, nullptr)) return static_cast<void>(*place = job);
  if (forks_ != count_forks()) return;  // the threads are another process's: it runs what there is to run
  std::unique_lock lock(mutex_);
  queue_.push_back(job);
  queued_.store(queue_.size(), std::memory_order_release);
  if (looking_.load(std::memory_order_acquire) >= static_cast<int>(queue_.size())) return;  // a spinning thread takes it
  put_to_work(lock);
}

void ElasticScheduler::put_to_work(std::unique_lock<std::mutex>& lock) {
  if (active_ >= parallelism_) {
    watch_wanted_.notify_one();
    return;
  }
  if (!idle_.empty()) {
    auto* worker = call_back();
    lock.unlock();
    futex_wake_one(worker->wake);
  } else {
    add_thread(lock);
  }
}

ElasticScheduler::Worker* ElasticScheduler::call_back() {
  auto* worker = idle_.back();
  idle_.pop_back();
  ++active_;
  worker->coming = true;
  ++coming_;
  worker->wake.store(1, std::memory_order_release);
  return worker;
}

void ElasticScheduler::add_thread(std::unique_lock<std::mutex>&) {
  if (workers_.size() >= kMaxThreads || stopping_) return;
  auto worker = std::make_unique<Worker>();
  auto* self = worker.get();
  try {
    self->thread = std::thread([this, self] {
      ::pthread_setname_np(::pthread_self(), "manta-pool");
      become_program_thread();
      t_is_runtimes = true;
      t_pool = this;
      work(*self);
    });
  } catch (const std::system_error& e) {
    if (!std::exchange(short_of_threads_, true))
      log(LogLevel::kWarning, std::string("no more threads for the pool, so what waits takes longer: ") + e.what());
    watch_wanted_.notify_one();  // it tries again
    return;
  }
  short_of_threads_ = false;
  ++active_;
  self->coming = true;
  ++coming_;
  workers_.push_back(std::move(worker));
}

caf::resumable* ElasticScheduler::next(Worker& self) {
  std::unique_lock lock(mutex_);
  while (true) {
    if (std::exchange(self.coming, false)) --coming_;
    if (!queue_.empty()) {
      auto* job = queue_.front();
      queue_.pop_front();
      queued_.store(queue_.size(), std::memory_order_release);
      ++moves_;
      return job;
    }
    if (stopping_) return nullptr;
    lock.unlock();
    ++looking_;
    spin_until([this] { return queued_.load(std::memory_order_acquire) > 0; });
    --looking_;
    lock.lock();
    if (!queue_.empty() || stopping_) continue;
    idle_.push_back(&self);
    --active_;
    self.wake.store(0, std::memory_order_relaxed);
    lock.unlock();
    const bool woken = [&] {
      const auto deadline = SteadyClock::now() + kIdleTime;
      while (self.wake.load(std::memory_order_acquire) == 0)
        if (!futex_wait(self.wake, 0, deadline)) return self.wake.load(std::memory_order_acquire) != 0;
      return true;
    }();
    lock.lock();
    if (woken || self.wake.load(std::memory_order_acquire) != 0) continue;  // whoever woke us counted us as active
    std::erase(idle_, &self);
    if (workers_.size() > parallelism_ && !stopping_) return nullptr;
    ++active_;
    if (queue_.empty() && !stopping_) {  // one of the threads that stay: sleep on without spinning
      idle_.insert(idle_.begin(), &self);
      --active_;
      lock.unlock();
      while (self.wake.load(std::memory_order_acquire) == 0) futex_wait(self.wake, 0, std::nullopt);
      lock.lock();
    }
  }
}

void ElasticScheduler::work(Worker& self) {
  while (auto* job = next(self)) run(job);
  std::lock_guard lock(mutex_);
  auto it = std::find_if(workers_.begin(), workers_.end(), [&](const auto& w) { return w.get() == &self; });
  gone_.push_back(std::move(*it));
  workers_.erase(it);
  watch_wanted_.notify_one();
}

void ElasticScheduler::watch() {
  std::unique_lock lock(mutex_);
  auto seen = moves_;
  while (!stopping_) {
    for (auto& worker : std::exchange(gone_, {})) {
      lock.unlock();
      worker->thread.join();
      lock.lock();
    }
    if (queue_.empty()) {
      watch_wanted_.wait(lock, [this] { return stopping_ || !queue_.empty() || !gone_.empty(); });
      seen = moves_;
      continue;
    }
    watch_wanted_.wait_for(lock, kStallTime, [this] { return stopping_; });
    if (queue_.size() > coming_ && moves_ == seen && !stopping_) {
      // Work waited and nothing moved: the active threads block somewhere unannounced. Half as many again, less those that
      // are on their way: on a busy machine a thread takes long to start, and counting it twice made thousands.
      const auto more = std::min(queue_.size() - coming_, std::max<std::size_t>(1, active_ / 2));
      for (std::size_t i = 0; i < more; ++i) {
        if (!idle_.empty())
          futex_wake_one(call_back()->wake);
        else
          add_thread(lock);
      }
    }
    seen = moves_;
  }
}

void ElasticScheduler::stop() {
  std::unique_lock lock(mutex_);
  stopping_ = true;
  while (!idle_.empty()) futex_wake_one(call_back()->wake);
  watch_wanted_.notify_all();
  lock.unlock();
  if (watcher_.joinable()) watcher_.join();
  lock.lock();
  while (!workers_.empty() || !gone_.empty()) {
    auto gone = std::exchange(gone_, {});
    lock.unlock();
    for (auto& worker : gone) worker->thread.join();
    if (gone.empty()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    lock.lock();
  }
  const auto dropped = std::exchange(queue_, {});
  lock.unlock();
  for (auto* job : dropped) cleanup_and_release(job);
  if (!clock_reader_.joinable()) return;
  clock_.cancel_dispatch_loop();
  clock_reader_.join();
}

ElasticScheduler::BlockedSection::BlockedSection() : scheduler_(t_pool) {
  if (!scheduler_) return;
  std::unique_lock lock(scheduler_->mutex_);
  --scheduler_->active_;
  if (!scheduler_->queue_.empty()) scheduler_->put_to_work(lock);
}

ElasticScheduler::BlockedSection::~BlockedSection() {
  if (!scheduler_) return;
  std::lock_guard lock(scheduler_->mutex_);
  ++scheduler_->active_;
}

}  // namespace manta::detail
