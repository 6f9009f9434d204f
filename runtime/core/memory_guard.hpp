#pragma once
// MemoryGuard: the node's decision on which worker process is ended before the kernel takes one: when more than the threshold
// of the memory is in use, one whose work may run again goes before others, and of these the one that got work last, as the
// least is lost with it. One at a time: the next one only when it has gone, as its memory is free only then. Pure: no clock,
// no thread. Owned by the node actor. (The order is Ray's: its worker killing policy "retriable, last in first out".)
#include <optional>
#include <span>

#include "runtime/base/ids.hpp"
#include "runtime/base/memory_use.hpp"

namespace manta::core {

class MemoryGuard {
 public:
  struct Candidate {
    ProcessId process = 0;
    bool retriable = false;  ///< all that runs there may run again
    LeaseId newest{};        ///< of its leases
  };
  /// `threshold`: a share of the total; 1 or more: never.
  explicit MemoryGuard(double threshold) : threshold_(threshold) {}

  bool on() const { return threshold_ < 1; }
  double threshold() const { return threshold_; }
  bool exceeded(const MemoryUse& use) const { return on() && use.total_bytes > 0 && use.share() > threshold_; }
  /// The process to end now, if one is to be.
  std::optional<ProcessId> choose(const MemoryUse& use, std::span<const Candidate> candidates);
  void process_ended(ProcessId process);

 private:
  double threshold_;
  ProcessId ending_ = 0;  ///< 0: none
};

}  // namespace manta::core
