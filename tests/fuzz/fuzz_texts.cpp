// What a user or an administrator writes. The first byte chooses: flags of the runtime, each up to a NUL; CUDA_VISIBLE_DEVICES; or what the
// files of /proc and of a cgroup say about memory, each up to a NUL.
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include "runtime/gpu/discovery.hpp"
#include "runtime/runtime.hpp"
#include "runtime/store/memory_limits.hpp"

namespace {

using namespace manta;

std::vector<std::string> parts_of(std::string_view text) {
  std::vector<std::string> parts;
  for (std::size_t end = 0; end != text.npos; text.remove_prefix(std::min(text.size(), end + 1))) {
    end = text.find('\0');
    parts.emplace_back(text.substr(0, end));
  }
  return parts;
}

/// What is left has none of the runtime's flags any more.
void check_flags(std::string_view text) {
  std::vector<std::string> words = parts_of(text);
  std::vector<char*> argv{const_cast<char*>("program")};
  for (auto& each : words) argv.push_back(each.data());
  int argc = static_cast<int>(argv.size());
  argv.push_back(nullptr);
  const int all = argc;
  try {
    const RuntimeOptions options = Runtime::parse(argc, argv.data());
    MANTA_CHECK(argc >= 1 && argc <= all && argv[static_cast<std::size_t>(argc)] == nullptr);
    MANTA_CHECK(options.num_cpus.value_or(Amount(0)) >= Amount(0) && options.num_gpus.value_or(Amount(0)) >= Amount(0));
    for (const auto& [name, amount] : options.resources) MANTA_CHECK(!name.empty() && amount >= Amount(0));
    const int left = argc;
    (void)Runtime::parse(argc, argv.data());
    MANTA_CHECK(argc == left);
  } catch (const InvalidArgument&) {
  }
}

/// GPUs that there are, each once, the same as NVML's table gives.
void check_visible(const std::string& text) {
  static const std::vector<GpuInfo> gpus{{0, "GPU-aa11", "A", 10}, {1, "GPU-aa22", "B", 20}, {2, "GPU-bb33", "C", 30}};
  static const NvmlTable table{.init = [] { return 0; },
                               .shutdown = [] { return 0; },
                               .count = [](unsigned& count) { return count = 3, 0; },
                               .describe = [](unsigned index, GpuInfo& gpu) { return gpu = gpus.at(index), 0; }};
  const auto seen = filter_visible(gpus, text);
  std::set<unsigned> once;
  for (const auto& each : seen) MANTA_CHECK(once.insert(each.index).second && each == gpus.at(each.index));
  if (text.find('\0') == text.npos) MANTA_CHECK(discover_gpus(table, text.c_str()) == seen);
}

/// A folder that stands for the machine's root, with these files in it.
class Machine {
 public:
  Machine() {
    for (const char* file : kFiles) std::filesystem::create_directories((root_ / file).parent_path());
  }
  ~Machine() { std::filesystem::remove_all(root_); }
  Machine(const Machine&) = delete;
  std::string root() const { return root_; }
  /// Writes what is other than the last time.
  void set(std::vector<std::string> contents) {
    contents.resize(std::size(kFiles));
    for (std::size_t i = 0; i < contents.size(); ++i)
      if (contents[i] != contents_[i]) std::ofstream(root_ / kFiles[i], std::ios::binary) << contents[i];
    contents_ = std::move(contents);
  }

 private:
  static constexpr const char* kFiles[] = {"proc/meminfo",
                                           "proc/self/cgroup",
                                           "sys/fs/cgroup/memory.max",
                                           "sys/fs/cgroup/memory.current",
                                           "sys/fs/cgroup/memory.stat",
                                           "sys/fs/cgroup/memory/job/memory.limit_in_bytes",
                                           "sys/fs/cgroup/memory/job/memory.usage_in_bytes",
                                           "sys/fs/cgroup/memory/job/memory.stat"};
  const std::filesystem::path root_ = std::filesystem::temp_directory_path() / ("manta_fuzz_texts_" + std::to_string(::getpid()));
  std::vector<std::string> contents_ = std::vector<std::string>(std::size(kFiles));
};

void check_memory(std::string_view text) {
  static Machine machine;
  machine.set(parts_of(text));
  const MemoryLimits limits = read_memory_limits(machine.root());
  MANTA_CHECK(limits.smaller() <= limits.available_bytes && limits.smaller() <= limits.cgroup_headroom_bytes);
  MANTA_CHECK(read_memory_use(machine.root()).share() >= 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data + 1), size - 1);
  switch (data[0] % 3) {
    case 0: check_flags(text); break;
    case 1: check_visible(text); break;
    case 2: check_memory(text); break;
  }
  return 0;
}
