#include "runtime/store/durable_store.hpp"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <thread>

#include "runtime/base/log.hpp"
#include "runtime/store/faulty_store.hpp"
#include "runtime/store/memory_store.hpp"
#include "runtime/store/rocksdb_store.hpp"
#include "tests/runtime/store/store_fixtures.hpp"

using namespace manta;
using namespace manta::test;

namespace {

constexpr std::size_t kLarge = (9 << 20) + 5;  // three chunks, the last one short

struct Faulty {
  FaultyStore* disk;
  std::unique_ptr<DurableStore> store;
};

/// A durable store on a disk in memory that can be made to fail.
Faulty faulty_store() {
  auto disk = std::make_unique<FaultyStore>(std::make_unique<MemoryStore>());
  auto* handle = disk.get();
  return {handle, DurableStore::on(std::move(disk)).value()};
}

/// A view on a store that somebody else owns, to open it a second time.
class Borrowed : public KeyValueStore {
 public:
  explicit Borrowed(KeyValueStore& store) : store_(store) {}
  const std::string& name() const noexcept override { return store_.name(); }
  Result<void> write(const WriteBatch& batch, Sync sync) override { return store_.write(batch, sync); }
  Result<void> bulk_load(std::span<const Record> records) override { return store_.bulk_load(records); }
  Result<void> drop_range(std::string_view a, std::string_view b) override { return store_.drop_range(a, b); }
  Result<bool> read(std::string_view key, const Reader& reader) const override { return store_.read(key, reader); }
  Result<void> scan(std::string_view first, const Visitor& visitor) const override { return store_.scan(first, visitor); }
  Result<std::vector<KeyRange>> ranges(std::string_view a, std::string_view b) const override { return store_.ranges(a, b); }
  Result<std::optional<std::string>> last_key() const override { return store_.last_key(); }
  Result<void> sync() override { return store_.sync(); }
  Result<void> flush() override { return store_.flush(); }

 private:
  KeyValueStore& store_;
};

/// Says once of a write that there was no room for it, when it is on the disk all the same.
class Pessimist final : public Borrowed {
 public:
  using Borrowed::Borrowed;
  Result<void> write(const WriteBatch& batch, Sync sync) override {
    auto written = Borrowed::write(batch, sync);
    if (!std::exchange(refuse, false)) return written;
    return ErrorInfo{.code = ErrorCode::kOutOfDisk, .message = "injected"};
  }
  bool refuse{};
};

std::uint64_t generation_of_chunk(const KeyValueStore& store) {
  std::optional<std::uint64_t> generation;
  store.scan("c", [&](std::string_view key, ByteView) { return generation = number_of_key(key, 1), false; }).value();
  return generation.value();
}

constexpr std::size_t kOwnTable = (64 << 10) + 1024;  // just too large for the log

/// While it lives this process can have only so many more files open than it has.
class FewDescriptors {
 public:
  explicit FewDescriptors(rlim_t more) {
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before_) == 0);
    auto fewer = before_;
    fewer.rlim_cur = files_ending("/proc/self/fd", "").size() + more;
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &fewer) == 0);
  }
  ~FewDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

void check_values(const DurableStore& store, std::size_t count) {
  REQUIRE(store.list("v").value().size() == count);
  for (std::size_t i = 0; i < count; ++i) REQUIRE(equal(store.get("v" + std::to_string(i)).value().bytes, pattern(i, kOwnTable)));
}

std::size_t count_keys(const KeyValueStore& store) {
  std::size_t keys = 0;
  store.scan("", [&keys](std::string_view, ByteView) { return ++keys, true; }).value();
  return keys;
}

const RegisterChild putter("put", [](const std::string& path, const std::function<void()>& ready) {
  auto store = DurableStore::open(path).value();
  store->put("before", "tag", pattern(1, kLarge)).value();
  ready();
});

