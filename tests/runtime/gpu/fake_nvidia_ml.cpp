// The part of NVML's binary interface that discovery calls, with two GPUs, each 8 GiB.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace {

constexpr int kInvalidArgument = 2, kDriverNotLoaded = 9, kGpuIsLost = 15;
constexpr unsigned kNoDriver = 99;

/// The file that MANTA_TEST_LOST_GPU names holds the number of a GPU that has fallen off the bus; 99: the driver does not answer.
bool lost(unsigned index) {
  const char* path = std::getenv("MANTA_TEST_LOST_GPU");
  std::FILE* file = path ? std::fopen(path, "r") : nullptr;
  if (!file) return false;
  unsigned number = 0;
  const bool read = std::fscanf(file, "%u", &number) == 1;
  std::fclose(file);
  return read && number == index;
}

struct Memory {
  unsigned long long total;
  unsigned long long free;
  unsigned long long used;
};

}  // namespace

extern "C" {

int nvmlInit_v2() { return lost(kNoDriver) ? kDriverNotLoaded : 0; }
int nvmlShutdown() { return 0; }

int nvmlDeviceGetCount_v2(unsigned* count) {
  *count = 2;
  return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** device) {
  if (index >= 2) return kInvalidArgument;
  if (lost(index)) return kGpuIsLost;
  *device = reinterpret_cast<void*>(static_cast<std::uintptr_t>(index + 1));
  return 0;
}

int nvmlDeviceGetName(void*, char* name, unsigned length) {
  std::snprintf(name, length, "Fake GPU");
  return 0;
}

int nvmlDeviceGetUUID(void* device, char* uuid, unsigned length) {
  std::snprintf(uuid, length, "GPU-%u", static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(device) - 1));
  return 0;
}

int nvmlDeviceGetMemoryInfo(void*, Memory* memory) {
  *memory = {8ull << 30, 8ull << 30, 0};
  return 0;
}
}
