// Faults 16, 19, 20 and 22 where objects may lie in files: when shared memory is full of what is read, and larger than all of it.
#include <unistd.h>

#include <csignal>
#include <sstream>

#include "tests/runtime/faults/disk.hpp"
#include "tests/runtime/clean.hpp"

namespace manta_test {

namespace {

constexpr std::size_t kMiB = 1 << 20;

using Numbers = Array<std::uint64_t>;

Numbers numbers(std::uint64_t seed, std::size_t mib) {
  auto [array, place] = Numbers::allocate(mib * kMiB / sizeof(std::uint64_t));
  for (std::size_t i = 0; i < place.size(); ++i) place[i] = seed * 1'000'003 + i;
  return array;
}
bool is_numbers(const Numbers& array, std::uint64_t seed, std::size_t mib) { return array == numbers(seed, mib); }
Numbers next_of(const Numbers& array) {
  auto [next, place] = Numbers::allocate(array.size());
  for (std::size_t i = 0; i < place.size(); ++i) place[i] = array[i] + 1'000'003;
  return next;
}

/// The line of /proc/self/maps in which the array lies.
std::string mapping_of(const Numbers& array) {
  const auto wanted = reinterpret_cast<std::uintptr_t>(array.data());
  std::istringstream maps(content("/proc/self/maps"));
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t begin = 0, end = 0;
    char dash = 0;
    std::istringstream(line) >> std::hex >> begin >> dash >> end;
    if (wanted >= begin && wanted < end) return line;
  }
  return {};
}
/// True when the array lies in a file of that folder that has no name, and in pages that this process cannot write.
bool in_file_below(const std::string& mapping, const std::string& folder) {
  return contains(mapping, " r--s ") && contains(mapping, folder + "/") && contains(mapping, "(deleted)");
}
std::size_t size_of(const Numbers& array) { return array.size(); }
std::string see_mapping(const Numbers& array) { return mapping_of(array); }
int scribble(const Numbers& array) { return *const_cast<std::uint64_t*>(array.data()) = 1, 0; }
int die_reading(const Numbers& array) { return array.size() ? ::raise(SIGKILL) : 0; }

class Keeper {
 public:
  Numbers make(std::uint64_t seed, std::size_t mib) { return numbers(seed, mib); }
  bool take(const Numbers& array, std::uint64_t seed, std::size_t mib) {
    kept_ = array;
    return is_numbers(array, seed, mib);
  }
  Numbers give() { return kept_; }
  int put(Context& ctx, std::uint64_t seed, std::size_t mib) {
    own_ = ctx.put(numbers(seed, mib));
    return ::getpid();
  }
  bool lend(Context& ctx) { return ctx.get(ctx.task<is_numbers>({.isolation = own_process}).remote(own_, 5, 9)); }

 private:
  Numbers kept_;
  ObjectRef<Numbers> own_;
};

/// Kills its process while it is written into its place.
struct Bomb {
  template <class Archive>
  void save(Archive& archive) const {
    static int passes = 0;
    archive(numbers(1, 20));
    if (++passes == 2) ::raise(SIGKILL);  // the first one only counts
  }
  template <class Archive>
  void load(Archive&) {}
};
Bomb die_writing(int) { return {}; }

TaskOptions apart() { return {.isolation = in_processes() ? Isolation::kShared : own_process}; }
TaskOptions alone() { return {.max_retries = 0, .isolation = own_process}; }

RuntimeOptions with_arena(std::size_t mib, const std::string& spill_dir) {
  auto options = small_machine();
  options.arena_bytes = mib * kMiB;
  options.spill_dir = spill_dir;
  return options;
}

/// Of this process, below a folder; those of files that have no name any more, too.
std::size_t open_below(const std::string& folder) {
  std::size_t count = 0;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/proc/self/fd"))
    count += fs::read_symlink(entry.path(), ignored).string().starts_with(folder + "/");
  return count;
}

}  // namespace

/// A driver with objects in files: one that it owns and one that its actor owns, both read by a task that does not end.
int run_hold_files(const std::string& dir) {
  auto rt = Runtime::start(with_arena(8, dir));
  auto mine = rt.put(numbers(1, 20));
  auto actor = rt.actor<Keeper>({.isolation = own_process}).spawn();
  const auto pids = dir + ".pids";
  append(pids, std::to_string(rt.get(actor.call<&Keeper::put>(5, 9))) + "\n");
  rt.get(rt.task<[](const Numbers& array, const std::string& file) {
    append(file, std::to_string(::getpid()) + "\nall\n");
    while (array.size()) ::pause();
    return 0;
  }>({.isolation = own_process}).remote(mine, pids));
  return 0;
}