const RegisterChild endless("put-endlessly", [](const std::string& path, const std::function<void()>& ready) {
  auto store = DurableStore::open(path).value();
  store->put("value", "0", pattern(0, kLarge)).value();
  std::thread([&ready] { ready(); }).detach();
  for (std::uint64_t round = 1;; ++round) store->put("value", std::to_string(round), pattern(round, kLarge)).value();
});

}  // namespace

TEST_SUITE("runtime/store") {
  TEST_CASE("a value of any size comes back with its type tag in a later opening") {
    TemporaryDirectory directory;
    const std::size_t sizes[] = {0, 1, 4 << 20, (4 << 20) + 1, kLarge};
    {
      const auto store = DurableStore::open(directory / "d").value();
      for (const auto size : sizes) store->put(std::to_string(size), "tag/1", pattern(size, size)).value();
    }
    const auto store = DurableStore::open(directory / "d").value();
    for (const auto size : sizes) {
      CAPTURE(size);
      const auto value = store->get(std::to_string(size)).value();
      CHECK(value.type_tag == "tag/1");
      CHECK(equal(value.bytes, pattern(size, size)));
    }
  }

  TEST_CASE("many large values need few descriptors: put, opened anew, read, listed and removed") {
    TemporaryDirectory directory(TemporaryDirectory::Where::kMemory);
    const FewDescriptors limit(170);
    constexpr std::size_t kCount = 300;
    {
      const auto store = DurableStore::open(directory / "d").value();
      for (std::size_t i = 0; i < kCount; ++i) store->put("v" + std::to_string(i), "t", pattern(i, kOwnTable)).value();
      check_values(*store, kCount);
    }
    const auto store = DurableStore::open(directory / "d").value();
    check_values(*store, kCount);
    for (std::size_t i = 0; i < kCount; ++i) store->remove("v" + std::to_string(i)).value();
    CHECK(store->list("v").value().empty());
    CHECK(files_ending(directory / "d", ".sst").size() < 20);
  }

  TEST_CASE("a name that a killed put left for a table of the store is deleted, and its bytes are never written over") {
    TemporaryDirectory directory(TemporaryDirectory::Where::kMemory);
    const auto path = directory / "d";
    DurableStore::open(path).value()->put("v0", "t", pattern(0, kOwnTable)).value();
    const auto table = files_ending(path, ".sst").at(0);
    for (const char* left : {"/load-0.sst", "/load-1.sst"}) std::filesystem::create_hard_link(table, path + left);
    write_file(path + "/load-77-1-0.sst", "half a table");
    {
      const auto store = DurableStore::open(path).value();
      for (std::size_t i = 1; i < 4; ++i) store->put("v" + std::to_string(i), "t", pattern(i, kOwnTable)).value();
      for (const auto& file : files_ending(path, ".sst")) CHECK(file.find("load-") == std::string::npos);
      check_values(*store, 4);
    }
    check_values(*DurableStore::open(path).value(), 4);
  }

  TEST_CASE("files of others in the directory are neither deleted nor read, whatever they are called") {
    // Behaviour: all that begins with load- was deleted, and all that ends with .log was looked through for damage.
    TemporaryDirectory directory;
    const auto path = directory / "d";
    std::filesystem::create_directories(path);
    const std::string text(100'000, 'x');
    const std::vector<std::string> names{"load-test.csv", "load-1234.log", "load-.sst", "load-a.table", "load-1.sst.txt", "train-4711.log", "MANIFEST-of-mine"};
    for (const auto& name : names) write_file(path + "/" + name, text);
    for (std::size_t i = 0; i < 2; ++i) DurableStore::open(path).value()->put("v" + std::to_string(i), "t", pattern(i, kOwnTable)).value();
    check_values(*DurableStore::open(path).value(), 2);
    for (const auto& name : names) CHECK(read_file(path + "/" + name) == text);
  }

  TEST_CASE("names of all kinds are listed by prefix, in order, and can be removed") {
    const auto store = DurableStore::on(std::make_unique<MemoryStore>()).value();
    const std::string odd("a\0b\xff", 4);
    for (const std::string& name : {std::string("b/2"), std::string("b/1"), std::string("c"), odd})
      store->put(name, "t", bytes(name)).value();
    const auto all = store->list().value();
    REQUIRE(all.size() == 4);
    CHECK(all[0].name == odd);
    const auto some = store->list("b/").value();
    REQUIRE(some.size() == 2);
    CHECK(some[0].name == "b/1");
    CHECK(some[0].bytes == 3);
    store->remove("b/1").value();
    CHECK(store->list("b/").value().size() == 1);
    CHECK(store->remove("b/1").error().code == ErrorCode::kNotFound);
    CHECK(store->get("b/1").error().code == ErrorCode::kNotFound);
    CHECK(store->info("c").value().type_tag == "t");
    CHECK(store->put("", "t", {}).error().code == ErrorCode::kInvalidArgument);
  }

  TEST_CASE("a name or a type tag that is too long is refused, by words that say what to do; the longest ones are kept") {
    const auto store = DurableStore::on(std::make_unique<MemoryStore>()).value();
    const std::string name(4 << 10, 'n'), tag(64 << 10, 't');
    store->put(name, tag, bytes("x")).value();
    CHECK(store->get(name).value().type_tag == tag);
    for (const auto& refused : {store->put(name + 'n', "t", bytes("x")), store->put("v", tag + 't', bytes("x")),
                                store->put("v", std::string(2 << 20, 't'), bytes("x"))}) {
      REQUIRE_FALSE(refused);
      CHECK(refused.error().code == ErrorCode::kInvalidArgument);
      CHECK(refused.error().message.find("give a short") + refused.error().message.find("Give a short") != 2 * std::string::npos);
    }
    CHECK(store->list().value().size() == 1);
  }

  TEST_CASE("a header that cannot be read hinders no opening, costs no other value and no chunk, is listed, and can be removed") {
    MemoryStore disk;
    const auto open = [&disk] { return DurableStore::on(std::make_unique<Borrowed>(disk)).value(); };
    for (const char* name : {"a", "b", "c"}) open()->put(name, "t", pattern(1, kLarge)).value();
    disk.put("hb", bytes("no header")).value();
    const auto keys = count_keys(disk);
    set_log_level(LogLevel::kOff);
    const auto store = open();
    set_log_level(LogLevel::kWarning);
    CHECK(count_keys(disk) == keys);
    for (const char* name : {"a", "c"}) CHECK(equal(store->get(name).value().bytes, pattern(1, kLarge)));
    CHECK(store->get("b").error().code == ErrorCode::kStorageCorruption);
    const auto infos = store->list().value();
    REQUIRE(infos.size() == 3);
    for (const auto& info : infos) CHECK(info.damaged == (info.name == "b"));
    store->remove("b").value();
    CHECK(store->list().value().size() == 2);
    open();
    CHECK(count_keys(disk) == keys - 4);  // the header and three chunks
  }

  // The story: room was made for what a damaged header said before a chunk was looked at: no memory, and no word of damage.
  TEST_CASE("a header that promises more than there is is damage, found before room is made for the value") {
    MemoryStore disk;
    const auto store = DurableStore::on(std::make_unique<Borrowed>(disk)).value();
    store->put("v", "t", pattern(1, kLarge)).value();
    const auto generation = generation_of_chunk(disk);
    const std::uint64_t chunk = 4 << 20, endless = std::uint64_t{1} << 62;
    for (const auto& [bytes, chunk_bytes] : {std::pair{endless, chunk}, {endless, std::uint64_t{0}}, {endless, endless}, {endless / 2 + 5, endless / 4},
                                             {16 * chunk + 1, chunk}, {std::uint64_t{16 * chunk + kLarge}, chunk}}) {
      CAPTURE(bytes);
      CAPTURE(chunk_bytes);
      const auto record = encode(DurableHeader{.type_tag = "t", .bytes = bytes, .checksum = 1, .generation = generation, .chunk_bytes = chunk_bytes});
      disk.put("hv", as_byte_view(record)).value();
      bool asked = false;
      const auto read = store->read("v", [&asked](const DurableInfo&) -> Result<std::span<std::byte>> {
        asked = true;
        return ErrorInfo{.code = ErrorCode::kObjectStoreFull, .message = "no room"};
      });
      CHECK_FALSE(asked);
      CHECK(read.error().code == ErrorCode::kStorageCorruption);
      CHECK(read.error().message.find("\"v\"") != std::string::npos);
      CHECK(store->info("v").error().code == ErrorCode::kStorageCorruption);
    }
    store->put("v", "t", pattern(2, kLarge)).value();
    CHECK(store->info("v").value().bytes == kLarge);
    CHECK(equal(store->get("v").value().bytes, pattern(2, kLarge)));
  }

  TEST_CASE("a generation at the end of all numbers is damage, and the next one does not begin anew at none") {
    MemoryStore disk;
    const auto record = encode(DurableHeader{.type_tag = "t", .generation = UINT64_MAX - 1, .chunk_bytes = 4 << 20});
    disk.put("hv", as_byte_view(record)).value();
    disk.put(ordered_key("c", {UINT64_MAX, 0}), bytes("a chunk")).value();
    set_log_level(LogLevel::kOff);
    const auto store = DurableStore::on(std::make_unique<Borrowed>(disk)).value();
    set_log_level(LogLevel::kWarning);
    const auto infos = store->list().value();
    REQUIRE(infos.size() == 1);
    CHECK(infos[0].damaged);
    CHECK(store->get("v").error().code == ErrorCode::kStorageCorruption);
    store->put("w", "t", bytes("small")).value();
    CHECK(generation_of_chunk(disk) > 0);
    CHECK(generation_of_chunk(disk) < UINT64_MAX / 2);
    store->remove("v").value();
    CHECK(store->list().value().size() == 1);
  }

  TEST_CASE("a forged generation that is nearly the last spoils no value that is put after it") {
    // Behaviour: the put took the next one, said that all was well, and what it had put was refused as damaged when it was read.
    constexpr std::uint64_t kEnd = std::uint64_t{1} << 63;
    for (const std::uint64_t forged : {kEnd - 1, kEnd - 2, kEnd / 2, kEnd / 2 - 1}) {
      CAPTURE(forged);
      MemoryStore disk;
      const auto record = encode(DurableHeader{.type_tag = "t", .generation = forged, .chunk_bytes = 4 << 20});
      disk.put("hv", as_byte_view(record)).value();
      const auto store = DurableStore::on(std::make_unique<Borrowed>(disk)).value();
      for (const char* name : {"a", "b", "v"}) {
        const auto put = store->put(name, "t", bytes("small"));
        if (forged == kEnd / 2 - 1)
          CHECK(put.error().code == ErrorCode::kStorageCorruption);
        else
          CHECK(equal(store->get(name).value().bytes, bytes("small")));
      }
    }
  }

  TEST_CASE("who looks through the names in parts begins each where the last ended, and looks at no other") {
    const auto store = DurableStore::on(std::make_unique<MemoryStore>()).value();
    for (int i = 100; i < 200; ++i) store->put("n" + std::to_string(i), "t", {}).value();
    store->put("o", "t", {}).value();
    std::vector<std::string> names;
    std::size_t visits = 0;
    for (bool more = true; more;) {
      more = false;
      std::size_t part = 0;
      store->visit("n", names.empty() ? "" : names.back(), [&](DurableInfo info) {
             ++visits;
             if (part++ == 10) return more = true, false;
             names.push_back(std::move(info.name));
             return true;
           }).value();
    }
    CHECK(visits == 109);
    REQUIRE(names.size() == 100);
    for (std::size_t i = 0; i < 100; ++i) CHECK(names[i] == "n" + std::to_string(100 + i));
    std::size_t all = 0;
    store->visit("n", "a", [&all](const DurableInfo&) { return ++all, true; }).value();
    CHECK(all == 100);
  }

  TEST_CASE("replacing and removing a value leaves none of its chunks behind") {
    auto disk = std::make_unique<MemoryStore>();
    const auto& keys = *disk;
    const auto store = DurableStore::on(std::move(disk)).value();
    store->put("v", "old", pattern(1, kLarge)).value();
    store->put("v", "new", pattern(2, 10)).value();
    CHECK(count_keys(keys) == 2);
    CHECK(store->get("v").value().type_tag == "new");
    store->remove("v").value();
    CHECK(count_keys(keys) == 0);
  }

  TEST_CASE("a put that fails at any of its writes leaves the old value whole, and nothing after the next opening") {
    for (std::uint64_t nth = 1; nth <= 2; ++nth) {  // the chunks and the commit
      CAPTURE(nth);
      MemoryStore disk;
      auto faulty = std::make_unique<FaultyStore>(std::make_unique<Borrowed>(disk));
      auto& fault = *faulty;
      const auto store = DurableStore::on(std::move(faulty)).value();
      store->put("v", "old", bytes("old")).value();
      fault.fail_writes(nth, ErrorCode::kOutOfDisk, 100);
      CHECK(store->put("v", "new", pattern(1, kLarge)).error().code == ErrorCode::kOutOfDisk);
      CHECK(text(store->get("v").value().bytes) == "old");
      const auto reopened = DurableStore::on(std::make_unique<Borrowed>(disk)).value();
      CHECK(count_keys(disk) == 2);
      CHECK(text(reopened->get("v").value().bytes) == "old");
      reopened->put("v", "new", pattern(1, kLarge)).value();
      CHECK(equal(reopened->get("v").value().bytes, pattern(1, kLarge)));
    }
  }

  TEST_CASE("a put whose commit finds no room takes its chunks back at once") {
    MemoryStore disk;
    auto faulty = std::make_unique<FaultyStore>(std::make_unique<Borrowed>(disk));
    auto& fault = *faulty;
    const auto store = DurableStore::on(std::move(faulty)).value();
    store->put("v", "old", bytes("old")).value();
    fault.fail_writes(2, ErrorCode::kOutOfDisk, 1);
    CHECK(store->put("v", "new", pattern(1, kLarge)).error().code == ErrorCode::kOutOfDisk);
    CHECK(count_keys(disk) == 2);
    CHECK(text(store->get("v").value().bytes) == "old");
  }

  TEST_CASE("a put whose commit is on the disk after all has put the value, whatever the disk said") {
    MemoryStore disk;
    auto pessimist = std::make_unique<Pessimist>(disk);
    auto& fault = *pessimist;
    const auto store = DurableStore::on(std::move(pessimist)).value();
    store->put("v", "old", bytes("old")).value();
    fault.refuse = true;
    store->put("v", "new", pattern(1, kLarge)).value();
    CHECK(equal(store->get("v").value().bytes, pattern(1, kLarge)));
    CHECK(count_keys(disk) == 4);  // the header and three chunks
  }

  TEST_CASE("a later program does not use the number of a value that an earlier one removed") {
    MemoryStore disk;
    std::uint64_t before = 0;
    for (int program = 0; program < 3; ++program) {
      const auto store = DurableStore::on(std::make_unique<Borrowed>(disk)).value();
      store->put("v", "t", bytes("x")).value();
      CHECK(generation_of_chunk(disk) > before);
      before = generation_of_chunk(disk);
      store->remove("v").value();
    }
  }

  TEST_CASE("a reserve that cannot be made, for another reason than space, refuses puts, and none once it can be made") {
    TemporaryDirectory directory;
    const auto path = directory / "d";
    std::filesystem::create_directories(path + "/RESERVE");
    const auto store = DurableStore::open(path).value();
    for (const std::size_t size : {std::size_t{10}, kOwnTable}) {
      const auto refused = store->put("v", "t", pattern(1, size));
      REQUIRE_FALSE(refused);
      CHECK(refused.error().code == ErrorCode::kIoError);
      CHECK(refused.error().message.find("RESERVE") != std::string::npos);
    }
    std::filesystem::remove(path + "/RESERVE");
    store->put("v", "t", pattern(1, kOwnTable)).value();
    CHECK(equal(store->get("v").value().bytes, pattern(1, kOwnTable)));
    CHECK(std::filesystem::file_size(path + "/RESERVE") >= 4 << 20);
  }

  TEST_CASE("a flipped bit is StorageCorruption that names the object, wherever it is") {
    auto [disk, store] = faulty_store();
    store->put("weights", "t", pattern(1, 1000)).value();
    for (const std::int64_t bit : {0, 77, 500, 7999}) {
      CAPTURE(bit);
      disk->flip_bit_on_read(bit);
      const auto value = store->get("weights");
      REQUIRE_FALSE(value);
      CHECK(value.error().code == ErrorCode::kStorageCorruption);
      CHECK(value.error().message.find("weights") != std::string::npos);
    }
    disk->flip_bit_on_read(7999, 1000);  // in the bytes only
    const auto value = store->get("weights");
    REQUIRE_FALSE(value);
    CHECK(value.error().code == ErrorCode::kStorageCorruption);
    CHECK(value.error().message.find("checksum") != std::string::npos);
    disk->flip_bit_on_read(-1);
    CHECK(store->get("weights").ok());
  }

  TEST_CASE("a value is read straight into the place that the reader gives, whose refusal is passed on") {
    const auto store = DurableStore::on(std::make_unique<MemoryStore>()).value();
    store->put("v", "t", pattern(3, 5000)).value();
    std::vector<std::byte> place(5000);
    const auto info = store->read("v", [&](const DurableInfo& found) -> Result<std::span<std::byte>> {
      CHECK(found.bytes == 5000);
      return std::span(place);
    });
    CHECK(info.value().type_tag == "t");
    CHECK(equal(place, pattern(3, 5000)));
    const auto refused = store->read("v", [](const DurableInfo&) -> Result<std::span<std::byte>> {
      return ErrorInfo{.code = ErrorCode::kObjectStoreFull, .message = "full"};
    });
    CHECK(refused.error().code == ErrorCode::kObjectStoreFull);
  }

  TEST_CASE("a value that put returned for survives kill -9") {
    TemporaryDirectory directory;
    HoldingChild("put", directory / "d").kill();
    CHECK(equal(DurableStore::open(directory / "d").value()->get("before").value().bytes, pattern(1, kLarge)));
  }

  TEST_CASE("kill -9 while a value is replaced leaves one whole version of it") {
    for (int round = 0; round < 3; ++round) {
      TemporaryDirectory directory;
      {
        HoldingChild child("put-endlessly", directory / "d");
        std::this_thread::sleep_for(std::chrono::milliseconds(20 + 31 * round));  // a moment, whichever it is
      }
      const auto value = DurableStore::open(directory / "d").value()->get("value").value();
      CHECK(equal(value.bytes, pattern(std::stoull(value.type_tag), kLarge)));
    }
  }

  TEST_CASE("a second program gets an error that names the first") {
    TemporaryDirectory directory;
    HoldingChild child("put", directory / "d");
    const auto second = DurableStore::open(directory / "d");
    REQUIRE_FALSE(second);
    CHECK(second.error().code == ErrorCode::kResourceExhausted);
    CHECK(second.error().message.find(std::to_string(child.pid())) != std::string::npos);
  }

  TEST_CASE("readers see the old or the new value while writers replace it") {
    const auto store = DurableStore::on(std::make_unique<MemoryStore>()).value();
    store->put("v", "0", pattern(0, 50'000)).value();
    std::thread writer([&store] {
      for (std::uint64_t round = 1; round <= 200; ++round)
        store->put("v", std::to_string(round), pattern(round, 50'000)).value();
    });
    int torn = 0;
    for (int reads = 0; reads < 200; ++reads) {
      const auto value = store->get("v").value();
      torn += !equal(value.bytes, pattern(std::stoull(value.type_tag), 50'000));
    }
    writer.join();
    CHECK(torn == 0);
  }
}
