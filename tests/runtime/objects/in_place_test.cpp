// Numbers and messages are read by every process in the same pages, which none of them can write.
#include <fcntl.h>
#include <unistd.h>

#include <numeric>

#include "runtime/wire/capnp_codec.hpp"
#include "tests/runtime/objects/place.hpp"
#include "tests/runtime/objects/route.capnp.h"

// AddressSanitizer would report the write that a test makes on purpose, and exit instead of dying of the signal.
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() { return "handle_segv=0"; }

namespace manta_test {

namespace {

using RouteMessage = CapnpMessage<Route>;
constexpr std::size_t kCount = 100'000;

/// The physical page behind an address; 0 for those who may not know it.
std::uint64_t page_frame(const void* address) {
  const int fd = ::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  std::uint64_t entry = 0;
  const auto page = reinterpret_cast<std::uintptr_t>(address) / static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const bool read = ::pread(fd, &entry, sizeof entry, static_cast<off_t>(page * sizeof entry)) == sizeof entry;
  ::close(fd);
  return read ? entry & ((std::uint64_t{1} << 55) - 1) : 0;
}

Array<double> ramp() {
  auto [array, numbers] = Array<double>::allocate(kCount);
  std::iota(numbers.begin(), numbers.end(), 0.0);
  return array;
}
RouteMessage route() {
  return RouteMessage::build([](Route::Builder r) {
    r.setName("there");
    auto points = r.initPoints(kCount);
    for (unsigned i = 0; i < kCount; ++i) points.set(i, i * 0.5);
  });
}

struct Named {
  std::string name;
  Array<double> numbers;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(name, numbers);
  }
};

/// What a task sees: the sum of the numbers, and where the first one lies.
using Seen = std::pair<double, Place>;
Seen see_array(const Array<double>& a, const std::string& gate) {
  pass(gate, 0);
  return {std::accumulate(a.begin(), a.end(), 0.0), place_of(a.data())};
}
Seen see_named(const Named& named, const std::string& gate) { return see_array(named.numbers, gate); }
Seen see_route(const RouteMessage& message, const std::string& gate) {
  pass(gate, 0);
  auto reading = message.read();
  double sum = 0;
  for (double each : reading.root().getPoints()) sum += each;
  return {sum, place_of(reading.root().getName().begin())};
}
int scribble(const Array<double>& a) { return *const_cast<double*>(a.data()) = 1, 0; }

const double kSum = static_cast<double>(kCount) * (kCount - 1) / 2;

template <auto See, class T>
void check_in_place(const T& value, double sum) {
  Machine machine;
  auto& rt = machine.rt;
  Gate gate;
  auto ref = rt.put(value);
  std::vector<ObjectRef<Seen>> refs;
  for (int i = 0; i < 3; ++i) refs.push_back(rt.template task<See>({.isolation = own_process}).remote(ref, gate.path()));
  gate.open();
  const auto seen = rt.get(refs);
  CHECK(seen[0].second.pid != seen[1].second.pid);
  for (const auto& [total, place] : seen) {
    CHECK(total == sum);
    CHECK(contains(place.path, "memfd"));
    CHECK(place.permissions.substr(0, 3) == "r--");
    CHECK(place.same_memory_as(seen[0].second));
  }
}

}  // namespace

Place place_of(const void* address) {
  Place place;
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  std::istringstream maps(content("/proc/self/maps"));
  for (std::string line; std::getline(maps, line);) {
    std::istringstream in(line);
    std::uintptr_t begin = 0, end = 0;
    std::uint64_t offset = 0;
    char dash = 0;
    in >> std::hex >> begin >> dash >> end >> place.permissions >> offset >> place.device >> std::dec >> place.inode >> place.path;
    if (wanted < begin || wanted >= end) continue;
    place.file_offset = offset + (wanted - begin);
    place.frame = page_frame(address);
    place.pid = ::getpid();
    return place;
  }
  return {};
}

TEST_SUITE("runtime/objects/in_place") {
  TEST_CASE("an array of numbers lies in the same read-only page in every process") { check_in_place<see_array>(ramp(), kSum); }

  TEST_CASE("so does an array inside another value") { check_in_place<see_named>(Named{"ramp", ramp()}, kSum); }

  TEST_CASE("so does a Cap'n Proto message") { check_in_place<see_route>(route(), kSum / 2); }

  TEST_CASE("a task that writes to a shared array crashes with signal 11, and the numbers stay") {
    Machine machine;
    auto& rt = machine.rt;
    auto ref = rt.put(ramp());
    const auto error = error_of<WorkerCrashed>(
        [&] { rt.get(rt.task<scribble>({.max_retries = 0, .isolation = own_process, .echo_output = false}).remote(ref)); });
    CHECK(contains(error.message, "signal 11"));
    Gate gate;
    gate.open();
    CHECK(rt.get(rt.task<see_array>({.isolation = own_process}).remote(ref, gate.path())).first == kSum);
  }

  // The process that put a large value kept it in its own memory beside the arena: 800 MiB that had been put and spilled
  // were 800 MiB in memory all the same.
  TEST_CASE("what was put lies in shared memory alone where workers are processes, also for the process that put it") {
    Machine machine;
    auto& rt = machine.rt;
    auto ref = rt.put(ramp());
    const auto value = rt.get_shared(ref);
    const auto place = place_of(value->data());
    CHECK(contains(place.path, "memfd") == in_processes());
    if (in_processes()) CHECK(place.permissions.substr(0, 3) == "r--");  // nor can the process that put it write there any more
    CHECK(std::accumulate(value->begin(), value->end(), 0.0) == kSum);
    CHECK(rt.get(rt.put(7)) == 7);
  }

  TEST_CASE("results are read in place too: what a task made is not copied by whoever gets it") {
    Machine machine;
    auto& rt = machine.rt;
    Gate gate;
    gate.open();
    auto made = rt.task<ramp>({.isolation = own_process}).remote();
    const auto here = place_of(rt.get_shared(made)->data());
    const auto there = rt.get(rt.task<see_array>({.isolation = own_process}).remote(made, gate.path())).second;
    CHECK(contains(here.path, "memfd"));
    CHECK(here.same_memory_as(there));
  }
}

}  // namespace manta_test
