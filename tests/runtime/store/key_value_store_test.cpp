#include "runtime/store/key_value_store.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <atomic>
#include <map>
#include <random>
#include <thread>

#include "runtime/store/faulty_store.hpp"
#include "runtime/store/memory_store.hpp"
#include "runtime/store/rocksdb_store.hpp"
#include "runtime/store/store_directory.hpp"
#include "tests/runtime/clean.hpp"
#include "tests/runtime/store/store_fixtures.hpp"

using namespace manta;
using namespace manta::test;

namespace {

std::string get_text(const KeyValueStore& store, const std::string& key) {
  const auto value = store.get(key).value();
  return value ? text(*value) : "(none)";
}

std::map<std::string, std::string> dump(const KeyValueStore& store, const std::string& first = "") {
  std::map<std::string, std::string> all;
  store.scan(first, [&](std::string_view key, ByteView value) { return all.emplace(key, text(value)), true; }).value();
  return all;
}

std::string random_key(std::mt19937& random) { return std::string(1 + random() % 2, static_cast<char>('a' + random() % 8)); }

/// The same random changes on the store and on a plain map.
void behaves_like_a_map(KeyValueStore& store, unsigned seed) {
  std::map<std::string, std::string> model;
  std::mt19937 random(seed);
  for (int step = 0; step < 300; ++step) {
    WriteBatch batch;
    std::vector<std::string> values(3);  // a batch does not own its values
    for (auto& value : values) {
      const auto key = random_key(random);
      if (const auto kind = random() % 10; kind < 6) {
        value = std::string(random() % 50, static_cast<char>('0' + step % 10));
        batch.put(key, bytes(value));
        model[key] = value;
      } else if (kind < 9) {
        batch.erase(key);
        model.erase(key);
      } else {
        const auto end = random_key(random);
        batch.erase_range(key, end);
        if (key < end) model.erase(model.lower_bound(key), model.lower_bound(end));
      }
    }
    store.write(batch, Sync::kNo).value();
  }
  CHECK(dump(store) == model);
  const auto middle = model.upper_bound("d");
  CHECK(dump(store, "d\1") == std::map<std::string, std::string>(middle, model.end()));
  CHECK(store.last_key().value() == model.rbegin()->first);
  CHECK(get_text(store, "no such key") == "(none)");
}

void loads_and_drops_ranges(KeyValueStore& store) {
  const std::string large(300'000, 'L');
  std::vector<KeyValueStore::Record> first{{"1a", bytes(large)}, {"1b", {}}, {"1c", bytes(large)}};
  std::vector<KeyValueStore::Record> second{{"2a", bytes(large)}};
  store.bulk_load(first).value();
  store.bulk_load(second).value();
  store.bulk_load({}).value();
  CHECK(get_text(store, "1c") == large);
  CHECK(get_text(store, "1b").empty());
  store.drop_range("1", "2").value();
  CHECK(dump(store).size() == 1);
  store.put("3", bytes("x")).value();
  store.drop_range("2", "9").value();
  CHECK(dump(store).empty());
}

const RegisterChild spiller("spill", [](const std::string& path, const std::function<void()>& ready) {
  auto store = open_rocksdb(path, {.kind = StoreKind::kSpill}).value();
  store->put("left", bytes("over")).value();
  store->flush().value();
  ready();
});

const RegisterChild writer("write", [](const std::string& path, const std::function<void()>& ready) {
  auto store = open_rocksdb(path).value();
  for (int i = 0; i < 100; ++i) store->put("key" + std::to_string(i), bytes("value")).value();
  ready();
});

/// A file system of a few megabytes; not there when mounting is not permitted.
class SmallDisk {
 public:
  explicit SmallDisk(std::string path) : path_(std::move(path)) {
    std::filesystem::create_directory(path_);
    mounted_ = ::mount("none", path_.c_str(), "tmpfs", 0, "size=8m") == 0;
  }
  ~SmallDisk() {
    if (mounted_) ::umount2(path_.c_str(), MNT_DETACH);
  }
  bool mounted() const noexcept { return mounted_; }

 private:
  std::string path_;
  bool mounted_{};
};

std::uintmax_t disk_bytes(const std::string& directory) {
  std::uintmax_t sum = 0;
  for (const auto& file : files_ending(directory, "")) sum += std::filesystem::file_size(file);
  return sum;
}

}  // namespace

TEST_SUITE("runtime/store") {
  TEST_CASE("both stores behave like an ordered map") {
    TemporaryDirectory directory;
    MemoryStore memory;
    const auto meta = open_rocksdb(directory / "meta").value();
    const auto spill = open_rocksdb(directory / "spill", {.kind = StoreKind::kSpill}).value();
    behaves_like_a_map(memory, 1);
    behaves_like_a_map(*meta, 2);
    behaves_like_a_map(*spill, 3);
  }

  TEST_CASE("both stores load large records and drop ranges") {
    TemporaryDirectory directory;
    MemoryStore memory;
    loads_and_drops_ranges(memory);
    loads_and_drops_ranges(*open_rocksdb(directory / "spill", {.kind = StoreKind::kSpill}).value());
  }

  // It was an IoError, and what lay there was not made again. A cleaner of old files does that to a run of days.
  TEST_CASE("a record of a spill store whose file has gone is damaged") {
    TemporaryDirectory directory;
    const auto store = open_rocksdb(directory / "spill", {.kind = StoreKind::kSpill}).value();
    constexpr int kTables = 600;  // more than are kept open
    const auto key_of = [](int i) { return std::to_string(1000 + i); };
    for (int i = 0; i < kTables; ++i) {
      const auto key = key_of(i), value = "value " + key;
      const std::vector<KeyValueStore::Record> records{{key, bytes(value)}};
      store->bulk_load(records).value();
    }
    for (const auto& ending : {".sst", ".ldb"})
      for (const auto& file : files_ending(directory / "spill", ending)) std::filesystem::remove(file);
    int damaged = 0;
    for (int i = 0; i < kTables; ++i) {
      const auto found = store->read(key_of(i), [&](ByteView value) { CHECK(text(value) == "value " + key_of(i)); });
      if (found) continue;
      ++damaged;
      CHECK_MESSAGE(found.error().code == ErrorCode::kStorageCorruption, found.error().message);
      CHECK(found.error().message.find("is damaged, or gone") != std::string::npos);
    }
    CHECK(damaged > 0);
  }

  TEST_CASE("dropping a loaded range gives its disk space back at once") {
    TemporaryDirectory directory;
    const auto store = open_rocksdb(directory / "spill", {.kind = StoreKind::kSpill}).value();
    const auto large = pattern(1, 8 << 20);
    const std::vector<KeyValueStore::Record> records{{"1", large}};
    store->bulk_load(records).value();
    CHECK(disk_bytes(directory / "spill") > large.size());
    store->drop_range("1", "2").value();
    CHECK(disk_bytes(directory / "spill") < large.size() / 4);
  }

  TEST_CASE("a spill store is wiped at open and gone at close, but never deletes what is not its own") {
    TemporaryDirectory directory;
    const auto path = directory / "spill";
    {
      HoldingChild("spill", path).kill();  // dies without closing
      CHECK(std::filesystem::exists(path));
      const auto store = open_rocksdb(path, {.kind = StoreKind::kSpill}).value();
      CHECK(dump(*store).empty());
    }
    CHECK_FALSE(std::filesystem::exists(path));

    std::filesystem::create_directories(path);
    write_file(path + "/thesis.txt", "precious");
    const auto refused = open_rocksdb(path, {.kind = StoreKind::kSpill});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::kInvalidArgument);
    CHECK(read_file(path + "/thesis.txt") == "precious");
  }

