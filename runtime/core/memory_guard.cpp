#include "runtime/core/memory_guard.hpp"

#include <algorithm>
#include <tuple>

namespace manta::core {

std::optional<ProcessId> MemoryGuard::choose(const MemoryUse& use, std::span<const Candidate> candidates) {
  if (!exceeded(use) || ending_ || candidates.empty()) return std::nullopt;
  const auto rank = [](const Candidate& each) { return std::tuple(each.retriable, each.newest); };
  ending_ = std::max_element(candidates.begin(), candidates.end(),
                             [&](const Candidate& a, const Candidate& b) { return rank(a) < rank(b); })->process;
  return ending_;
}

void MemoryGuard::process_ended(ProcessId process) {
  if (ending_ == process) ending_ = 0;
}

}  // namespace manta::core
