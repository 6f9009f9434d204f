// The user's callbacks of on_ready: on a thread of their own, one after another, and bounded at the end.
#include "runtime/actors/process_engine.hpp"
#include "runtime/base/log.hpp"

namespace manta::detail {

namespace {
thread_local const ProcessEngine* t_callback_of = nullptr;
}  // namespace

bool ProcessEngine::in_callback() const noexcept { return t_callback_of == this; }

bool ProcessEngine::is_done_with_work() const {
  // Work may end into a callback or the bin, and what these do may be work: twice, and nothing has come to either of them in between.
  const auto posted = callbacks_posted_.load();
  const auto thrown_away = bin_->thrown_away();
  const auto has_work = [this] { return owner_->unfinished().submitted > 0; };
  if (callbacks_done_.load() != posted || has_work() || !bin_->is_empty() || has_work()) return false;
  return callbacks_posted_.load() == posted && bin_->thrown_away() == thrown_away;
}

void ProcessEngine::post_callback(std::function<void()> callback) {
  if (gate_->in_fork()) return;  // perhaps of a promise that goes: nobody is to hear of it
  ++callbacks_posted_;
  auto guarded = [this, callback = std::move(callback)]() mutable {
    const auto* before = std::exchange(t_callback_of, this);
    try {
      callback();
    } catch (...) {
      const auto error = current_exception_info();
      // Very many may be left at the runtime's end, and each of them may ask for something.
      if (error.code != ErrorCode::kRuntimeStopped || !environment_.stopping)
        log(LogLevel::kError, "a callback of on_ready threw: " + error.message);
    }
    callback = {};  // what it holds is the user's too
    t_callback_of = before;
    ++callbacks_done_;
  };
  std::shared_ptr<Lane> lane;
  {
    std::lock_guard lock(callbacks_mutex_);
    lane = callbacks_;
  }
  lane ? lane->post(std::move(guarded)) : guarded();
}

bool ProcessEngine::end_callbacks(SteadyClock::time_point deadline) {
  std::shared_ptr<Lane> lane;
  {
    std::lock_guard lock(callbacks_mutex_);
    lane = std::exchange(callbacks_, nullptr);
  }
  if (!lane || (!in_callback() && lane->drain_until(deadline))) return true;
  log(LogLevel::kWarning, in_callback() ? "the runtime is ended by one of its own callbacks of on_ready: end it on another thread"
                                        : "a callback of on_ready has not returned at the end of the runtime");
  std::lock_guard lock(callbacks_mutex_);
  unfinished_callbacks_ = std::move(lane);
  return false;
}

}  // namespace manta::detail