  TEST_CASE("fault 39: spill stores that a killed program left are swept; living, young and foreign directories are not") {
    const manta_test::Clean clean;
    TemporaryDirectory directory;
    HoldingChild("spill", directory / "dead").kill();
    HoldingChild living("spill", directory / "living");
    const auto own = open_rocksdb(directory / "own", {.kind = StoreKind::kSpill}).value();
    std::filesystem::create_directory(directory / "foreign");
    CHECK(remove_stale_spills(directory.path()) == 0);
    CHECK(remove_stale_spills(directory.path(), std::chrono::seconds(0)) == 1);
    CHECK_FALSE(std::filesystem::exists(directory / "dead"));
    for (const char* kept : {"living", "own", "foreign"}) CHECK(std::filesystem::exists(directory / kept));
    CHECK(remove_stale_spills(directory / "none") == 0);
  }

  TEST_CASE("a store's directory is for its user alone") {
    TemporaryDirectory directory;
    const auto store = open_rocksdb(directory / "a/b").value();
    struct stat info {};
    REQUIRE(::stat((directory / "a/b").c_str(), &info) == 0);
    CHECK((info.st_mode & 0777) == 0700);
  }

  TEST_CASE("what was written is there after kill -9, also without sync") {
    TemporaryDirectory directory;
    HoldingChild child("write", directory / "db");
    child.kill();
    CHECK(dump(*open_rocksdb(directory / "db").value()).size() == 100);
  }

