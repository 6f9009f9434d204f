#pragma once
// The CAF scheduler of every Manta process: a pool of threads that grows when work waits and code blocks.
//
// CAF's own pools have a fixed number of threads, so methods that block starve everybody. Here a thread that is about to
// block says so (BlockedSection) and another one takes its place; code that blocks unannounced (a sleep, an hour of
// training) is noticed when work has waited for kStallTime and nothing moved. The newest sleeper wakes first, and
// surplus threads go after kIdleTime. See docs/design/0002-one-pool-that-grows.md.
//
// Control actors (owner, node) never block: a message to one that idles is handled at once by the sending thread
// (`inline_next`), so that a submit needs no thread switch before the worker's.
#include <atomic>
#include <caf/all.hpp>
#include <caf/detail/thread_safe_actor_clock.hpp>
#include <caf/scheduler/abstract_coordinator.hpp>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>

#include "runtime/base/futex.hpp"
#include "runtime/process/forks.hpp"

namespace manta::detail {

class ElasticScheduler : public caf::scheduler::abstract_coordinator {
 public:
  static constexpr std::chrono::milliseconds kStallTime{5};
  static constexpr std::chrono::milliseconds kIdleTime{1000};
  static constexpr std::size_t kMaxThreads = 16384;

  explicit ElasticScheduler(caf::actor_system& system);
  ~ElasticScheduler() override;
  static caf::actor_system::module* make(caf::actor_system& system, caf::detail::type_list<>);
  /// The scheduler of a system that was configured with it.
  static ElasticScheduler& of(caf::actor_system& system);

  /// How many threads run unblocked work at once; 2 or the machine's CPUs until set.
  void set_parallelism(std::size_t threads);
  std::size_t thread_count() const;

  /// On: messages sent by this thread go to a control actor: handle them right here when the actor is idle.
  static void inline_next(bool on) noexcept;

  /// Not null: the next job that this thread would hand to the pool goes to `*place` instead; whoever takes it gives it to
  /// run_here or enqueue.
  static void keep_next(caf::resumable** place) noexcept;
  void run_here(caf::resumable* job) { run(job); }

  /// Around a wait: the pool puts another thread to work meanwhile. No effect on threads that are not the pool's.
  class BlockedSection {
   public:
    BlockedSection();
    ~BlockedSection();
    BlockedSection(const BlockedSection&) = delete;
    BlockedSection& operator=(const BlockedSection&) = delete;

   private:
    ElasticScheduler* scheduler_;
  };

  void enqueue(caf::resumable* what) override;
  caf::actor_clock& clock() noexcept override { return clock_; }
  /// Without a thread it does not throw: CAF frees the half of a system that is made, which some refer to already. See begin.
  void start() override;
  /// After the system has been made, before its first actor: throws the std::system_error that start met, or when there is none left for
  /// the pool's first thread, without which no actor could end. Then the system is of no use but to be destroyed.
  void begin();
  void stop() override;
  bool detaches_utility_actors() const override { return false; }

 private:
  struct Worker;
  struct Unit;
  void run(caf::resumable* job);
  void run_inline(caf::resumable* job);
  void work(Worker& self);
  caf::resumable* next(Worker& self);
  void put_to_work(std::unique_lock<std::mutex>& lock);
  void add_thread(std::unique_lock<std::mutex>& lock);
  Worker* call_back();  ///< the newest sleeper, who must be woken
  void watch();

  const int forks_ = count_forks();
  mutable std::mutex mutex_;
  std::deque<caf::resumable*> queue_;           // guarded by mutex_, like all plain members below
  std::vector<Worker*> idle_;                   // newest sleeper last
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::unique_ptr<Worker>> gone_;   // ended, to be joined
  std::size_t active_ = 0;                      // threads that are neither idle nor blocked
  std::size_t parallelism_;
  std::size_t coming_ = 0;                      // of these, started or woken and not at the queue yet
  std::uint64_t moves_ = 0;                     // jobs taken so far
  bool stopping_ = false;
  bool short_of_threads_ = false;               // said once, until there is one again
  std::atomic<std::size_t> queued_{0};
  std::atomic<int> looking_{0};                 // threads that spin before they sleep
  std::condition_variable watch_wanted_;
  std::thread watcher_;
  caf::detail::thread_safe_actor_clock clock_;  // every actor that ends tells it so, and waits when nobody reads
  std::thread clock_reader_;
  std::optional<std::system_error> not_started_{};
};

}  // namespace manta::detail
