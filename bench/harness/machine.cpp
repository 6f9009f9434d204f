#include "bench/harness/machine.hpp"

#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <system_error>
#include <utility>

namespace manta::bench {
namespace {

std::vector<int> allowed_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof set, &set);
  std::vector<int> cores;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &set)) cores.push_back(core);
  }
  return cores;
}

/// The kernel's list of the threads of the physical core that `core` is one of: "0,32".
std::string siblings(int core) {
  std::ifstream file("/sys/devices/system/cpu/cpu" + std::to_string(core) + "/topology/thread_siblings_list");
  std::string text;
  std::getline(file, text);
  return text.empty() ? std::to_string(core) : text;
}

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

}  // namespace

void hold_on(const std::vector<int>& cores) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int core : cores) CPU_SET(core, &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) {
    throw std::system_error(errno, std::generic_category(), "cannot run on the cores asked for (sched_setaffinity)");
  }
}

std::vector<int> two_cores() {
  const std::vector<int> allowed = allowed_cores();
  for (int second : allowed) {
    if (siblings(second) != siblings(allowed.front())) return {allowed.front(), second};
  }
  return {allowed.begin(), allowed.begin() + (allowed.size() > 1 ? 2 : 1)};
}

Machine describe_machine(std::vector<int> cores) {
  return {cpu_model(), static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)), std::move(cores)};
}

}  // namespace manta::bench