  TEST_CASE("a directory that another program has open is refused with its process, and free once that is gone") {
    TemporaryDirectory directory;
    HoldingChild child("write", directory / "db");
    for (int attempt = 0; attempt < 2; ++attempt) {
      const auto refused = open_rocksdb(directory / "db");
      REQUIRE_FALSE(refused);
      CHECK(refused.error().code == ErrorCode::kResourceExhausted);
      CHECK(refused.error().message.find("process " + std::to_string(child.pid())) != std::string::npos);
      CHECK(refused.error().message.find(directory / "db") != std::string::npos);
    }
    child.kill();
    CHECK(open_rocksdb(directory / "db").ok());
  }

  TEST_CASE("opening a directory twice in one program is refused, and the first keeps its lock") {
    TemporaryDirectory directory;
    const auto first = open_rocksdb(directory / "db").value();
    const auto second = open_rocksdb((directory / "./db") + "/");
    REQUIRE_FALSE(second);
    CHECK(second.error().code == ErrorCode::kResourceExhausted);
    const int status = run_in_child([&] {  // seen from outside, the lock still holds
      const int fd = ::open((directory / "db/LOCK").c_str(), O_RDONLY);
      struct flock lock {};
      lock.l_type = F_WRLCK;
      return ::fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK ? 0 : 1;
    });
    CHECK(status == 0);
  }

  TEST_CASE("a store whose directory is moved while it is open is not opened again where it is now") {
    TemporaryDirectory directory;
    {
      const auto store = open_rocksdb(directory / "old").value();
      store->put("k", bytes("1")).value();
      std::filesystem::rename(directory / "old", directory / "new");
      const auto second = open_rocksdb(directory / "new");
      REQUIRE_FALSE(second.ok());
      CHECK(second.error().code == ErrorCode::kResourceExhausted);
      CHECK(second.error().message.find("this program itself") != std::string::npos);
      CHECK(rocksdb_in_use(directory / "new"));
      CHECK(run_in_child([&] { return open_rocksdb(directory / "new").ok() ? 1 : 0; }) == 0);  // its lock is still there
      CHECK_FALSE(open_rocksdb(directory / "old").ok());  // the first one would write into it
    }
    CHECK(get_text(*open_rocksdb(directory / "new").value(), "k") == "1");
    CHECK(open_rocksdb(directory / "old").ok());
  }

  TEST_CASE("a reader of a store that is written all the time finds all that was written before it came") {
    // Behaviour: a log that went as its records moved into a table was missing in silence.
    TemporaryDirectory directory(TemporaryDirectory::Where::kMemory);
    const auto path = directory / "db";
    const auto writer = open_rocksdb(path).value();
    std::atomic<bool> done{false};
    std::atomic<std::uint64_t> written{0}, most{0};
    std::thread writes([&] {
      for (std::uint64_t i = 0; !done; ++i) {
        while (!done && i >= most) std::this_thread::sleep_for(std::chrono::milliseconds(1));  // else a slow machine's readers never catch up
        writer->put(ordered_key("k", {i}), bytes("value")).value();
        written = i + 1;
        if (i % 100 == 0) writer->flush().value();
        std::this_thread::sleep_for(std::chrono::microseconds(200));
      }
    });
    int opened = 0;
    for (int i = 0; i < 100; ++i) {
      const auto before = written.load();
      most = before + 400;
      const auto reader = open_rocksdb(path, {.create = false, .read_only = true});
      if (!reader) {  // it says so
        CHECK_MESSAGE(reader.error().message.find("faster than") != std::string::npos, reader.error().message);
        continue;
      }
      ++opened;
      std::uint64_t count = 0;
      bool in_a_row = true;
      reader.value()->scan("", [&](std::string_view key, ByteView) { return in_a_row &= number_of_key(key, 1) == count++, true; }).value();
      CHECK(in_a_row);
      CHECK(count >= before);
    }
    CHECK(opened > 0);
    done = true;
    writes.join();
  }

