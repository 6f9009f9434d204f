// Objects that find no room in shared memory and lie in files.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <future>
#include <random>

#include "runtime/base/log.hpp"
#include "runtime/store/arena_view.hpp"
#include "runtime/store/rocksdb_store.hpp"
#include "runtime/store/spill_place.hpp"
#include "tests/runtime/clean.hpp"
#include "tests/runtime/store/object_store_fixtures.hpp"

using namespace manta;
using namespace manta::test;
using namespace std::chrono_literals;

namespace {

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::unique_ptr<Arena> arena_with_files(std::uint64_t budget, ObjectFileFactory files) {
  return Arena::create({.budget_bytes = budget, .make_file = std::move(files)}).value();
}

std::uint64_t free_bytes(const std::string& path) {
  struct statvfs info {};
  REQUIRE(::statvfs(path.c_str(), &info) == 0);
  return info.f_bavail * info.f_frsize;
}

/// Descriptors of this process that name a file below `path`, also one that is gone.
std::size_t open_below(const std::string& path) {
  std::size_t count = 0;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
    count += std::filesystem::read_symlink(entry.path(), ignored).string().starts_with(path + "/");
  return count;
}

struct Descriptor {
  int fd;
  ~Descriptor() { ::close(fd); }
};

constexpr ObjectStoreOptions kHasty{.full_grace = 50ms, .spill_retry = 5ms};
constexpr ObjectStoreOptions kSlow{.full_grace = 500ms};  // so long that many of them differ from any slow machine

/// A store whose arena holds one pinned object that fills it, and whose files lie in `files`.
struct FullStore {
  explicit FullStore(ObjectFileFactory files, ObjectStoreOptions options = kHasty)
      : store(arena_with_files(4 * kMiB, std::move(files)), in_memory(), options) {
    put(store, 1, 4 * kMiB);
    store.pin(1).value();
  }
  ObjectStore store;
};

}  // namespace