TEST_SUITE("runtime/faults/objects") {
  TEST_CASE("fault 19: with everything pinned a creator waits its grace, then its value lies in a file and is read like any other") {
    Folder folder;
    const std::string spill = folder / "spill";
    {
      Machine machine(with_arena(16, spill));
      auto& rt = machine.rt;
      std::vector<ObjectRef<Numbers>> refs;
      std::vector<std::shared_ptr<const Numbers>> held;
      for (std::uint64_t i = 0; i < 5; ++i) {
        refs.push_back(rt.task<numbers>(apart()).remote(i, 3));
        held.push_back(rt.get_shared(refs.back()));
      }
      const auto begin = SteadyClock::now();
      auto first = rt.task<numbers>(apart()).remote(77, 3);
      rt.wait(std::vector{first});
      CHECK(SteadyClock::now() - begin >= 2s);
      CHECK(rt.stats().file_bytes >= 3 * kMiB);
      std::vector<ObjectRef<Numbers>> more;  // nobody let go meanwhile: these do not wait
      for (std::uint64_t i = 0; i < 8; ++i) more.push_back(rt.task<numbers>(apart()).remote(100 + i, 3));
      for (std::uint64_t i = 0; i < 8; ++i) CHECK(is_numbers(*rt.get_shared(more[i]), 100 + i, 3));
      const auto read = rt.get_shared(first);
      CHECK(is_numbers(*read, 77, 3));
      const auto seen = rt.get(rt.task<see_mapping>(apart()).remote(first));
      CHECK_MESSAGE(in_file_below(seen, spill), seen);
      CHECK_THROWS_AS(rt.get(rt.task<scribble>(alone()).remote(first)), WorkerCrashed);
      CHECK(is_numbers(*read, 77, 3));
      for (std::uint64_t i = 0; i < 5; ++i) CHECK(is_numbers(*held[i], i, 3));
      held.clear();
      CHECK(eventually([&] {
        auto again = rt.task<numbers>(apart()).remote(78, 3);
        rt.wait(std::vector{again});
        return !in_file_below(rt.get(rt.task<see_mapping>(apart()).remote(again)), spill);
      }));
    }
    CHECK(open_below(spill) == 0);
    CHECK_FALSE(fs::exists(spill));
  }

  TEST_CASE("fault 20: a value larger than the arena is a result, an argument, an actor's state and a put, and is read in place") {
    Folder folder;
    const std::string spill = folder / "spill";
    {
      Machine machine(with_arena(8, spill));
      auto& rt = machine.rt;
      auto made = rt.task<numbers>(apart()).remote(1, 20);
      CHECK(is_numbers(*rt.get_shared(made), 1, 20));
      CHECK(rt.get(rt.task<is_numbers>(apart()).remote(made, 1, 20)));
      auto next = rt.task<next_of>(apart()).remote(rt.task<next_of>(apart()).remote(made));
      CHECK(rt.get(rt.task<is_numbers>(apart()).remote(next, 3, 20)));
      CHECK(rt.get(rt.task<is_numbers>(apart()).remote(numbers(4, 11), 4, 11)));  // by value
      auto put = rt.put(numbers(6, 30));
      CHECK(rt.get(rt.task<is_numbers>(apart()).remote(put, 6, 30)));
      const auto seen = rt.get(rt.task<see_mapping>(apart()).remote(put));
      CHECK_MESSAGE(in_file_below(seen, spill), seen);
      auto actor = rt.actor<Keeper>({.isolation = apart().isolation}).spawn();
      auto given = actor.call<&Keeper::make>(8, 12);
      CHECK(rt.get(actor.call<&Keeper::take>(given, 8, 12)));
      CHECK(is_numbers(rt.get(actor.call<&Keeper::give>()), 8, 12));
      rt.get(actor.call<&Keeper::put>(5, 9));
      CHECK(rt.get(actor.call<&Keeper::lend>()));
      CHECK(rt.stats().file_bytes >= 12 * kMiB);
      CHECK(rt.stats().arena_bytes <= kMiB);
      CHECK(rt.stats().spilled_objects == 0);
      made = put = next = {};
      const auto most = rt.stats().file_bytes;
      CHECK(eventually([&] { return rt.stats().file_bytes < 60 * kMiB; }));
      CHECK(most >= rt.stats().file_bytes);
      CHECK(fs::is_empty(spill));
    }
    CHECK(open_below(spill) == 0);
    CHECK_FALSE(fs::exists(spill));
  }

  TEST_CASE("fault 20: durable objects larger than the arena are put by tasks and found by another program") {
    Folder folder;
    auto options = with_arena(4, folder / "spill");
    options.durable_dir = folder / "durable";
    for (int program = 0; program < 2; ++program) {
      Machine machine(options);
      auto& rt = machine.rt;
      if (program == 0)
        CHECK(rt.get(rt.task<[](Context& ctx) {
          ctx.put(numbers(9, 10), {.durable_name = "large"});
          return 1;
        }>(apart()).remote()) == 1);
      CHECK(rt.get(rt.task<is_numbers>(apart()).remote(rt.find_durable<Numbers>("large"), 9, 10)));
    }
  }

  TEST_CASE("fault 16: a file for which the disk has no space is OutOfDisk to its creator; the next that fits is made") {
    Folder folder;
    SmallDisk disk(folder / "disk", 24);
    if (!disk) return;
    Machine machine(with_arena(4, disk / "spill"));
    auto& rt = machine.rt;
    auto fits = rt.task<numbers>(apart()).remote(1, 14);
    CHECK(is_numbers(*rt.get_shared(fits), 1, 14));
    auto made = rt.task<numbers>(apart()).remote(2, 14);
    for (const auto& error : {error_of<OutOfDisk>([&] { rt.get(made); }),
                              error_of<OutOfDisk>([&] { rt.get(rt.task<size_of>(apart()).remote(numbers(2, 14))); })}) {
      CHECK(contains(error.message, std::to_string(14 * kMiB + 64)));
      CHECK(contains(error.message, std::to_string(4 * kMiB)));
      CHECK(contains(error.message, disk / "spill"));
    }
    CHECK(rt.get(rt.task<is_numbers>(apart()).remote(fits, 1, 14)));
    fits = {};
    CHECK(eventually([&] {
      auto again = rt.task<numbers>(apart()).remote(3, 14);
      rt.wait(std::vector{again});
      return !again.failed() && is_numbers(*rt.get_shared(again), 3, 14);
    }));
  }

  TEST_CASE("fault 22: processes that are killed writing, reading or owning what lies in files leave neither file nor space") {
    Folder folder;
    const std::string spill = folder / "spill";
    {
      Machine machine(with_arena(8, spill));
      auto& rt = machine.rt;
      auto ref = rt.task<numbers>(alone()).remote(1, 20);
      rt.wait(std::vector{ref});
      const auto before = rt.stats().file_bytes;
      CHECK(before >= 20 * kMiB);
      for (int round = 0; round < 3; ++round) {
        auto reader = rt.task<die_reading>(alone()).remote(ref);
        auto writer = rt.task<die_writing>(alone()).remote(0);
        auto owner = rt.actor<Keeper>({.isolation = own_process}).spawn();
        ::kill(rt.get(owner.call<&Keeper::put>(5, 9)), SIGKILL);
        CHECK_THROWS_AS(rt.get(owner.call<&Keeper::lend>()), Error);
        CHECK_THROWS_AS(rt.get(reader), WorkerCrashed);
        CHECK_THROWS_AS(rt.get_shared(writer), WorkerCrashed);
      }
      CHECK(eventually([&] { return rt.stats().file_bytes == before && rt.stats().pinned_objects == 0; }));
      CHECK(is_numbers(*rt.get_shared(ref), 1, 20));
      CHECK(fs::is_empty(spill));
    }
    CHECK(open_below(spill) == 0);
  }

  TEST_CASE("fault 5: a driver that is killed leaves no file of its own nor of its workers") {
    const Clean clean;
    Folder folder;
    const std::string spill = folder / "spill";
    SubProgram driver("hold-files", {spill});
    REQUIRE(eventually([&] { return contains(content(spill + ".pids"), "all\n"); }));
    int actor = 0, task = 0;
    std::istringstream(content(spill + ".pids")) >> actor >> task;
    REQUIRE(alive(task));
    CHECK(fs::is_empty(spill));
    ::kill(driver.pid, SIGKILL);
    driver.wait();
    CHECK(eventually([&] { return !alive(actor) && !alive(task); }));
    CHECK(fs::is_empty(spill));
  }
}

}  // namespace manta_test
