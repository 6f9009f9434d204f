// What the disk says when it is asked to keep what was written: no, or nothing for a long time. The stories: a log that could not be
// synced for lack of space was synced again, as a new and empty one, which went well; and a large put that waited for the disk made
// everybody wait who put or removed anything.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/syscall.h>

#include <atomic>
#include <cerrno>
#include <functional>
#include <future>
#include <mutex>
#include <set>

#include "runtime/store/durable_store.hpp"
#include "runtime/store/rocksdb_store.hpp"
#include "tests/runtime/store/store_fixtures.hpp"

namespace {

std::atomic<bool> logs_fail{false};
std::atomic<bool> tables_wait{false};
std::atomic<int> waiting{0};
std::atomic<std::int64_t> damage_at{-1};  // in the next table that is synced

std::mutex entries_mutex;
std::vector<std::string> synced_entries;         // directories
std::set<std::string> synced_logs;
std::function<void()> before_directory{};        // once, when the store's directory is about to be made
std::string awaited_directory{};

const manta::test::RegisterChild loader("hold-with-load", [](const std::string& path, const std::function<void()>& ready) {
  const auto store = manta::DurableStore::open(path).value();
  manta::test::write_file(path + "/load-1-1-1.sst", "just being written");
  ready();
});

}  // namespace

/// Instead of the C library's: remembers which directories are synced.
extern "C" int fsync(int fd) {
  std::error_code ignored;
  const auto name = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd), ignored).string();
  if (std::filesystem::is_directory(name, ignored)) {
    std::lock_guard lock(entries_mutex);
    synced_entries.push_back(name);
  }
  return static_cast<int>(::syscall(SYS_fsync, fd));
}

/// Instead of the C library's: another program may come first.
extern "C" int mkdir(const char* path, mode_t mode) {
  if (path == awaited_directory && before_directory) std::exchange(before_directory, {})();
  return static_cast<int>(::syscall(SYS_mkdirat, AT_FDCWD, path, mode));
}

/// Instead of the C library's, for RocksDB too.
extern "C" int fdatasync(int fd) {
  std::error_code ignored;
  const auto path = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd), ignored);
  const auto name = path.filename().string();
  if (logs_fail && name.ends_with(".log")) return errno = ENOSPC, -1;
  if (name.ends_with(".log")) {
    std::lock_guard lock(entries_mutex);
    synced_logs.insert(path.string());
  }
  if (name.starts_with("load-"))
    if (const auto at = damage_at.exchange(-1); at >= 0) std::fstream(path, std::ios::in | std::ios::out | std::ios::binary).seekp(at).write("damage", 6);
  if (tables_wait && name.starts_with("load-")) {
    ++waiting;
    tables_wait.wait(true);
  }
  return static_cast<int>(::syscall(SYS_fdatasync, fd));
}

using namespace manta;
using namespace manta::test;

