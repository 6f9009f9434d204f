// What the object store does: arrays that every process reads in place, more objects than memory, objects that outlive the
// program.
//
//   objects --workers=process                        shared memory between the driver and its workers
//   objects --workers=process --arena-mib=32         64 MiB of objects in 32 MiB: the rest lies on disk
//   objects --durable-dir=DIR                        run it twice: the second run finds what the first one kept
#include <cstdio>
#include <numeric>
#include <string>
#include <vector>

#include "runtime/runtime.hpp"

constexpr std::size_t kNumbers = std::size_t{1} << 20;  // 4 MiB of float

manta::Array<float> ramp(int first) {
  auto [array, place] = manta::Array<float>::allocate(kNumbers);
  std::iota(place.begin(), place.end(), static_cast<float>(first));
  return array;
}

/// Reads the pages that ramp wrote, in whichever process that was: nothing is copied.
double mean(const manta::Array<float>& numbers) {
  double sum = 0;
  for (float x : numbers) sum += x;
  return sum / static_cast<double>(numbers.size());
}

int main(int argc, char** argv) try {
  manta::Runtime rt = manta::Runtime::start(argc, argv);
  if (argc > 1) throw manta::InvalidArgument("unknown flag " + std::string(argv[1]) + "; there are:\n" + manta::Runtime::flags_help());

  {
    std::vector<manta::ObjectRef<manta::Array<float>>> arrays;
    for (int i = 0; i < 16; ++i) arrays.push_back(rt.remote<ramp>(i));
    std::vector<manta::ObjectRef<double>> means;
    for (const auto& array : arrays) means.push_back(rt.remote<mean>(array));
    double sum = 0;
    for (double each : rt.get(means)) sum += each;
    const auto stats = rt.stats();
    std::printf("mean of the means %.1f; %zu objects in the store, %llu MiB in memory, %zu on disk\n", sum / 16, stats.stored_objects,
                static_cast<unsigned long long>(stats.arena_bytes >> 20), stats.spilled_objects);

    const auto view = rt.get_shared(arrays[15]);  // no copy here either; back from disk if it was there
    std::printf("the last array begins with %.0f\n", static_cast<double>((*view)[0]));
  }  // the last refs go, and their memory with them

  int runs = 0;
  try {
    runs = rt.get(rt.find_durable<int>("examples/objects/runs"));
  } catch (const manta::NotFound&) {  // the first run
  }
  rt.put(runs + 1, {.durable_name = "examples/objects/runs"});  // synced when put returns; takes the place of the old one
  std::printf("runs so far, this one with them: %d\n", runs + 1);
  return 0;
} catch (const manta::Error& e) {
  std::fprintf(stderr, "objects: %s\n", e.what());
  return 1;
}
