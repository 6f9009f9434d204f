#include "runtime/store/memory_limits.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <limits>
#include <optional>
#include <string_view>
#include <vector>

namespace manta {

namespace {

constexpr auto kUnlimited = std::numeric_limits<std::uint64_t>::max();

std::optional<std::uint64_t> read_number(const std::string& path) {
  std::ifstream file(path);
  std::string word;
  if (!(file >> word)) return std::nullopt;
  std::uint64_t number = 0;
  auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  if (error != std::errc{} || end != word.data() + word.size()) return std::nullopt;  // "max"
  return number;
}

/// The number after `key` in a file of "key number" lines.
std::optional<std::uint64_t> read_field(const std::string& path, std::string_view key) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    if (!line.starts_with(key)) continue;
    return std::strtoull(line.c_str() + key.size(), nullptr, 10);
  }
  return std::nullopt;
}

struct CgroupNames {
  const char* limit;
  const char* usage;
  std::array<const char*, 2> cache;  ///< of files, which the kernel can take back; not what lies in memory only (shmem)
};

constexpr CgroupNames kVersion2{"/memory.max", "/memory.current", {"inactive_file ", "active_file "}};
constexpr CgroupNames kVersion1{"/memory.limit_in_bytes", "/memory.usage_in_bytes", {"total_inactive_file ", "total_active_file "}};

/// Nothing for a folder without a limit.
std::optional<MemoryUse> use_of(const std::string& folder, const CgroupNames& names) {
  const auto limit = read_number(folder + names.limit);
  const auto usage = read_number(folder + names.usage);
  if (!limit || !usage) return std::nullopt;
  std::uint64_t reclaimable = 0;
  for (const auto* field : names.cache) reclaimable += read_field(folder + "/memory.stat", field).value_or(0);
  return MemoryUse{.used_bytes = *usage - std::min(*usage, reclaimable), .total_bytes = *limit};
}

/// Of `path` and all its ancestors below `mount`, those with a limit.
void uses_along(const std::string& mount, std::string path, const CgroupNames& names, std::vector<MemoryUse>& uses) {
  auto add = [&](const std::string& folder) {
    if (auto use = use_of(folder, names)) uses.push_back(*use);
  };
  add(mount);
  while (path.size() > 1) {
    add(mount + path);
    path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
  }
}

std::vector<MemoryUse> cgroup_uses(const std::string& root) {
  std::ifstream file(root + "/proc/self/cgroup");
  std::vector<MemoryUse> uses;
  std::string line;
  while (std::getline(file, line)) {  // "0::/path" or "4:memory:/path"
    const auto first = line.find(':');
    const auto second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const std::string path = line.substr(second + 1);
    if (controllers == ",,")
      uses_along(root + "/sys/fs/cgroup", path, kVersion2, uses);
    else if (controllers.find(",memory,") != std::string::npos)
      uses_along(root + "/sys/fs/cgroup/memory", path, kVersion1, uses);
  }
  return uses;
}

std::uint64_t cgroup_headroom(const std::string& root) {
  std::uint64_t least = kUnlimited;
  for (const auto& use : cgroup_uses(root)) least = std::min(least, use.total_bytes - std::min(use.total_bytes, use.used_bytes));
  return least;
}

}  // namespace

MemoryLimits read_memory_limits(const std::string& root) {
  const auto kib = read_field(root + "/proc/meminfo", "MemAvailable:");
  return {.available_bytes = kib ? *kib * 1024 : kUnlimited, .cgroup_headroom_bytes = cgroup_headroom(root)};
}

MemoryUse read_memory_use(const std::string& root) {
  const auto total = read_field(root + "/proc/meminfo", "MemTotal:");
  const auto available = read_field(root + "/proc/meminfo", "MemAvailable:");
  MemoryUse fullest;
  if (total && available) fullest = {.used_bytes = (*total - std::min(*total, *available)) * 1024, .total_bytes = *total * 1024};
  for (const auto& use : cgroup_uses(root))
    if (use.share() > fullest.share()) fullest = use;
  return fullest;
}

}  // namespace manta