  TEST_CASE("a reader looks on while another process writes, and cannot write itself") {
    TemporaryDirectory directory;
    HoldingChild child("write", directory / "db");
    const auto reader = open_rocksdb(directory / "db", {.create = false, .read_only = true}).value();
    CHECK(get_text(*reader, "key7") == "value");
    CHECK_FALSE(reader->put("other", bytes("x")));
  }

  TEST_CASE("what is not there or not a store is NotFound, what cannot be a directory IoError, each with the path") {
    TemporaryDirectory directory;
    const auto missing = open_rocksdb(directory / "none", {.create = false});
    REQUIRE_FALSE(missing);
    CHECK(missing.error().code == ErrorCode::kNotFound);
    CHECK(missing.error().message.find(directory / "none") != std::string::npos);
    CHECK(open_rocksdb(directory.path(), {.create = false}).error().code == ErrorCode::kNotFound);
    write_file(directory / "file", "x");
    const auto file = open_rocksdb(directory / "file");
    REQUIRE_FALSE(file);
    CHECK(file.error().code == ErrorCode::kIoError);
    CHECK(file.error().message.find(directory / "file") != std::string::npos);
    CHECK(open_rocksdb((directory / "file") + "/below").error().code == ErrorCode::kIoError);
    CHECK(open_rocksdb("/proc/manta").error().code == ErrorCode::kIoError);
    CHECK(open_rocksdb("").error().code == ErrorCode::kInvalidArgument);
  }

  TEST_CASE("a damaged table is StorageCorruption, with the directory and a way to repair") {
    TemporaryDirectory directory;
    {
      const auto store = open_rocksdb(directory / "db").value();
      store->put("key", bytes(std::string(1000, 'v'))).value();
      store->flush().value();
    }
    const auto table = files_ending(directory / "db", ".sst").at(0);
    auto content = read_file(table);
    content[500] ^= 1;
    write_file(table, content);
    const auto store = open_rocksdb(directory / "db").value();
    const auto value = store->get("key");
    REQUIRE_FALSE(value);
    CHECK(value.error().code == ErrorCode::kStorageCorruption);
    CHECK(value.error().message.find(directory / "db") != std::string::npos);
    CHECK(value.error().message.find("repair") != std::string::npos);
  }

  TEST_CASE("a flipped length at the end of the manifest, which hides newer tables, is StorageCorruption") {
    TemporaryDirectory directory;
    {
      const auto store = open_rocksdb(directory / "db").value();
      store->put("key", bytes("v")).value();
      store->flush().value();
    }
    std::string manifest;
    for (const auto& file : files_ending(directory / "db", ""))
      if (file.find("MANIFEST-") != std::string::npos) manifest = file;
    const auto intact = read_file(manifest);
    std::size_t refused = 0;
    for (std::size_t at = 0; at + 7 <= intact.size();) {
      const auto length = static_cast<unsigned char>(intact[at + 4]) | static_cast<unsigned char>(intact[at + 5]) << 8;
      auto damaged = intact;
      damaged[at + 5] ^= 0x20;
      write_file(manifest, damaged);
      const auto opened = open_rocksdb(directory / "db");
      REQUIRE_FALSE(opened);
      CHECK(opened.error().code == ErrorCode::kStorageCorruption);
      ++refused;
      at += 7 + static_cast<std::size_t>(length);
    }
    CHECK(refused >= 2);
    write_file(manifest, intact);
    CHECK(get_text(*open_rocksdb(directory / "db").value(), "key") == "v");
  }

