// A full disk under the durable objects: what is there can be read and removed, and removing gives the space back. The story: with
// no room left even the note that a value is removed found none, so that the one thing that helps was refused.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mount.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <thread>

#include "runtime/store/disk_reserve.hpp"
#include "runtime/store/durable_store.hpp"
#include "runtime/store/rocksdb_store.hpp"
#include "tests/runtime/store/store_fixtures.hpp"

using namespace manta;
using namespace manta::test;

namespace {

constexpr std::size_t kMiB = 1 << 20;
constexpr std::size_t kValue = 1 * kMiB + 77;

/// A file system of 40 MiB or so; not there when mounting is not permitted.
class SmallDisk {
 public:
  explicit SmallDisk(const char* size = "size=40m") {
    mounted_ = ::mount("none", directory_.path().c_str(), "tmpfs", 0, size) == 0;
    if (!mounted_) MESSAGE("skipped: mounting a small tmpfs is not permitted here");
  }
  ~SmallDisk() {
    if (mounted_) ::umount2(directory_.path().c_str(), MNT_DETACH);
  }
  explicit operator bool() const noexcept { return mounted_; }
  std::string operator/(const std::string& name) const { return directory_ / name; }
  std::string path() const { return directory_.path(); }
  /// Takes the space that is left, to the last page.
  void fill(const std::string& name) const {
    const int fd = ::open((*this / name).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    const std::vector<std::byte> zeros(64 * 1024);
    for (std::size_t size = zeros.size(); size;)
      if (::write(fd, zeros.data(), size) <= 0) size = size > 4096 ? 4096 : 0;
    ::close(fd);
  }

 private:
  TemporaryDirectory directory_;
  bool mounted_{};
};

#ifdef MANTA_SANITIZED
constexpr std::chrono::minutes kLimit{5};
#else
constexpr std::chrono::minutes kLimit{1};
#endif

/// Ends the program when the work does not: what waits for ever cannot be ended otherwise.
void within_the_limit(std::function<void()> work) {
  std::packaged_task<void()> task(std::move(work));
  auto done = task.get_future();
  std::thread thread(std::move(task));
  if (done.wait_for(kLimit) != std::future_status::ready) {
    std::fputs("still not done after some minutes\n", stderr);
    std::_Exit(1);
  }
  thread.join();
  done.get();
}

std::string name_of(std::size_t i) { return "v" + std::to_string(100 + i); }

/// Puts until the disk is full; how many there are.
std::size_t fill_with_values(DurableStore& store) {
  for (std::size_t i = 0;; ++i) {
    REQUIRE(i < 100);
    const auto put = store.put(name_of(i), "t", pattern(i, kValue));
    if (put) continue;
    CHECK(put.error().code == ErrorCode::kOutOfDisk);
    return i;
  }
}

void check_whole(const DurableStore& store, std::size_t first, std::size_t end) {
  CHECK(store.list("v").value().size() == end - first);
  for (auto i = first; i < end; ++i) REQUIRE(equal(store.get(name_of(i)).value().bytes, pattern(i, kValue)));
}

/// Removes one after another, for ever putting what it can in between; "ready" once the disk is full.
const RegisterChild remover("remove-on-full-disk", [](const std::string& path, const std::function<void()>& ready) {
  auto store = DurableStore::open(path).value();
  std::size_t count = 0;
  while (store->put(name_of(count), "t", pattern(count, kValue))) ++count;
  std::thread([&ready] { ready(); }).detach();
  for (std::size_t round = 0;; ++round) {
    store->remove(name_of(round % count)).value();
    while (!store->put(name_of(round % count), "t", pattern(round % count, kValue))) std::this_thread::yield();
  }
});

}  // namespace

TEST_SUITE("runtime/store") {
  TEST_CASE("a value is removed from a disk without a free page, the others stay whole, and what it took can be used again") {
    SmallDisk disk;
    if (!disk) return;
    const auto store = DurableStore::open(disk / "d").value();
    const auto count = fill_with_values(*store);
    REQUIRE(count > 12);
    disk.fill("filler");
    CHECK(free_disk_bytes(disk.path()) < 4096);
    std::size_t removed = 0;
    for (; removed < 6; ++removed) {
      CAPTURE(removed);
      const auto result = store->remove(name_of(removed));
      REQUIRE_MESSAGE(result.ok(), result.error().message);
      disk.fill("filler" + std::to_string(removed));  // somebody else takes what it gave back
    }
    check_whole(*store, removed, count);
    CHECK(store->put("new", "t", pattern(1, kValue)).error().code == ErrorCode::kOutOfDisk);
    for (std::size_t i = 0; i < removed; ++i) std::filesystem::remove(disk / ("filler" + std::to_string(i)));
    for (std::size_t i = 0; i < 3; ++i) {
      const auto put = store->put(name_of(i), "t", pattern(i, kValue));
      CHECK_MESSAGE(put.ok(), put.error().message);
    }
    CHECK(store->remove("none").error().code == ErrorCode::kNotFound);
  }

  TEST_CASE("removing everything from a full disk gives the space back at once") {
    SmallDisk disk;
    if (!disk) return;
    const auto store = DurableStore::open(disk / "d").value();
    const auto count = fill_with_values(*store);
    for (std::size_t i = 0; i < count; ++i) store->remove(name_of(i)).value();
    CHECK(free_disk_bytes(disk.path()) > 28 * kMiB);  // all but the reserve and RocksDB's own
    CHECK(fill_with_values(*store) + 2 >= count);
    check_whole(*store, 0, store->list("v").value().size());
  }

  TEST_CASE("small values that fill the disk are refused in the end and can be removed, and nobody waits for a merge without room") {
    SmallDisk disk("size=96m");
    if (!disk) return;
    within_the_limit([&disk] {
      const auto store = DurableStore::open(disk / "d").value();
      const auto value = [](std::size_t i) { return pattern(i, 60'000); };
      std::size_t count = 0;
      for (int refused = 0; refused < 60;) {  // a merge that takes all the room gives it back when it fails
        REQUIRE(count < 4000);
        const auto put = store->put(std::to_string(count), "t", value(count));
        if (put) ++count, refused = 0;
        if (put) continue;
        CHECK(put.error().code == ErrorCode::kOutOfDisk);
        ++refused;
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
      }
      CHECK(count > 500);
      for (std::size_t i = 0; i < count; i += 50) REQUIRE(equal(store->get(std::to_string(i)).value().bytes, value(i)));
      for (std::size_t i = 0; i < count; i += 8) store->remove(std::to_string(i)).value();
      CHECK(store->list().value().size() == count - (count + 7) / 8);
    });
  }

  TEST_CASE("several put and remove at the same time on a full disk: each value is whole or not there, now and in a later opening") {
    SmallDisk disk;
    if (!disk) return;
    within_the_limit([path = disk / "d"] {
      const auto check = [](const DurableStore& store) {
        for (const auto& info : store.list("v").value())
          REQUIRE(equal(store.get(info.name).value().bytes, pattern(std::stoul(info.name.substr(1)) - 100, kValue)));
      };
      {
        const auto store = DurableStore::open(path).value();
        fill_with_values(*store);
        std::atomic<int> removed{0};
        std::vector<std::thread> threads;
        for (std::size_t part = 0; part < 3; ++part)
          threads.emplace_back([&store, &removed, part] {
            for (std::size_t round = 0; round < 40; ++round) {
              const auto i = part + round % 12 * 3;
              const auto gone = store->remove(name_of(i));
              CHECK_MESSAGE((gone.ok() || gone.error().code == ErrorCode::kNotFound), gone.error().message);
              removed += gone.ok();
              const auto put = store->put(name_of(i), "t", pattern(i, kValue));
              CHECK_MESSAGE((put.ok() || put.error().code == ErrorCode::kOutOfDisk), put.error().message);
            }
          });
        for (auto& thread : threads) thread.join();
        CHECK(removed > 12);
        check(*store);
      }
      check(*DurableStore::open(path).value());
    });
  }

  TEST_CASE("a store that cannot be opened anew after a full disk says why, not that the disk is full") {
    SmallDisk disk;
    if (!disk) return;
    const auto path = disk / "d";
    const auto store = open_rocksdb(path).value();
    store->put("kept", bytes("v"), Sync::kYes).value();
    disk.fill("filler");
    const auto large = pattern(1, kMiB);
    CHECK(store->put("large", large).error().code == ErrorCode::kOutOfDisk);
    std::filesystem::remove(disk / "filler");
    std::filesystem::rename(path + "/CURRENT", disk / "CURRENT");
    const auto put = store->put("large", large);
    REQUIRE_FALSE(put);
    CHECK(put.error().code != ErrorCode::kOutOfDisk);
    CHECK(put.error().message.find("CURRENT") != std::string::npos);
    const auto read = store->get("kept");
    REQUIRE_FALSE(read);
    CHECK(read.error().message.find("opened anew") != std::string::npos);
    CHECK_FALSE(std::filesystem::exists(path + "/CURRENT"));
  }

  TEST_CASE("a full disk is opened by a later program, which removes and finds the rest") {
    SmallDisk disk;
    if (!disk) return;
    const auto path = disk / "d";
    std::size_t count = 0;
    {
      const auto store = DurableStore::open(path).value();
      count = fill_with_values(*store);
    }
    disk.fill("filler");
    const auto store = DurableStore::open(path).value();
    check_whole(*store, 0, count);
    const auto result = store->remove(name_of(0));
    CHECK_MESSAGE(result.ok(), result.error().message);
    check_whole(*store, 1, count);
  }

  TEST_CASE("kill -9 while values are removed and put on a full disk loses none of the others") {
    SmallDisk disk;
    if (!disk) return;
    for (int kill = 0; kill < 3; ++kill) {
      CAPTURE(kill);
      const auto path = disk / ("d" + std::to_string(kill));
      {
        HoldingChild child("remove-on-full-disk", path);
        std::this_thread::sleep_for(std::chrono::milliseconds(23 * kill));  // the moment of the fault
        child.kill();
      }
      const auto store = DurableStore::open(path).value();
      const auto infos = store->list("v").value();
      REQUIRE(infos.size() > 12);
      std::size_t missing = 0, expected = 0;
      for (const auto& info : infos) {
        const auto number = std::stoul(info.name.substr(1)) - 100;
        missing += number - expected, expected = number + 1;
        REQUIRE(equal(store->get(info.name).value().bytes, pattern(number, kValue)));
      }
      CHECK(missing <= 1);
      std::filesystem::remove_all(path);
    }
  }
}
