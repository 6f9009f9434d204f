#include "runtime/store/memory_limits.hpp"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <limits>
#include <optional>
#include <string_view>

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
  const char* reclaimable;
};

constexpr CgroupNames kVersion2{"/memory.max", "/memory.current", "inactive_file "};
constexpr CgroupNames kVersion1{"/memory.limit_in_bytes", "/memory.usage_in_bytes", "total_inactive_file "};

std::uint64_t headroom_of(const std::string& folder, const CgroupNames& names) {
  const auto limit = read_number(folder + names.limit);
  const auto usage = read_number(folder + names.usage);
  if (!limit || !usage) return kUnlimited;
  const auto reclaimable = read_field(folder + "/memory.stat", names.reclaimable).value_or(0);
  const auto used = *usage - std::min(*usage, reclaimable);
  return *limit - std::min(*limit, used);
}

/// The least headroom of `path` and all its ancestors below `mount`.
std::uint64_t headroom_along(const std::string& mount, std::string path, const CgroupNames& names) {
  std::uint64_t least = headroom_of(mount, names);
  while (path.size() > 1) {
    least = std::min(least, headroom_of(mount + path, names));
    path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
  }
  return least;
}

std::uint64_t cgroup_headroom(const std::string& root) {
  std::ifstream file(root + "/proc/self/cgroup");
  std::uint64_t least = kUnlimited;
  std::string line;
  while (std::getline(file, line)) {  // "0::/path" or "4:memory:/path"
    const auto first = line.find(':');
    const auto second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const std::string path = line.substr(second + 1);
    if (controllers == ",,")
      least = std::min(least, headroom_along(root + "/sys/fs/cgroup", path, kVersion2));
    else if (controllers.find(",memory,") != std::string::npos)
      least = std::min(least, headroom_along(root + "/sys/fs/cgroup/memory", path, kVersion1));
  }
  return least;
}

}  // namespace

MemoryLimits read_memory_limits(const std::string& root) {
  const auto kib = read_field(root + "/proc/meminfo", "MemAvailable:");
  return {.available_bytes = kib ? *kib * 1024 : kUnlimited, .cgroup_headroom_bytes = cgroup_headroom(root)};
}

}  // namespace manta
