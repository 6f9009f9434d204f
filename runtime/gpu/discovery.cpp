#include "runtime/gpu/discovery.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <sstream>

#include "runtime/base/log.hpp"

namespace manta {

namespace {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

/// The one GPU an entry of CUDA_VISIBLE_DEVICES names.
const GpuInfo* find_gpu(const std::vector<GpuInfo>& gpus, std::string_view entry) {
  unsigned index = 0;
  const auto [end, error] = std::from_chars(entry.data(), entry.data() + entry.size(), index);
  const bool is_index = error == std::errc{} && end == entry.data() + entry.size();
  const auto fits = [&](const GpuInfo& gpu) { return is_index ? gpu.index == index : gpu.uuid.starts_with(entry); };
  if (entry.empty() || std::count_if(gpus.begin(), gpus.end(), fits) != 1) return nullptr;
  return &*std::find_if(gpus.begin(), gpus.end(), fits);
}

/// `warn`: log what does not answer.
std::optional<std::vector<GpuInfo>> describe_all(const NvmlTable& nvml, bool warn) {
  unsigned count = 0;
  if (const int failed = nvml.count(count)) {
    if (warn) log(LogLevel::kWarning, "the GPUs cannot be counted (NVML error " + std::to_string(failed) + "); using none");
    return std::nullopt;
  }
  std::vector<GpuInfo> gpus;
  for (unsigned index = 0; index < count; ++index) {
    GpuInfo gpu{.index = index};
    const int failed = nvml.describe(index, gpu);
    if (!failed) gpus.push_back(std::move(gpu));
    if (failed && warn)
      log(LogLevel::kWarning, "GPU " + std::to_string(index) + " does not answer (NVML error " + std::to_string(failed) + "); going on without it");
  }
  return gpus;
}

/// nullopt also for a library without a running driver.
std::optional<std::vector<GpuInfo>> ask(const NvmlTable& nvml, bool warn) {
  if (nvml.init() != 0) return std::nullopt;
  auto gpus = describe_all(nvml, warn);
  nvml.shutdown();
  return gpus;
}

}  // namespace

std::vector<GpuInfo> filter_visible(const std::vector<GpuInfo>& gpus, std::string_view visible_devices) {
  std::vector<GpuInfo> visible;
  while (!trimmed(visible_devices).empty()) {
    const auto comma = std::min(visible_devices.find(','), visible_devices.size());
    const GpuInfo* gpu = find_gpu(gpus, trimmed(visible_devices.substr(0, comma)));
    if (!gpu || std::find(visible.begin(), visible.end(), *gpu) != visible.end()) break;
    visible.push_back(*gpu);
    visible_devices.remove_prefix(std::min(comma + 1, visible_devices.size()));
  }
  return visible;
}

std::vector<GpuInfo> discover_gpus(const NvmlTable& nvml, const char* visible_devices) {
  const auto gpus = ask(nvml, true).value_or(std::vector<GpuInfo>{});
  return visible_devices ? filter_visible(gpus, visible_devices) : gpus;
}

std::optional<std::vector<GpuInfo>> look_for_gpus(const NvmlTable& nvml) { return ask(nvml, false); }

std::optional<std::vector<GpuInfo>> look_for_gpus() {
  const auto nvml = load_nvml();
  return nvml ? look_for_gpus(*nvml) : std::nullopt;
}

std::vector<GpuInfo> discover_gpus() {
  const auto nvml = load_nvml();
  return nvml ? discover_gpus(*nvml, std::getenv("CUDA_VISIBLE_DEVICES")) : std::vector<GpuInfo>{};
}

std::vector<std::string> names_of(const std::vector<GpuInfo>& gpus) {
  std::vector<std::string> names;
  for (const auto& gpu : gpus) names.push_back(gpu.uuid.empty() ? std::to_string(gpu.index) : gpu.uuid);
  return names;
}

std::vector<std::string> names_of_so_many(std::size_t count, const std::vector<GpuInfo>& usable, const char* visible_devices,
                                          const std::optional<std::vector<GpuInfo>>& known) {
  auto names = names_of(usable);
  const bool found_some = !names.empty();
  std::vector<std::string> words;
  std::istringstream list(visible_devices ? visible_devices : "");
  for (std::string word; std::getline(list, word, ',');) words.push_back(word);
  names.resize(std::min(names.size(), count));
  bool by_word = visible_devices && !found_some;  // up to the first word that will not do, as CUDA reads it
  for (auto id = names.size(); id < count; ++id) {
    by_word = by_word && id < words.size() && !words[id].empty() && std::find(names.begin(), names.end(), words[id]) == names.end() &&
              !(known && !filter_visible(*known, words[id]).empty());
    names.push_back(by_word ? words[id] : !found_some && !visible_devices ? std::to_string(id) : "none-" + std::to_string(id));
  }
  return names;
}

}  // namespace manta
