#pragma once
// PoolJob: something that the pool's threads run, one of them at a time, whenever it is scheduled; kept alive from then until it has
// run. It costs a place in a queue, where a CAF actor costs a kibibyte, and a message each time: see
// docs/design/0017-executors-are-jobs.md. Owned by shared_ptr; schedule() is thread-safe.
#include <caf/resumable.hpp>
#include <memory>
#include <mutex>

#include "runtime/actors/scheduler.hpp"
#include "runtime/base/small_mutex.hpp"

namespace manta::detail {

class PoolJob : public caf::resumable {
 public:
  /// drain() is called after this, once more than before if it runs right now.
  void schedule(ElasticScheduler& scheduler) {
    {
      std::lock_guard lock(job_mutex_);
      if (std::exchange(wanted_, true) || running_) return;
      ++scheduled_;
      keep_ = shared_job();
    }
    scheduler.enqueue(this);
  }

 protected:
  /// Does what there is to do, on a thread of the pool.
  virtual void drain() = 0;
  virtual std::shared_ptr<PoolJob> shared_job() = 0;

 private:
  resume_result resume(caf::execution_unit*, std::size_t) override {
    {
      std::lock_guard lock(job_mutex_);
      wanted_ = false;
      running_ = true;
    }
    drain();
    std::lock_guard lock(job_mutex_);
    running_ = false;
    return wanted_ ? resumable::resume_later : resumable::done;
  }
  void intrusive_ptr_add_ref_impl() override {}  // the scheduler never does: what is scheduled is kept
  /// The pool is done with one scheduling; another one may have begun, or even ended, since resume() returned.
  void intrusive_ptr_release_impl() override {
    std::shared_ptr<PoolJob> last;  // goes when the lock is free: it may be what keeps this alive
    std::lock_guard lock(job_mutex_);
    if (--scheduled_ == 0) last = std::move(keep_);
  }

  SmallMutex job_mutex_{};      // guards what follows
  bool wanted_ = false;         // scheduled, and drain() has not begun since
  bool running_ = false;
  std::uint32_t scheduled_ = 0;  // schedulings that the pool is not done with
  std::shared_ptr<PoolJob> keep_{};
};

}  // namespace manta::detail
