// Faults of the object store: who reads and who writes dies, or what is read is freed.
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "../api/support.hpp"

namespace manta_test {
namespace {

constexpr std::size_t kMiB = 1 << 20;

Buffer filled(std::size_t size, int value) { return Buffer::copy(std::vector<std::byte>(size, static_cast<std::byte>(value))); }
bool all_are(const Buffer& buffer, int value) {
  return std::all_of(buffer.bytes().begin(), buffer.bytes().end(), [&](std::byte b) { return b == static_cast<std::byte>(value); });
}
int die_reading(const Buffer& buffer) { return buffer.size() ? ::raise(SIGKILL) : 0; }

/// Kills its process while it is written into the arena.
struct Bomb {
  template <class Archive>
  void save(Archive& archive) const {
    static int passes = 0;
    archive(filled(kMiB, 1));
    if (++passes == 2) ::raise(SIGKILL);  // the first one only counts
  }
  template <class Archive>
  void load(Archive&) {}
};
Bomb die_writing(int) { return {}; }

}  // namespace

TEST_SUITE("runtime/faults/objects") {
  TEST_CASE("fault 21: what is read in place stays, though it is freed and its room is wanted") {
    Machine machine;
    auto& rt = machine.rt;
    auto ref = rt.task<filled>({.isolation = own_process}).remote(6 * kMiB, 9);
    const auto read = rt.get(ref);
    ref = {};
    std::vector<ObjectRef<Buffer>> others;
    for (int i = 0; i < 14; ++i) others.push_back(rt.task<filled>({.isolation = own_process}).remote(6 * kMiB, i));
    for (int i = 0; i < 14; ++i) CHECK(all_are(*rt.get_shared(others[static_cast<std::size_t>(i)]), i));
    CHECK(rt.stats().spilled_objects > 0);
    CHECK(all_are(read, 9));
    CHECK(rt.stats().pinned_objects >= 1);
  }

  TEST_CASE("fault 22: processes that die writing or reading objects leave nothing in the arena") {
    Machine machine;
    auto& rt = machine.rt;
    auto ref = rt.task<filled>({.isolation = own_process}).remote(kMiB, 1);
    rt.wait(std::vector{ref});
    const auto before = rt.stats();
    CHECK(before.stored_objects == 1);
    for (int round = 0; round < 6; ++round) {
      std::vector<ObjectRef<int>> readers;
      std::vector<ObjectRef<Bomb>> writers;
      for (int i = 0; i < 2; ++i) {
        readers.push_back(rt.task<die_reading>({.max_retries = 0, .isolation = own_process}).remote(ref));
        writers.push_back(rt.task<die_writing>({.max_retries = 0, .isolation = own_process}).remote(0));
      }
      for (auto& each : readers) CHECK_THROWS_AS(rt.get(each), WorkerCrashed);
      for (auto& each : writers) CHECK_THROWS_AS(rt.get_shared(each), WorkerCrashed);
    }
    CHECK(eventually([&] {
      const auto now = rt.stats();
      return now.stored_objects == 1 && now.pinned_objects == 0 && now.arena_bytes == before.arena_bytes;
    }));
    CHECK(all_are(rt.get(ref), 1));
  }
}

}  // namespace manta_test
