// Objects whose only copy is lost: made again by running what made them, or ObjectLost with the reason.
#include <algorithm>
#include <fstream>
#include <set>

#include "support.hpp"

namespace manta_test {
namespace {

constexpr std::size_t kMiB = 1 << 20;

Buffer filled(std::size_t size, int value) { return Buffer::copy(std::vector<std::byte>(size, static_cast<std::byte>(value))); }
int value_of(const Buffer& buffer) {
  const bool even = std::all_of(buffer.bytes().begin(), buffer.bytes().end(), [&](std::byte b) { return b == buffer.data()[0]; });
  return even ? std::to_integer<int>(buffer.data()[0]) : -1;
}
Buffer first(const std::string& runs, int value) {
  append(runs, ".");
  return filled(kMiB, value);
}
Buffer next(const std::string& runs, const Buffer& before) {
  append(runs, ".");
  return filled(kMiB, value_of(before) + 1);
}
Buffer join(const std::string& runs, const Buffer& left, const Buffer& right) {
  append(runs, ".");
  return filled(kMiB, value_of(left) + value_of(right));
}

struct Maker {
  Buffer make(int value) { return filled(kMiB, value); }
};
struct Reader {
  int calls = 0;
  int read(const Buffer& buffer) { return 100 * ++calls + value_of(buffer); }
};
/// Refs inside a value, read where they are borrowed.
std::vector<int> read_all(Context& ctx, const std::vector<ObjectRef<Buffer>>& refs) {
  std::vector<int> values;
  for (const auto& ref : refs) values.push_back(value_of(ctx.get(ref)));
  return values;
}
std::string why_lost(Context& ctx, const std::vector<ObjectRef<Buffer>>& refs) {
  const auto result = ctx.try_get(refs.at(0));
  return result.ok() ? "not lost" : result.error().to_string();
}

/// A machine with a spill folder that can be damaged, and a count of runs.
struct Place {
  static RuntimeOptions options(const Folder& folder, std::uint64_t lineage_bytes) {
    auto options = small_machine();
    options.spill_dir = folder / "spill";
    options.lineage_bytes = lineage_bytes;
    return options;
  }
  explicit Place(std::uint64_t lineage_bytes = std::uint64_t{1} << 30) : machine(options(folder, lineage_bytes)) {}

  template <auto F, class... Args>
  ObjectRef<Buffer> run(int max_retries, const Args&... args) {  // where a result must be stored
    TaskOptions options{.max_retries = max_retries};
    if (!in_processes()) options.isolation = own_process;
    return machine.rt.task<F>(options).remote(args...);
  }
  std::size_t runs() const { return content(file).size(); }
  /// Sends what is there to disk and damages it.
  void lose_all() {
    auto& rt = machine.rt;
    const auto there = rt.stats().stored_objects;
    {
      std::vector<ObjectRef<Buffer>> others;
      for (int i = 0; i < 14; ++i) others.push_back(machine.rt.task<filled>({.isolation = own_process}).remote(6 * kMiB, i));
      rt.wait(others, {.count = others.size()});
      CHECK(eventually([&] { return rt.stats().spilled_objects >= there; }));
    }
    CHECK(eventually([&] { return rt.stats().stored_objects <= there; }));  // fewer: ancestors that were just going
    // What is left of an epoch that others left may just be written to another file: until a look finds none that is new.
    std::set<fs::path> seen;
    for (int quiet = 0; quiet < 5; std::this_thread::sleep_for(20ms)) quiet = damage_new(seen) ? 0 : quiet + 1;
  }
  /// Damages the files that are not in `seen` yet; false when there were none.
  bool damage_new(std::set<fs::path>& seen) const {
    bool any = false;
    for (const auto& each : fs::recursive_directory_iterator(folder / "spill")) {
      std::error_code gone;
      const auto size = static_cast<std::streamoff>(fs::file_size(each.path(), gone));
      const auto name = each.path().filename().string();  // "load-…": being written, and checked by an assertion of RocksDB's
      if (gone || each.path().extension() != ".sst" || name.starts_with("load-") || !seen.insert(each.path()).second) continue;
      any = true;
      std::fstream damaged(each.path(), std::ios::in | std::ios::out | std::ios::binary);
      for (std::streamoff at = 4096; at < size - 65536; at += 65536) damaged.seekp(at).write("damage", 6);
    }
    return any;
  }

