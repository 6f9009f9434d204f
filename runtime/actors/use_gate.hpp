#pragma once
// UseGate: who is inside what the end of a runtime takes down. A thread of the program's may call the runtime while another one ends it: the
// end lets nobody in any more, and takes nothing down before those inside have left. Waits of the user's are not counted as inside: their
// refs are settled by the end, or by others for all that the runtime knows. Thread-safe.
#include <atomic>
#include <chrono>
#include <thread>

#include "runtime/base/error.hpp"

namespace manta::detail {

class UseGate {
 public:
  /// While it lives, and if it came in, nothing is taken down. One within another is fine, also on one thread.
  class Use {
   public:
    explicit Use(UseGate& gate) noexcept : gate_(gate.enter() ? &gate : nullptr) {}
    ~Use() {
      if (gate_) gate_->leave();
    }
    Use(const Use&) = delete;
    explicit operator bool() const noexcept { return gate_ != nullptr; }
    /// Throws RuntimeStopped when it did not come in.
    void need() const {
      if (!gate_) throw RuntimeStopped("the runtime has been shut down: start another one");
    }

   private:
    UseGate* gate_;
  };
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
    ++inside_;  // first, and then the look: whoever shuts it does so in the other order
    if (!shut_) return true;
    leave();
    return false;
  }
  void leave() noexcept { --inside_; }
  std::atomic<int> inside_{0};
  std::atomic<bool> shut_{false};
};

}  // namespace manta::detail