  TEST_CASE("a directory whose name speaks of a full disk is none: what is wrong there is said as it is") {
    CHECK(says_no_room("IO error: While appending to file: /a/000004.log: No space left on device"));
    CHECK(says_no_room("IO error: IO error: No space left on device: While appending to file: /a/000004.log: No space left on device, retryable"));
    CHECK(says_no_room("IO error: While appending to file: /a/000004.log: Disk quota exceeded"));
    CHECK_FALSE(says_no_room("IO error: While appending to file: /No space left on device/000004.log: Input/output error"));
    CHECK_FALSE(says_no_room("IO error: While appending to file: /a: Disk quota exceeded/000004.log: Input/output error"));
    TemporaryDirectory directory;
    const auto path = directory / "No space left on device";
    open_rocksdb(path).value()->put("k", bytes("v"), Sync::kYes).value();
    for (const auto& file : files_ending(path, ""))
      if (file.find("MANIFEST-") != std::string::npos) std::filesystem::remove(file);
    const auto opened = open_rocksdb(path);
    REQUIRE_FALSE(opened.ok());
    CHECK(opened.error().code == ErrorCode::kStorageCorruption);
  }

  TEST_CASE("a pipe that is named like a log is not waited for when the store is opened") {
    TemporaryDirectory directory;
    const auto path = directory / "s";
    open_rocksdb(path).value()->put("k", bytes("v"), Sync::kYes).value();
    REQUIRE(::mkfifo((path + "/x.log").c_str(), 0600) == 0);
    CHECK(open_rocksdb(path).value()->get("k").value().has_value());
  }

  TEST_CASE("a full disk is OutOfDisk, keeps what was written, and works again once there is space") {
    TemporaryDirectory directory;
    const auto disk = directory / "disk";
    const SmallDisk mounted(disk);
    if (!mounted.mounted()) {
      MESSAGE("skipped: mounting a small tmpfs is not permitted here");
      return;
    }
    {
      const auto spill = open_rocksdb(disk + "/spill", {.kind = StoreKind::kSpill}).value();
      const auto large = pattern(1, 5 << 20);
      spill->bulk_load(std::vector<KeyValueStore::Record>{{"1", large}}).value();
      const auto full = spill->bulk_load(std::vector<KeyValueStore::Record>{{"2", large}});
      REQUIRE_FALSE(full);
      CHECK(full.error().code == ErrorCode::kOutOfDisk);
      CHECK(full.error().message.find(disk) != std::string::npos);
      CHECK(dump(*spill).size() == 1);
      spill->drop_range("1", "2").value();
      CHECK(spill->bulk_load(std::vector<KeyValueStore::Record>{{"2", large}}).ok());
    }
    {
      const auto meta = open_rocksdb(disk + "/meta").value();
      meta->put("kept", bytes("v"), Sync::kYes).value();
      const auto large = pattern(2, 1 << 20);
      Result<void> written;
      for (int i = 0; i < 20 && written; ++i) written = meta->put("fill" + std::to_string(i), large, Sync::kYes);
      REQUIRE_FALSE(written);
      CHECK(written.error().code == ErrorCode::kOutOfDisk);
      CHECK(get_text(*meta, "kept") == "v");
    }
  }

  TEST_CASE("an injected fault fails exactly the writes it was told to") {
    FaultyStore store(std::make_unique<MemoryStore>());
    store.fail_writes(2, ErrorCode::kOutOfDisk, 2);
    CHECK(store.put("1", bytes("a")).ok());
    CHECK(store.put("2", bytes("a")).error().code == ErrorCode::kOutOfDisk);
    CHECK(store.drop_range("0", "9").error().code == ErrorCode::kOutOfDisk);
    CHECK(store.put("3", bytes("a")).ok());
    CHECK(dump(store).size() == 2);
    store.flip_bit_on_read(0);
    CHECK(get_text(store, "1") == "`");
    CHECK(dump(store).at("3") == "`");
    store.flip_bit_on_read(-1);
    CHECK(get_text(store, "1") == "a");
  }

  TEST_CASE("keys made of numbers order as the numbers do") {
    CHECK(ordered_key("k", {1}) < ordered_key("k", {256}));
    CHECK(ordered_key("k", {255, 9}) < ordered_key("k", {256, 0}));
    CHECK(number_of_key(ordered_key("k", {7, 1ull << 60}), 1, 1) == 1ull << 60);
    CHECK_FALSE(number_of_key("k123", 1));
  }
}
