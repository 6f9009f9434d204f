#include "runtime/process/process_info.hpp"

#include <dirent.h>

#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

namespace manta {

namespace {

std::size_t count_entries(const char* folder) {
  std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(folder), &::closedir);
  std::size_t count = 0;
  while (dir)
    if (const dirent* entry = ::readdir(dir.get()); !entry)
      break;
    else if (entry->d_name[0] != '.')
      ++count;
  return count;
}

/// The fields of /proc/PID/stat from the third on: the name in field 2 may hold blanks and parentheses.
std::vector<std::string> stat_fields(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text{std::istreambuf_iterator<char>(file), {}};
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return {};
  std::istringstream rest(text.substr(name_end + 1));
  return {std::istream_iterator<std::string>(rest), {}};
}

}  // namespace

std::size_t thread_count() { return count_entries("/proc/self/task"); }

std::size_t open_descriptor_count() {
  return count_entries("/proc/self/fd") - 1;
}  // less the one that reads the folder

std::vector<std::string> program_arguments() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  std::vector<std::string> args;
  for (std::size_t begin = 0; begin < text.size(); begin += args.back().size() + 1)
    args.emplace_back(text.c_str() + begin);
  return args;
}

std::optional<std::uint64_t> process_start_ticks(pid_t pid) {
  constexpr std::size_t kStartTime = 22 - 3;
  const auto fields = stat_fields(pid);
  if (fields.size() <= kStartTime) return std::nullopt;
  return std::stoull(fields[kStartTime]);
}

bool is_running(pid_t pid) {
  const auto fields = stat_fields(pid);
  return !fields.empty() && fields[0] != "Z" && fields[0] != "X";
}

}  // namespace manta
