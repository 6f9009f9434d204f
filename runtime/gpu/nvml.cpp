// Loads the driver's libnvidia-ml. The only file that knows nvml.h.
#include "runtime/gpu/discovery.hpp"

#ifdef MANTA_WITH_NVML

#include <dlfcn.h>
#include <nvml.h>

#include <memory>

#define MANTA_TEXT_OF(name) #name
#define MANTA_SYMBOL(name) MANTA_TEXT_OF(name)  // expands nvml.h's renaming to versioned functions first

namespace manta {

namespace {

struct Functions {
  decltype(&nvmlInit) init{};
  decltype(&nvmlShutdown) shutdown{};
  decltype(&nvmlDeviceGetCount) count{};
  decltype(&nvmlDeviceGetHandleByIndex) handle{};
  decltype(&nvmlDeviceGetName) name{};
  decltype(&nvmlDeviceGetUUID) uuid{};
  decltype(&nvmlDeviceGetMemoryInfo) memory{};
};

template <class Function>
bool find(void* library, const char* symbol, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, symbol));
  return function != nullptr;
}

bool find_all(void* library, Functions& nvml) {
  return find(library, MANTA_SYMBOL(nvmlInit), nvml.init) && find(library, MANTA_SYMBOL(nvmlShutdown), nvml.shutdown) &&
         find(library, MANTA_SYMBOL(nvmlDeviceGetCount), nvml.count) &&
         find(library, MANTA_SYMBOL(nvmlDeviceGetHandleByIndex), nvml.handle) &&
         find(library, MANTA_SYMBOL(nvmlDeviceGetName), nvml.name) &&
         find(library, MANTA_SYMBOL(nvmlDeviceGetUUID), nvml.uuid) &&
         find(library, MANTA_SYMBOL(nvmlDeviceGetMemoryInfo), nvml.memory);
}

int describe(const Functions& nvml, unsigned index, GpuInfo& gpu) {
  nvmlDevice_t device{};
  char name[NVML_DEVICE_NAME_V2_BUFFER_SIZE] = {};
  char uuid[NVML_DEVICE_UUID_V2_BUFFER_SIZE] = {};
  nvmlMemory_t memory{};
  if (const auto failed = nvml.handle(index, &device)) return failed;
  if (const auto failed = nvml.name(device, name, sizeof name)) return failed;
  if (const auto failed = nvml.uuid(device, uuid, sizeof uuid)) return failed;
  if (const auto failed = nvml.memory(device, &memory)) return failed;
  gpu = {.index = index, .uuid = uuid, .name = name, .memory_bytes = memory.total};
  return 0;
}

}  // namespace

std::optional<NvmlTable> load_nvml() {
  const std::shared_ptr<void> library(::dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL), [](void* handle) {
    if (handle) ::dlclose(handle);
  });
  Functions nvml;
  if (!library || !find_all(library.get(), nvml)) return std::nullopt;
  return NvmlTable{
      .init = [library, nvml] { return static_cast<int>(nvml.init()); },
      .shutdown = [library, nvml] { return static_cast<int>(nvml.shutdown()); },
      .count = [library, nvml](unsigned& count) { return static_cast<int>(nvml.count(&count)); },
      .describe = [library, nvml](unsigned index, GpuInfo& gpu) { return describe(nvml, index, gpu); }};
}

}  // namespace manta

#else

namespace manta {

std::optional<NvmlTable> load_nvml() { return std::nullopt; }

}  // namespace manta

#endif