TEST_SUITE("runtime/store/files") {
  TEST_CASE("a file for an object has no name, its space is reserved, and who reads it cannot write") {
    TemporaryDirectory directory;
    auto arena = arena_with_files(kMiB, object_files_in(directory / "files"));
    const auto block = arena->allocate_in_file(20 * kMiB).value();
    CHECK(arena->is_beyond(block));
    CHECK(std::filesystem::is_empty(directory / "files"));
    CHECK(arena->stats().file_bytes == 20 * kMiB);
    CHECK(arena->stats().used_bytes == 0);
    const auto content = pattern(3, block.size);
    std::memcpy(arena->bytes(block).data(), content.data(), content.size());
    const Descriptor reader{arena->extent_fd(block.extent, false).value()};
    const Descriptor writer{arena->extent_fd(block.extent, true).value()};
    struct stat info {};
    REQUIRE(::fstat(reader.fd, &info) == 0);
    CHECK(static_cast<std::uint64_t>(info.st_blocks) * 512 >= 20 * kMiB);
    const int status = run_in_child([&] {
      ArenaView view;
      const auto bytes = arena->extent_bytes(block.extent);
      if (view.attach(block.extent, reader.fd, bytes, true).ok()) return 1;
      if (!view.attach(block.extent, reader.fd, bytes, false).ok()) return 2;
      if (!equal(view.read(block).value(), content)) return 3;
      if (::ftruncate(reader.fd, 10) == 0 || ::pwrite(reader.fd, "x", 1, 0) >= 0) return 4;
      if (!view.attach(block.extent, writer.fd, bytes, true).ok()) return 5;
      view.write(block).value()[1000] = std::byte{77};
      return 0;
    });
    CHECK(status == 0);
    CHECK(arena->bytes(block)[1000] == std::byte{77});
    arena->free(block);
    CHECK(arena->extents().empty());
    CHECK(arena->stats().file_bytes == 0);
    arena.reset();
    CHECK_FALSE(std::filesystem::exists(directory / "files"));
  }

  // On a machine whose /tmp is a tmpfs, spilling took the memory it was to save.
  TEST_CASE("what is spilled goes to a disk by default, also where temporary files lie in memory") {
    TemporaryDirectory in_memory(TemporaryDirectory::Where::kMemory);
    if (!lies_in_memory(in_memory.path()) || lies_in_memory("/var/tmp") || ::access("/var/tmp", W_OK) != 0) {
      MESSAGE("skipped: no directory in memory, or none on a disk, that can be written to");
      return;
    }
    const char* before = std::getenv("TMPDIR");
    const std::string kept = before ? before : "";
    ::setenv("TMPDIR", in_memory.path().c_str(), 1);
    CHECK(default_spill_place() == "/var/tmp");
    ::setenv("TMPDIR", "/var/tmp", 1);
    CHECK(default_spill_place() == "/var/tmp");
    before ? ::setenv("TMPDIR", kept.c_str(), 1) : ::unsetenv("TMPDIR");
    if (!before && !lies_in_memory("/tmp")) CHECK(default_spill_place() == "/tmp");
  }

  // Two programs with the same folder: to the one that ended it looked empty, as the other's files have no names.
  TEST_CASE("files are made while another program removes their folder again and again") {
    TemporaryDirectory directory;
    const auto folder = directory / "files";
    const auto make = object_files_in(folder);
    std::atomic<bool> over{false};
    std::atomic<int> removed{0};
    std::thread other([&] {
      for (; !over; std::this_thread::sleep_for(10us)) removed += ::rmdir(folder.c_str()) == 0;  // without a pause it may win each time
    });
    for (int i = 0; removed < 50 && i < 200'000; ++i) {
      const auto file = make(4096);
      REQUIRE_MESSAGE(file.ok(), file.error().message);
      ::close(*file);
    }
    over = true;
    other.join();
    CHECK(removed >= 50);
  }

  TEST_CASE("small objects share a file, which goes with the last of them; nothing else in the arena goes with it") {
    TemporaryDirectory directory;
    std::atomic<int> made{0};
    auto files = object_files_in(directory / "files");
    auto arena = arena_with_files(kMiB, [&](std::uint64_t bytes) { return ++made, files(bytes); });
    const auto kept = arena->allocate(1000).value();
    std::vector<Block> blocks;
    for (int i = 0; i < 100; ++i) {
      blocks.push_back(arena->allocate_in_file(150'000).value());
      CHECK(blocks.back().extent == blocks.front().extent);
    }
    CHECK(made == 1);
    CHECK(arena->allocate_in_file(17 * kMiB).value().extent != blocks.front().extent);
    for (std::size_t i = 0; i < blocks.size(); i += 2) arena->free(blocks[i]);
    CHECK(arena->allocate_in_file(150'000).value().extent == blocks.front().extent);  // in a hole
    CHECK(arena->allocate(1000).value().extent == kept.extent);                        // what is free there is not memory
    CHECK(made == 2);
  }

  TEST_CASE("random blocks in files and in memory never overlap, keep their bytes, and leave nothing") {
    TemporaryDirectory directory;
    auto arena = arena_with_files(8 * kMiB, object_files_in(directory / "files"));
    std::mt19937_64 random(5);
    std::vector<std::pair<Block, std::uint64_t>> live;
    for (int step = 0; step < 2000; ++step) {
      if (random() % 100 < 52) {
        const auto size = 16 + (std::uint64_t{1} << random() % 20);
        auto block = random() % 2 ? arena->allocate_in_file(size) : arena->allocate(size);
        if (!block) continue;
        const auto key = random();
        std::memcpy(arena->bytes(*block).data(), &key, 8);
        std::memcpy(arena->bytes(*block).data() + size - 8, &key, 8);
        live.emplace_back(*block, key);
      } else if (!live.empty()) {
        std::swap(live[random() % live.size()], live.back());
        const auto [block, key] = live.back();
        REQUIRE(std::memcmp(arena->bytes(block).data(), &key, 8) == 0);
        REQUIRE(std::memcmp(arena->bytes(block).data() + block.size - 8, &key, 8) == 0);
        arena->free(block);
        live.pop_back();
      }
    }
    for (const auto& [block, key] : live) arena->free(block);
    const auto stats = arena->stats();
    CHECK(stats.used_bytes == 0);
    CHECK(stats.file_bytes == 0);
    CHECK(stats.blocks == 0);
    CHECK(eventually([&] { return open_below(directory / "files") == 0; }));
  }

  TEST_CASE("files are removed by another thread, all of them before wait returns and before the remover ends") {
    TemporaryDirectory directory;
    const auto give = [&](ExtentRemover& remover) {
      const int fd = make_object_file(directory / "", kMiB).value();
      void* base = ::mmap(nullptr, kMiB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
      REQUIRE(base != MAP_FAILED);
      remover.remove_later({.fd = fd, .base = static_cast<std::byte*>(base), .bytes = kMiB});
    };
    {
      ExtentRemover remover;
      remover.wait();  // nothing to wait for
      CHECK_FALSE(remover.busy());
      for (int round = 0; round < 20; ++round) {
        for (int i = 0; i < 5; ++i) give(remover);
        remover.wait();
        CHECK_FALSE(remover.busy());
        CHECK(open_below(directory.path()) == 0);
      }
      for (int i = 0; i < 20; ++i) give(remover);
    }
    CHECK(open_below(directory.path()) == 0);
  }

  TEST_CASE("fault 19: who finds all pinned waits its grace, then gets a file; the next one does not wait; all is freed with the refs") {
    const manta_test::Clean clean;
    TemporaryDirectory directory;
    const auto folder = directory / "files";
    FullStore full(object_files_in(folder), kSlow);
    auto& store = full.store;
    auto start = std::chrono::steady_clock::now();
    CHECK_FALSE(store.try_create(2, 2 * kMiB).value().has_value());
    put(store, 2, 2 * kMiB);
    CHECK(std::chrono::steady_clock::now() - start >= kSlow.full_grace);
    start = std::chrono::steady_clock::now();
    for (std::uint64_t id = 3; id < 40; ++id) put(store, id, size_of(id));
    CHECK(std::chrono::steady_clock::now() - start < 37 * kSlow.full_grace / 2);
    for (std::uint64_t id = 3; id < 40; ++id) CHECK(holds(store, id, size_of(id)));
    CHECK(holds(store, 2, 2 * kMiB));
    CHECK(store.try_pin(2).value().has_value());
    CHECK(store.stats().arena.file_bytes > 2 * kMiB);
    CHECK(store.stats().arena.used_bytes == 4 * kMiB);
    store.unpin(1);
    put(store, 50, 3 * kMiB);  // there is room again: the arena has it
    CHECK(store.stats().arena.used_bytes == 3 * kMiB);
    store.unpin(2);
    for (std::uint64_t id = 1; id <= 50; ++id) store.free(id);
    CHECK(eventually([&] { return store.stats().objects == 0; }));
    CHECK(store.stats().arena.file_bytes == 0);
    CHECK(store.stats().arena.blocks == 0);
    CHECK(eventually([&] { return open_below(folder) == 0; }));
  }

  TEST_CASE("fault 20: an object larger than the arena takes no room in it and evicts nothing") {
    const manta_test::Clean clean;
    TemporaryDirectory directory;
    constexpr ObjectStoreOptions kPatient{.full_grace = 20s};
    ObjectStore store(arena_with_files(4 * kMiB, object_files_in(directory / "files")), in_memory(), kPatient);
    put(store, 1, 3 * kMiB);
    const auto start = std::chrono::steady_clock::now();
    CHECK_FALSE(store.try_create(2, 40 * kMiB).value().has_value());  // not without the disk
    put(store, 2, 40 * kMiB);
    CHECK(std::chrono::steady_clock::now() - start < kPatient.full_grace);
    CHECK(store.try_pin(1).value().has_value());
    store.unpin(1);
    CHECK(holds(store, 2, 40 * kMiB));
    CHECK(store.stats().spilled_objects == 0);
    CHECK(store.create(3, UINT64_MAX).error().code == ErrorCode::kInvalidArgument);
    CHECK(store.create(3, UINT64_MAX / 2).error().code == ErrorCode::kInvalidArgument);
    store.create(4, 30 * kMiB).value();
    store.abort(4).value();
    store.create(5, 30 * kMiB).value();
    store.free(5);
    CHECK(store.stats().arena.file_bytes == 70 * kMiB);  // somebody still writes there
    store.seal(5).value();
    store.free(2);
    CHECK(store.stats().arena.file_bytes == 0);
  }

  TEST_CASE("fault 20: an object of more than 4 GiB is whole at both ends and in the middle") {
    const manta_test::Clean clean;
    TemporaryDirectory directory;
    constexpr std::uint64_t kSize = (4ull << 30) + 4096 + 8;
    if (free_bytes(directory / "") < 2 * kSize) {
      MESSAGE("skipped: too little disk");
      return;
    }
    ObjectStore store(arena_with_files(4 * kMiB, object_files_in(directory / "files")), nullptr);
    auto block = store.create(1, kSize);
    if (!block && contains(block.error().message, "in memory")) {
      MESSAGE("skipped: the temporary directory is in memory, and that is too small");
      return;
    }
    const auto place = store.arena().bytes(block.value());
    REQUIRE(place.size() == kSize);
    const std::uint64_t at[]{0, 1ull << 32, kSize - 8};
    for (const auto each : at) std::memcpy(place.data() + each, &each, sizeof each);
    store.seal(1).value();
    const Descriptor reader{store.arena().extent_fd(block->extent, false).value()};
    CHECK(run_in_child([&] {
      ArenaView view;
      view.attach(block->extent, reader.fd, store.arena().extent_bytes(block->extent), false).value();
      const auto seen = view.read(*block).value();
      for (const auto each : at)
        if (std::memcmp(seen.data() + each, &each, sizeof each) != 0) return 1;
      return seen.size() == kSize ? 0 : 2;
    }) == 0);
  }

  TEST_CASE("a reader gets on when arena and what lies beyond it are full, and its file goes when it has read") {
    TemporaryDirectory directory;
    ObjectStore store(arena_with_files(4 * kMiB, object_files_in(directory / "files")), in_memory(), kHasty);
    for (std::uint64_t id = 1; id <= 12; ++id) put(store, id, kMiB);
    for (std::uint64_t id = 1; id <= 12; ++id) CHECK(equal(store.arena().bytes(store.pin(id).value()), pattern(id, kMiB)));
    CHECK(store.stats().arena.file_bytes >= 7 * kMiB);
    for (std::uint64_t id = 1; id <= 12; ++id) store.unpin(id);
    CHECK(store.stats().arena.file_bytes == 0);
    for (std::uint64_t id = 1; id <= 12; ++id) CHECK(holds(store, id, kMiB));
  }

  TEST_CASE("many readers' objects beyond a full arena cost one grace in all, not one each") {
    TemporaryDirectory directory;
    ObjectStore store(arena_with_files(4 * kMiB, object_files_in(directory / "files")), in_memory(), kSlow);
    for (std::uint64_t id = 1; id <= 34; ++id) put_marked(store, id, kMiB);
    const auto start = std::chrono::steady_clock::now();
    for (std::uint64_t id = 1; id <= 34; ++id) store.pin(id).value();
    CHECK(std::chrono::steady_clock::now() - start < 10 * kSlow.full_grace);  // 30 of them found the arena pinned
    CHECK(store.stats().arena.file_bytes >= 28 * kMiB);
    for (std::uint64_t id = 1; id <= 34; ++id) store.unpin(id);
    for (std::uint64_t id = 1; id <= 34; ++id) CHECK(holds_marked(store, id, kMiB));
  }

  TEST_CASE("who finds neither room nor a file waits its grace, also after another has waited in vain") {
    FullStore full([](std::uint64_t) -> Result<int> { return ErrorInfo{.code = ErrorCode::kIoError, .message = "none"}; });
    CHECK(full.store.create(2, kMiB).error().code == ErrorCode::kObjectStoreFull);
    const auto start = std::chrono::steady_clock::now();
    CHECK(full.store.create(2, kMiB).error().code == ErrorCode::kObjectStoreFull);
    CHECK(std::chrono::steady_clock::now() - start >= kHasty.full_grace);
  }

  TEST_CASE("fault 16: a disk that is full is OutOfDisk to creators only, with the holders; one that cannot be written is its cause") {
    const manta_test::Clean clean;
    set_log_level(LogLevel::kOff);
    auto refuse = [](ErrorCode code) {
      return [code](std::uint64_t) -> Result<int> { return ErrorInfo{.code = code, .message = "no such luck"}; };
    };
    for (const auto code : {ErrorCode::kOutOfDisk, ErrorCode::kIoError}) {
      FullStore full(refuse(code));
      const auto refused = full.store.create(2, kMiB);
      REQUIRE_FALSE(refused);
      CHECK(refused.error().code == (code == ErrorCode::kOutOfDisk ? code : ErrorCode::kObjectStoreFull));
      CHECK(contains(refused.error().message, "object 1 (4.0 MiB, Sealed, 1 pins)"));
      CHECK(contains(refused.error().message, "no such luck"));
      const auto large = full.store.create(2, 5 * kMiB);
      REQUIRE_FALSE(large);
      CHECK(large.error().code == (code == ErrorCode::kOutOfDisk ? code : ErrorCode::kInvalidArgument));
      CHECK(contains(large.error().message, "5242880"));
      CHECK(contains(large.error().message, "4194304"));
      CHECK(holds(full.store, 1, 4 * kMiB));
      full.store.unpin(1);
      put(full.store, 2, kMiB);  // the arena has room again
    }
    set_log_level(LogLevel::kWarning);
  }

  TEST_CASE("fault 16: on a small disk each byte of a file is there before anybody writes it, and no writer is ever killed") {
    const manta_test::Clean clean;
    TemporaryDirectory directory;
    const auto disk = directory / "disk";
    std::filesystem::create_directory(disk);
    if (::mount("none", disk.c_str(), "tmpfs", 0, "size=24m") != 0) {
      MESSAGE("skipped: mounting a small tmpfs is not permitted here");
      return;
    }
    {
      ObjectStore store(arena_with_files(4 * kMiB, object_files_in(disk + "/files")), nullptr, kHasty);
      put(store, 1, 15 * kMiB);
      CHECK(store.create(2, 15 * kMiB).error().code == ErrorCode::kOutOfDisk);
      put(store, 3, 4 * kMiB);
      for (std::uint64_t id = 4; id < 10; ++id) put(store, id, 1'200'000);  // 16 MiB for more to come are not there
      CHECK(holds(store, 1, 15 * kMiB));
      store.free(1);
      put(store, 2, 15 * kMiB);
      for (std::uint64_t id = 4; id < 10; ++id) CHECK(holds(store, id, 1'200'000));
      for (std::uint64_t id = 1; id < 10; ++id) store.free(id);
      CHECK(eventually([&] { return free_bytes(disk) == 24 * kMiB; }));
    }
    CHECK(std::filesystem::is_empty(disk));
    ::umount2(disk.c_str(), MNT_DETACH);
  }

  TEST_CASE("files that lie in memory take a quarter of the budget; then creators are refused with the way out") {
    TemporaryDirectory directory(TemporaryDirectory::Where::kMemory);
    if (!lies_in_memory(directory.path())) {
      MESSAGE("skipped: there is no tmpfs here");
      return;
    }
    CHECK_FALSE(lies_in_memory(directory / "nowhere"));
    ObjectStore store(Arena::create({.budget_bytes = 8 * kMiB, .make_file = object_files_in(directory / "files"), .files_in_memory = true})
                          .value(), nullptr, kHasty);
    put(store, 1, 8 * kMiB);
    store.pin(1).value();
    for (int round = 0; round < 3; ++round) {
      for (std::uint64_t id = 2; id < 6; ++id) put(store, id, kMiB / 2);
      const auto refused = store.create(6, 4096);
      REQUIRE_FALSE(refused);
      CHECK(refused.error().code == ErrorCode::kObjectStoreFull);
      CHECK(contains(refused.error().message, "2097152"));
      CHECK(contains(refused.error().message, "spill_dir"));
      CHECK(store.create(6, 9 * kMiB).error().code == ErrorCode::kInvalidArgument);
      for (std::uint64_t id = 2; id < 6; ++id) CHECK(holds(store, id, kMiB / 2));
      for (std::uint64_t id = 2; id < 6; ++id) store.free(id);
    }
    CHECK(store.stats().arena.file_bytes == 0);
  }

  TEST_CASE("what is killed at any moment leaves no file") {
    TemporaryDirectory directory;
    const auto folder = directory / "files";
    std::filesystem::create_directory(folder);
    for (int delay_us = 0; delay_us < 20'000; delay_us += 4'000) {
      CHECK(run_in_child([&] {
        std::thread([delay_us] {
          std::this_thread::sleep_for(std::chrono::microseconds(delay_us));
          ::kill(::getpid(), SIGKILL);
        }).detach();
        auto arena = arena_with_files(kMiB, object_files_in(folder));
        for (std::uint64_t i = 0;; ++i) {
          auto block = arena->allocate_in_file(30 * kMiB);
          if (block) std::memset(arena->bytes(*block).data(), 1, kMiB), arena->free(*block);
        }
        return 0;
      }) == -SIGKILL);
      CHECK(std::filesystem::is_empty(folder));
    }
  }

  TEST_CASE("where files must have a name for a moment, one that a kill left does not keep the next run from its folder") {
    TemporaryDirectory directory;
    const auto folder = directory / "spill";
    std::filesystem::create_directory(folder);
    write_file(folder + "/manta-object-a1B2c3", "left");
    CHECK(open_rocksdb(folder, {.kind = StoreKind::kSpill}).ok());
    CHECK_FALSE(std::filesystem::exists(folder));
    std::filesystem::create_directory(folder);
    write_file(folder + "/manta-object-of-my-thesis", "precious");
    CHECK(open_rocksdb(folder, {.kind = StoreKind::kSpill}).error().code == ErrorCode::kInvalidArgument);
    CHECK(std::filesystem::exists(folder + "/manta-object-of-my-thesis"));
  }

  TEST_CASE("close ends a creation that is at the disk with RuntimeStopped, and its file goes") {
    TemporaryDirectory directory;
    std::promise<void> at_disk, go_on;
    auto files = object_files_in(directory / "files");
    ObjectStore store(arena_with_files(kMiB, [&](std::uint64_t bytes) {
                        at_disk.set_value();
                        go_on.get_future().wait();
                        return files(bytes);
                      }), nullptr);
    auto creating = std::async(std::launch::async, [&] { return store.create(1, 20 * kMiB); });
    at_disk.get_future().wait();
    auto closing = std::async(std::launch::async, [&] { store.close(); });
    CHECK(eventually([&] {
      if (!store.create(2, 10)) return true;
      store.abort(2).value();
      return false;
    }));
    CHECK(store.create(3, 10).error().code == ErrorCode::kRuntimeStopped);
    CHECK(closing.wait_for(10ms) == std::future_status::timeout);
    go_on.set_value();
    CHECK(creating.get().error().code == ErrorCode::kRuntimeStopped);
    closing.get();
    CHECK(store.stats().arena.file_bytes == 0);
  }
}