  Folder folder{};
  const std::string file = folder / "runs";
  Machine machine;
};

}  // namespace

TEST_SUITE("runtime/api/lineage") {
  TEST_CASE("fault 15: a result whose spilled copy is damaged is made again, for whoever asks") {
    const Clean clean;
    Place place;
    auto& rt = place.machine.rt;
    auto one = place.run<first>(3, place.file, 7), two = place.run<first>(3, place.file, 8);
    rt.wait(std::vector{one, two}, {.count = 2});
    place.lose_all();
    CHECK(value_of(rt.get(one)) == 7);
    CHECK(rt.get(rt.task<value_of>({.isolation = own_process}).remote(two)) == 8);  // found out where it is read
    CHECK(place.runs() == 4);
    CHECK(value_of(rt.get(two)) == 8);
    CHECK(rt.get(rt.task<value_of>({.isolation = own_process}).remote(one)) == 7);
    CHECK(place.runs() == 4);
  }

  TEST_CASE("an argument of an actor's call that is lost is made again, and the call runs once") {
    Place place;
    auto& rt = place.machine.rt;
    auto reader = rt.actor<Reader>({.isolation = own_process}).spawn();
    auto one = place.run<first>(3, place.file, 7);
    rt.wait(std::vector{one});
    place.lose_all();
    CHECK(rt.get(reader.call<&Reader::read>(one), 60s) == 107);
    CHECK(rt.get(reader.call<&Reader::read>(one), 60s) == 207);
    CHECK(place.runs() == 2);
  }

  TEST_CASE("a ref in another process to a lost result has its owner make it again; to a lost value it says why not") {
    Place place;
    auto& rt = place.machine.rt;
    const TaskOptions alone{.isolation = own_process};
    std::vector refs{place.run<first>(3, place.file, 7), place.run<first>(3, place.file, 8)};
    rt.wait(refs, {.count = 2});
    place.lose_all();
    CHECK(rt.get(rt.task<read_all>(alone).remote(refs), 60s) == std::vector{7, 8});
    CHECK(place.runs() == 4);
    CHECK(rt.get(rt.task<read_all>(alone).remote(refs), 60s) == std::vector{7, 8});
    CHECK(place.runs() == 4);
    CHECK(value_of(rt.get(refs[0])) == 7);
    refs.clear();
    auto maker = rt.actor<Maker>({.isolation = own_process}).spawn();  // a result of a call has no lineage
    std::vector lost{maker.call<&Maker::make>(9)};
    rt.wait(lost, {.count = 1});
    place.lose_all();
    const auto why = rt.get(rt.task<why_lost>(alone).remote(lost), 60s);
    CHECK_MESSAGE(contains(why, "ObjectLost"), why);
    CHECK_MESSAGE(contains(why, "cannot be made again"), why);
  }

  TEST_CASE("a chain of twenty is made again from its beginning, though only its end is left") {
    Place place;
    auto& rt = place.machine.rt;
    auto end = place.run<first>(3, place.file, 1);
    for (int i = 0; i < 19; ++i) end = place.run<next>(3, place.file, end);
    rt.wait(std::vector{end});
    CHECK(eventually([&] { return rt.stats().stored_objects == 1; }));  // the others are gone at once
    place.lose_all();
    CHECK(value_of(rt.get(end)) == 20);
    CHECK(place.runs() == 40);
    CHECK(eventually([&] { return rt.stats().stored_objects == 1; }));
    end = {};
    CHECK(eventually([&] { return rt.stats().lineage_bytes == 0; }));
  }

  TEST_CASE("an ancestor that two share is made again once") {
    Place place;
    auto& rt = place.machine.rt;
    auto root = place.run<first>(3, place.file, 1);
    auto end = place.run<join>(3, place.file, place.run<next>(3, place.file, root), place.run<next>(3, place.file, root));
    root = {};
    rt.wait(std::vector{end});
    place.lose_all();
    CHECK(value_of(rt.get(end)) == 4);
    CHECK(place.runs() == 8);
  }

  TEST_CASE("what an actor made, may not run again, or has no lineage left says ObjectLost and why") {
    for (const bool remembered : {true, false}) {
      Place place(remembered ? std::uint64_t{1} << 30 : 0);
      auto& rt = place.machine.rt;
      auto once = place.run<first>(0, place.file, 1), often = place.run<first>(3, place.file, 1);
      rt.wait(std::vector{once, often}, {.count = 2});
      place.lose_all();
      if (remembered) {
        CHECK(contains(error_of<ObjectLost>([&] { rt.get(once); }).message, "max_retries"));
        const auto lost = rt.task<value_of>({.isolation = own_process}).remote(once);
        CHECK(contains(error_of<ObjectLost>([&] { rt.get(lost); }).message, "max_retries"));
        CHECK(value_of(rt.get(often)) == 1);
      } else {
        CHECK(contains(error_of<ObjectLost>([&] { rt.get(often); }).message, "lineage_bytes"));
      }
    }
    Place place;
    auto& rt = place.machine.rt;
    auto made = rt.actor<Maker>({.isolation = own_process}).spawn().call<&Maker::make>(3);
    rt.wait(std::vector{made});
    place.lose_all();
    CHECK(contains(error_of<ObjectLost>([&] { rt.get(made); }).message, "corrupt"));
  }

  TEST_CASE("a value that is in memory too survives the loss of its copy in the store; one that was put there says ObjectLost") {
    Place place;
    auto& rt = place.machine.rt;
    auto put = rt.put(filled(kMiB, 3));
    CHECK(rt.get(rt.task<value_of>({.isolation = own_process}).remote(put)) == 3);
    place.lose_all();
    if (in_processes()) {  // where workers are processes, what was put lies in the store alone
      CHECK(contains(error_of<ObjectLost>([&] { rt.get(put); }).message, "corrupt"));
      return;
    }
    CHECK(rt.get(rt.task<value_of>({.isolation = own_process}).remote(put)) == 3);
    CHECK(value_of(rt.get(put)) == 3);
  }
}

}  // namespace manta_test
