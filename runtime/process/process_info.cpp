#include "runtime/process/process_info.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <iterator>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "runtime/process/owned_fd.hpp"

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

/// All of a file of /proc; empty if it cannot be read. Not by a stream: it throws when the process ends meanwhile.
std::string read_file(const std::string& path) {
  std::string text;
  const OwnedFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char buffer[4096];
  ssize_t count = 0;
  while (file && (count = ::read(file.get(), buffer, sizeof(buffer))) > 0)
    text.append(buffer, static_cast<std::size_t>(count));
  return count < 0 ? std::string() : text;
}

/// The fields of /proc/PID/stat from the third on: the name in field 2 may hold blanks and parentheses.
std::vector<std::string> stat_fields(pid_t pid) {
  const std::string text = read_file("/proc/" + std::to_string(pid) + "/stat");
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
  const std::string text = read_file("/proc/self/cmdline");
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

std::uint64_t resident_bytes(pid_t pid) {
  std::istringstream fields(read_file("/proc/" + std::to_string(pid) + "/statm"));
  std::uint64_t size = 0, resident = 0;
  fields >> size >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

bool is_running(pid_t pid) {
  const auto fields = stat_fields(pid);
  return !fields.empty() && fields[0] != "Z" && fields[0] != "X";
}

bool is_stopped(pid_t pid) {
  const auto fields = stat_fields(pid);
  return !fields.empty() && (fields[0] == "T" || fields[0] == "t");
}

}  // namespace manta
