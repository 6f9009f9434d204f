#pragma once
// How much memory this process may still take: what the kernel says is available, and what is left in its cgroups.
// Plain values, read at the moment of the call; thread-safe.
#include <cstdint>
#include <string>

#include "runtime/base/memory_use.hpp"

namespace manta {

struct MemoryLimits {
  std::uint64_t available_bytes{};        ///< MemAvailable of /proc/meminfo
  std::uint64_t cgroup_headroom_bytes{};  ///< least of (limit - use) over its cgroups; UINT64_MAX without a limit

  std::uint64_t smaller() const noexcept {
    return available_bytes < cgroup_headroom_bytes ? available_bytes : cgroup_headroom_bytes;
  }
};

/// Reads /proc and /sys/fs/cgroup (v2 and v1) below `root`. What cannot be read counts as unlimited. Page cache that the
/// kernel can drop counts as headroom, that of pages read more than once too: a cgroup at its limit is full of it.
MemoryLimits read_memory_limits(const std::string& root = "");

/// How much is in use of what this process may use, read in the same places: the machine or the cgroup that is fullest.
MemoryUse read_memory_use(const std::string& root = "");

}  // namespace manta
