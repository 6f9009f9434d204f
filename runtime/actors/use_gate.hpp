#pragma once
// UseGate: who is inside what the end of a runtime takes down. A thread of the program's may call the runtime while another one ends it: the
// end lets nobody in any more, and takes nothing down before those inside have left. Waits of the user's are not counted as inside: their
// refs are settled by the end, or by others for all that the runtime knows. Nobody comes in in a fork of the process that made it: what he would
// use may be locked by threads that the fork has not. Thread-safe.
#include <atomic>
#include <chrono>
#include <thread>

#include "runtime/base/error.hpp"
#include "runtime/process/forks.hpp"

namespace manta::detail {

class UseGate {
 public:
  /// While it lives, and if it came in, nothing is taken down. One within another is fine, also on one thread.
  class Use {
   public:
    explicit Use(UseGate& gate) noexcept : gate_(gate), in_(gate.enter()) {}
    ~Use() {
      if (in_) gate_.leave();
    }
    Use(const Use&) = delete;
    explicit operator bool() const noexcept { return in_; }
    /// Throws RuntimeStopped when it did not come in.
    void need() const {
      if (in_) return;
      gate_.need_own_process();
      throw RuntimeStopped("the runtime has been shut down: start another one");
    }

   private:
    UseGate& gate_;
    const bool in_;
  };
  bool in_fork() const { return forks_ != count_forks(); }
  /// Throws RuntimeStopped in a fork.
  void need_own_process() const {
    if (in_fork())
      throw RuntimeStopped("a fork of the process that started the runtime has none: use it there, or let the fork start a program anew by exec");
  }
  void shut() noexcept { shut_ = true; }
  /// Whether nobody is inside; looks again until then.
  bool empty_by(std::chrono::steady_clock::time_point deadline) const {
    while (inside_ > 0) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    return true;
  }

 private:
  bool enter() noexcept {
    if (in_fork()) return false;
    ++inside_;  // first, and then the look: whoever shuts it does so in the other order
    if (!shut_) return true;
    leave();
    return false;
  }
  void leave() noexcept { --inside_; }
  std::atomic<int> inside_{0};
  std::atomic<bool> shut_{false};
  const int forks_ = count_forks();
};

}  // namespace manta::detail
