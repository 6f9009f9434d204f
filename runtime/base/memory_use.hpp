#pragma once
// How much of the memory that a process may use is in use: the machine's, or that of the cgroup that is nearest to its limit.
// A plain value.
#include <cstdint>

namespace manta {

struct MemoryUse {
  std::uint64_t used_bytes{};   ///< without what the kernel can take back at once (page cache)
  std::uint64_t total_bytes{};  ///< 0: not known
  double share() const noexcept { return total_bytes ? static_cast<double>(used_bytes) / static_cast<double>(total_bytes) : 0; }
};

}  // namespace manta