TEST_SUITE("runtime/store") {
  TEST_CASE("a log that finds no space when it is synced stops the store, which says that what was not synced may be lost") {
    for (const bool by_write : {false, true}) {
      CAPTURE(by_write);
      TemporaryDirectory directory;
      {
        const auto store = open_rocksdb(directory / "d").value();
        store->put("a", bytes("1"), Sync::kYes).value();
        store->put("b", bytes("2")).value();
        logs_fail = true;
        const auto failed = by_write ? store->put("c", bytes("3"), Sync::kYes) : store->sync();
        logs_fail = false;
        REQUIRE_FALSE(failed);
        CHECK(failed.error().code == ErrorCode::kIoError);
        CHECK(failed.error().message.find("may be lost") != std::string::npos);
        CHECK_FALSE(store->sync());
        CHECK_FALSE(store->put("d", bytes("4"), Sync::kYes));
      }
      const auto store = open_rocksdb(directory / "d").value();
      CHECK(text(store->get("a").value().value()) == "1");
      CHECK_FALSE(store->get("d").value());
      store->put("e", bytes("5"), Sync::kYes).value();
    }
  }

  TEST_CASE("a log is on the disk before the next one begins, also what was written without syncing: a power cut leaves no gap") {
    // Behaviour: the end of the first log could be lost while all of the second one was there.
    TemporaryDirectory directory;
    const auto path = directory / "d";
    const auto store = open_rocksdb(path, {.erases_on_full_disk = true}).value();
    const auto logs = [&] { return files_ending(path, ".log"); };
    const auto first = logs().at(0);
    const auto value = pattern(1, 10'000);
    for (int i = 0; logs().back() == first; ++i) store->put(std::to_string(i), value).value();
    {
      std::lock_guard lock(entries_mutex);
      CHECK(synced_logs.contains(first));
    }
    logs_fail = true;
    Result<void> failed;
    const auto second = logs().back();
    for (int i = 0; failed && i < 1000; ++i) failed = store->put(std::to_string(i), value);
    logs_fail = false;
    REQUIRE_FALSE(failed);
    CHECK(failed.error().code == ErrorCode::kIoError);
    CHECK(failed.error().message.find("may be lost") != std::string::npos);
    CHECK(logs().back() == second);
  }

  // RocksDB's assertion ended the program when it took such a table in.
  TEST_CASE("a table that is damaged before it is taken in is an error and loads nothing; between its first and last record, reading says so") {
    TemporaryDirectory directory;
    const auto store = open_rocksdb(directory / "d").value();
    const auto value = pattern(1, 100'000);
    const std::vector<KeyValueStore::Record> records{{"1", value}, {"2", value}, {"3", value}};
    for (const std::int64_t at : {1'000, 250'000}) {
      CAPTURE(at);
      damage_at = at;
      const auto loaded = store->bulk_load(records);
      CHECK(damage_at == -1);
      REQUIRE_FALSE(loaded);
      CHECK(loaded.error().code == ErrorCode::kIoError);
      CHECK_MESSAGE(loaded.error().message.find("just been written") != std::string::npos, loaded.error().message);
      CHECK_FALSE(store->get("1").value());
    }
    CHECK(files_ending(directory / "d", ".sst").empty());
    damage_at = 150'000;
    store->bulk_load(records).value();
    CHECK(equal(store->get("1").value().value(), value));
    CHECK(store->get("2").error().code == ErrorCode::kStorageCorruption);
    CHECK(equal(store->get("3").value().value(), value));
  }

  TEST_CASE("while a large put waits for the disk, others put and remove") {
    TemporaryDirectory directory;
    const auto store = DurableStore::open(directory / "d").value();
    store->put("old", "t", bytes("old")).value();
    const auto large = pattern(1, 9 << 20);
    waiting = 0;
    tables_wait = true;
    auto put = std::async(std::launch::async, [&] { return store->put("large", "t", large); });
    while (!waiting) std::this_thread::yield();
    auto others = std::async(std::launch::async, [&] {
      store->put("new", "t", bytes("new")).value();
      store->remove("old").value();
    });
    const bool done = others.wait_for(std::chrono::seconds(20)) == std::future_status::ready;
    CHECK(put.wait_for(std::chrono::seconds(0)) == std::future_status::timeout);
    tables_wait = false;
    tables_wait.notify_all();
    CHECK(done);
    others.get();
    put.get().value();
    CHECK(equal(store->get("large").value().bytes, large));
  }

  TEST_CASE("the directories above a new store's are on the disk with it, so that it is not lost with its name") {
    TemporaryDirectory directory;
    {
      std::lock_guard lock(entries_mutex);
      synced_entries.clear();
    }
    DurableStore::open(directory / "x/y/d").value();
    std::lock_guard lock(entries_mutex);
    for (const char* above : {"/x/y", "/x", ""})
      CHECK(std::count(synced_entries.begin(), synced_entries.end(), directory.path() + above) >= 1);
  }

  TEST_CASE("who opens a store that another program has just opened deletes no table that the other one writes") {
    TemporaryDirectory directory;
    const auto path = directory / "d";
    std::unique_ptr<HoldingChild> other;
    awaited_directory = path;
    before_directory = [&] { other = std::make_unique<HoldingChild>("hold-with-load", path); };
    const auto refused = DurableStore::open(path);
    awaited_directory.clear();
    REQUIRE(other);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::kResourceExhausted);
    CHECK(std::filesystem::exists(path + "/load-1-1-1.sst"));
    other->kill();
    DurableStore::open(path).value();
    CHECK_FALSE(std::filesystem::exists(path + "/load-1-1-1.sst"));
  }
}
