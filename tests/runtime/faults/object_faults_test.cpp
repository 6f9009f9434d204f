// Faults 16, 19 and 20: no room for objects, on disk or in shared memory, and objects of odd sizes.
#include <fstream>
#include <numeric>
#include <random>

#include "tests/runtime/faults/disk.hpp"

namespace manta_test {

namespace {

constexpr std::size_t kMiB = 1 << 20;

/// Numbers that only this seed gives, `mib` MiB of them.
Array<std::uint64_t> numbers(std::uint64_t seed, std::size_t mib) {
  auto [array, place] = Array<std::uint64_t>::allocate(mib * kMiB / sizeof(std::uint64_t));
  std::mt19937_64 random(seed);
  for (auto& each : place) each = random();
  return array;
}
bool is_numbers(const Array<std::uint64_t>& array, std::uint64_t seed, std::size_t mib) { return array == numbers(seed, mib); }
Array<std::uint64_t> nothing() { return {}; }
std::size_t size_of(const Array<std::uint64_t>& array) { return array.size(); }
std::size_t length_of(const std::string& text) { return text.size(); }

/// The options of work whose values go through shared memory in either kind of run.
TaskOptions apart() { return {.isolation = in_processes() ? Isolation::kShared : own_process}; }

RuntimeOptions with_arena(std::size_t mib) {
  auto options = small_machine();
  options.arena_bytes = mib * kMiB;
  return options;
}

using Numbers = ObjectRef<Array<std::uint64_t>>;

}  // namespace

TEST_SUITE("runtime/faults/objects") {
  TEST_CASE("fault 16: when the disk for spilling is full creators hear it, readers do not, and it is over with it") {
    Folder folder;
    SmallDisk disk(folder / "disk", 12);
    if (!disk) return;
    auto options = with_arena(16);
    options.spill_dir = disk / "spill";
    Machine machine(options);
    auto& rt = machine.rt;
    std::vector<Numbers> made;
    Numbers refused;
    for (std::uint64_t i = 0; i < 40 && !refused; ++i) {
      auto ref = rt.task<numbers>(apart()).remote(i, 2);
      rt.wait(std::vector{ref});
      (ref.failed() ? refused : made.emplace_back()) = ref;
    }
    REQUIRE(refused);
    const auto error = error_of<OutOfDisk>([&] { rt.get(refused); });
    CHECK(contains(error.message, "the arena of 16.0 MiB is full"));
    CHECK(contains(error.message, "the driver owns"));
    CHECK(error.cause);
    CHECK(made.size() >= 8);  // both places are full
    for (std::size_t i = 0; i < made.size(); ++i) CHECK(is_numbers(*rt.get_shared(made[i]), i, 2));
    for (std::size_t i = 0; i < made.size(); ++i) CHECK(rt.get(rt.task<is_numbers>(apart()).remote(made[i], i, 2)));
    made.resize(made.size() / 2);
    Numbers again;
    CHECK(eventually([&] { return again = rt.task<numbers>(apart()).remote(99, 2), rt.wait(std::vector{again}), !again.failed(); }, 30s));
    CHECK(is_numbers(*rt.get_shared(again), 99, 2));
    for (std::size_t i = 0; i < made.size(); ++i) CHECK(is_numbers(*rt.get_shared(made[i]), i, 2));
  }

  // No room at the first spill, for the directory or the first file in it, was an IoError, after which nobody tried again.
  TEST_CASE("fault 16: a disk that is full at the first spill is OutOfDisk, and it is over when there is room") {
    Folder folder;
    for (const int inodes : {1, 2}) {  // the root, and the directory
      CAPTURE(inodes);
      SmallDisk disk(folder / std::to_string(inodes), 64, ",nr_inodes=" + std::to_string(inodes));
      if (!disk) return;
      auto options = with_arena(8);
      options.spill_dir = disk / "spill";
      Machine machine(options);
      auto& rt = machine.rt;
      std::vector<Numbers> made;
      Numbers refused;
      for (std::uint64_t i = 0; i < 20 && !refused; ++i) {
        auto ref = rt.task<numbers>(apart()).remote(i, 2);
        rt.wait(std::vector{ref});
        (ref.failed() ? refused : made.emplace_back()) = ref;
      }
      REQUIRE(refused);
      const auto error = error_of<OutOfDisk>([&] { rt.get(refused); });
      CHECK_MESSAGE(contains(error.to_string(), "No space left on device"), error.to_string());
      REQUIRE(::mount("none", (disk / "").c_str(), nullptr, MS_REMOUNT, "size=64m,nr_inodes=1000") == 0);
      Numbers again;
      CHECK(eventually([&] { return again = rt.task<numbers>(apart()).remote(99, 2), rt.wait(std::vector{again}), !again.failed(); }, 30s));
      CHECK(is_numbers(*rt.get_shared(again), 99, 2));
      for (std::size_t i = 0; i < made.size(); ++i) CHECK(is_numbers(*rt.get_shared(made[i]), i, 2));
    }
  }

  TEST_CASE("fault 16: a spill directory that cannot be written is said to creators, and what is there stays readable") {
    Folder folder;
    std::ofstream(folder / "file") << "in the way";
    auto options = with_arena(8);
    options.spill_dir = folder / "file/spill";
    Machine machine(options);
    auto& rt = machine.rt;
    auto first = rt.task<numbers>(apart()).remote(1, 4);
    rt.wait(std::vector{first});
    auto second = rt.task<numbers>(apart()).remote(2, 6);
    const auto error = error_of<ObjectStoreFull>([&] { rt.get(second); });
    CHECK(contains(error.to_string(), "file/spill"));
    CHECK(is_numbers(*rt.get_shared(first), 1, 4));
  }

  TEST_CASE("fault 19: with everything pinned and no files a creator waits its grace, then hears who holds how much; readers get on") {
    Folder folder;
    auto options = with_arena(16);
    options.spill_dir = folder / "spill";
    options.file_fallback = false;
    Machine machine(options);
    auto& rt = machine.rt;
    std::vector<Numbers> refs;
    for (std::uint64_t i = 0; i < 10; ++i) refs.push_back(rt.task<numbers>(apart()).remote(i, 3));  // evicts and spills on its way
    rt.wait(refs, {.count = refs.size()});
    std::vector<std::shared_ptr<const Array<std::uint64_t>>> held;
    for (std::size_t i = 5; i < 10; ++i) held.push_back(rt.get_shared(refs[i]));
    const auto begin = SteadyClock::now();
    auto refused = rt.task<numbers>(apart()).remote(77, 3);
    const auto error = error_of<ObjectStoreFull>([&] { rt.get(refused); });
    CHECK(SteadyClock::now() - begin >= 2s);
    CHECK(contains(error.message, "no room for an object of"));
    CHECK(contains(error.message, "(3.0 MiB, Sealed, 1 pins)"));
    CHECK(contains(error.message, "the driver owns"));
    CHECK(contains(error.message, "and reads 15.0 MiB"));
    CHECK(rt.get(rt.task<is_numbers>(apart()).remote(refs[0], 0, 3)));  // spilled, and the arena is full: beyond the budget
    held.pop_back();
    auto fits = rt.task<numbers>(apart()).remote(78, 3);
    CHECK(is_numbers(*rt.get_shared(fits), 78, 3));
    for (std::size_t i = 0; i < refs.size(); ++i) CHECK(is_numbers(*rt.get_shared(refs[i]), i, 3));
  }

  TEST_CASE("fault 20: no bytes at all are an object; one larger than the arena is refused at once with both numbers where files are off") {
    auto options = with_arena(8);
    options.file_fallback = false;
    Machine machine(options);
    auto& rt = machine.rt;
    CHECK(rt.get(rt.task<size_of>(apart()).remote(rt.task<nothing>(apart()).remote())) == 0);
    CHECK(rt.get(rt.task<length_of>(apart()).remote(rt.put(std::string()))) == 0);
    CHECK(rt.get(rt.task<size_of>(apart()).remote(Array<std::uint64_t>{})) == 0);
    const auto begin = SteadyClock::now();
    const auto made = error_of<InvalidArgument>([&] { rt.get(rt.task<numbers>(apart()).remote(1, 9)); });
    const auto given = error_of<InvalidArgument>([&] { rt.get(rt.task<size_of>(apart()).remote(numbers(1, 9))); });
    CHECK(SteadyClock::now() - begin < 10s);
    for (const auto& error : {made, given}) {
      CHECK(contains(error.message, std::to_string(9 * kMiB + 64)));
      CHECK(contains(error.message, std::to_string(8 * kMiB)));
    }
    const auto largest = numbers(3, 7);
    CHECK(rt.get(rt.task<is_numbers>(apart()).remote(largest, 3, 7)));
  }

  TEST_CASE("75 MiB of arena hold 800 MiB of objects that are read back in any order, by this process and by tasks") {
    Folder folder;
    auto options = with_arena(75);
    options.spill_dir = folder / "spill";
    Machine machine(options);
    auto& rt = machine.rt;
    std::vector<Numbers> refs;
    for (std::uint64_t i = 0; i < 100; ++i) {
      refs.push_back(rt.task<numbers>(apart()).remote(i, 8));
      if (i >= 2) rt.wait(std::vector{refs[i - 2]});  // three at a time
    }
    std::vector<std::size_t> order(refs.size());
    std::iota(order.begin(), order.end(), 0u);
    std::shuffle(order.begin(), order.end(), std::mt19937(3));
    for (std::size_t i = 0; i < order.size(); ++i) {
      const auto index = order[i];
      CAPTURE(index);
      if (i % 10 == 0)
        CHECK(rt.get(rt.task<is_numbers>(apart()).remote(refs[index], index, 8)));
      else
        REQUIRE(is_numbers(*rt.get_shared(refs[index]), index, 8));
    }
  }
}

}  // namespace manta_test
