#pragma once
// Bin: where the values go that the runtime lets go of and whose destructors are the program's, or have much to do. They run on a thread of the
// bin's own, one after the other: they may wait for what only the thread that let go can do, as an owner's actor or who reads the links.
// Thread-safe.
#include "runtime/actors/lane.hpp"
#include "runtime/control_section.hpp"
#include "runtime/function.hpp"

namespace manta::detail {

class Bin final : public ValueBin {
 public:
  /// `otherwise`: for a system that gives no thread.
  explicit Bin(Lane& otherwise) : otherwise_(otherwise) {}

  struct Load {
    std::vector<std::shared_ptr<TaskRecord>> arguments{};  ///< nobody uses them: they are let go whoever has the record
    std::vector<std::shared_ptr<TaskRecord>> records{};    ///< perhaps in use: they go with the last who has them
    std::vector<std::shared_ptr<const void>> values{};
    bool empty() const { return arguments.empty() && records.empty() && values.empty(); }
  };
  /// So many more will come by `destroy`.
  void announce(std::size_t count = 1) noexcept;
  void destroy(Load load);
  void take(std::shared_ptr<const void> value) override;

  /// Whether nothing waits for its destructor any more; by then, or now.
  bool is_empty(SteadyClock::time_point deadline = {}, std::size_t most = 0) const;
  std::uint64_t thrown_away() const { return thrown_away_; }  ///< how many there ever were
  /// What submits from outside waits a moment where destructors are slower than it, or what they are to destroy would pile up. Not for ever:
  /// one of them may wait for what this thread does next. Where none has ended in that moment, some submits more need not wait for it.
  void wait_for_room() const;
  /// At the end, when it is empty: what comes now goes at once.
  void close();

 private:
  Lane& lane();  ///< with mutex_ held
  Lane& otherwise_;
  std::atomic<std::uint64_t> thrown_away_{0}, destroyed_{0};  ///< ever; what is in between waits, or is on its way out
  mutable std::atomic<int> passes_{0};  ///< submits that need not wait, as somebody has just done so in vain
  std::atomic<bool> closed_{false};
  std::mutex mutex_;
  std::unique_ptr<Lane> lane_{};  ///< guarded by mutex_; what waits there must not keep the other one from what it waits for
};

}  // namespace manta::detail
