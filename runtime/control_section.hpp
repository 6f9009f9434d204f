#pragma once
// ControlSection: the threads that read what other processes send, or handle an owner's events, must not run the program's code: it may wait for
// what only that thread can do. Values whose last ref such a thread happens to let go have destructors of the program's, so they go into a bin, which
// destroys them elsewhere. Internal.
#include <memory>

namespace manta::detail {

class ValueBin {
 public:
  virtual void take(std::shared_ptr<const void> value) = 0;

 protected:
  ~ValueBin() = default;
};

/// While it lives, what this thread lets go of cells goes into the bin, which outlives it. There may be one within another.
class ControlSection {
 public:
  explicit ControlSection(ValueBin& bin) noexcept;
  ~ControlSection();
  ControlSection(const ControlSection&) = delete;
  ControlSection& operator=(const ControlSection&) = delete;
  /// The innermost one's of this thread; null: it may run the program's code.
  static ValueBin* bin() noexcept;

 private:
  ValueBin* const before_;
};

}  // namespace manta::detail
