#pragma once
// Which GPUs this machine has, asked of NVML and never of CUDA: a CUDA context does not survive a fork.
//
// The driver's library is loaded at run time, so a program starts on machines without one; no driver means no GPUs and no
// error. CUDA_VISIBLE_DEVICES is honoured as CUDA reads it. Plain functions, thread-safe; nothing stays open afterwards.
//
//   for (const manta::GpuInfo& gpu : manta::discover_gpus()) std::cout << gpu.name << '\n';
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace manta {

struct GpuInfo {
  unsigned index{};     ///< NVML's number, by PCI bus
  std::string uuid{};   ///< "GPU-…"; give this to a process in CUDA_VISIBLE_DEVICES, CUDA may number otherwise
  std::string name{};
  std::uint64_t memory_bytes{};

  bool operator==(const GpuInfo&) const = default;
};

/// The calls of NVML that discovery needs; each gives NVML's return code, 0 for success.
struct NvmlTable {
  std::function<int()> init;
  std::function<int()> shutdown;
  std::function<int(unsigned& count)> count;
  std::function<int(unsigned index, GpuInfo& gpu)> describe;
};

/// The driver's own; nullopt when there is no driver here, or Manta was built without nvml.h.
std::optional<NvmlTable> load_nvml();

/// The GPUs this process may use. A GPU that does not answer is left out with a warning.
std::vector<GpuInfo> discover_gpus();
/// The same from a given table and value of CUDA_VISIBLE_DEVICES (nullptr: not set).
std::vector<GpuInfo> discover_gpus(const NvmlTable& nvml, const char* visible_devices);

/// All GPUs that answer now, whatever CUDA_VISIBLE_DEVICES says: for who looks whether those it uses are still there. nullopt when
/// NVML cannot be asked (no library, no descriptor for it, an error of its own), which says nothing about the GPUs.
std::optional<std::vector<GpuInfo>> look_for_gpus();
std::optional<std::vector<GpuInfo>> look_for_gpus(const NvmlTable& nvml);

/// What `visible_devices` leaves of `gpus`, in its order: numbers or (beginnings of) UUIDs separated by commas; the first
/// entry that fits no GPU, or one already named, ends the list. Empty: none.
std::vector<GpuInfo> filter_visible(const std::vector<GpuInfo>& gpus, std::string_view visible_devices);

/// What CUDA_VISIBLE_DEVICES calls each: its UUID, or its number where it has none.
std::vector<std::string> names_of(const std::vector<GpuInfo>& gpus);
/// `count` different names, for who says how many GPUs there are: those of `usable` come first. What is made up beyond them can mean none that
/// this process may not use, nor one of them again: it is the variable's own word (`visible_devices`; nullptr: not set), or a number, only
/// where none is usable and the word means none of `known`, all that NVML finds (nullopt: it cannot be asked); else "none-3".
std::vector<std::string> names_of_so_many(std::size_t count, const std::vector<GpuInfo>& usable, const char* visible_devices,
                                          const std::optional<std::vector<GpuInfo>>& known);

}  // namespace manta
