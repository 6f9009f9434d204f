#include <doctest/doctest.h>

#include <thread>

#include "runtime/store/durable_store.hpp"
#include "tests/runtime/store/snapshot.hpp"

using namespace manta;
using namespace manta::test;

namespace {

#ifdef MANTA_SANITIZED
constexpr std::size_t kStep = 9;  // opening RocksDB is slow there, and the release build tries every byte
#else
constexpr std::size_t kStep = 1;
#endif

constexpr std::size_t kValues = 4;

std::string name_of(std::size_t i) { return std::string(1, static_cast<char>('a' + i)); }
std::vector<std::byte> value_of(std::size_t i) { return pattern(i, 11 * i); }  // the first one empty

const RegisterChild putter("put-small", [](const std::string& path, const std::function<void()>& ready) {
  auto store = DurableStore::open(path).value();
  for (std::size_t i = 0; i < kValues; ++i) store->put(name_of(i), "tag", value_of(i)).value();
  ready();
});

std::vector<std::byte> large_value_of(const std::string& name) { return pattern(static_cast<std::uint64_t>(name[0]), 100'000); }

std::vector<std::string> large_tables(const std::string& path) {
  auto tables = files_ending(path, ".sst");
  std::erase_if(tables, [](const std::string& file) { return std::filesystem::file_size(file) < 100'000; });
  return tables;
}

void flip_bit_in_the_middle(const std::string& file) {
  auto content = read_file(file);
  content[content.size() / 2] ^= 1;
  write_file(file, content);
}

/// By this process so far, also what the kernel had in memory.
std::uint64_t bytes_read() {
  std::ifstream io("/proc/self/io");
  std::string label;
  std::uint64_t count = 0;
  REQUIRE(static_cast<bool>(io >> label >> count));
  REQUIRE(label == "rchar:");
  return count;
}

}  // namespace

TEST_SUITE("runtime/store/durable_damage") {
  TEST_CASE("a log cut at any byte gives a prefix of the values, each whole, and putting goes on behind it") {
    TemporaryDirectory directory(TemporaryDirectory::Where::kMemory);
    const auto path = directory / "d";
    HoldingChild("put-small", path).kill();
    std::filesystem::remove(path + "/RESERVE");  // has no content, and would be copied for each cut
    const Snapshot snapshot(path);
    const auto [log, content] = snapshot.file(".log");
    std::size_t before = 0;
    for (std::size_t size = content.size() % kStep; size <= content.size(); size += kStep) {  // ends with the whole log
      CAPTURE(size);
      snapshot.restore();
      write_file(log, content.substr(0, size));
      const auto store = DurableStore::open(path).value();
      const auto infos = store->list().value();
      REQUIRE(infos.size() >= before);
      before = infos.size();
      for (std::size_t i = 0; i < infos.size(); ++i) {
        REQUIRE(infos[i].name == name_of(i));
        REQUIRE(equal(store->get(name_of(i)).value().bytes, value_of(i)));
      }
      if (size / kStep % (36 / kStep) != 0) continue;
      store->put("more", "tag", value_of(3)).value();
      REQUIRE(equal(store->get("more").value().bytes, value_of(3)));
    }
    CHECK(before == kValues);
  }

  TEST_CASE("a flipped bit in one large value concerns that one alone: the store opens, tells which it is, and removes it") {
    TemporaryDirectory directory(TemporaryDirectory::Where::kMemory);
    const auto path = directory / "d";
    const std::vector<std::string> names{"a", "b", "c"};
    {
      const auto store = DurableStore::open(path).value();
      for (const auto& name : names) store->put(name, "t", large_value_of(name)).value();
    }
    const auto tables = large_tables(path);
    REQUIRE(tables.size() == 3);
    flip_bit_in_the_middle(tables[1]);
    {
      const auto store = DurableStore::open(path).value();
      CHECK(store->list().value().size() == 3);
      std::vector<std::string> damaged;
      for (const auto& name : names) {
        const auto value = store->get(name);
        if (value) CHECK(equal(value.value().bytes, large_value_of(name)));
        if (value) continue;
        damaged.push_back(name);
        CHECK(value.error().code == ErrorCode::kStorageCorruption);
        CHECK(value.error().message.find('"' + name + '"') != std::string::npos);
      }
      REQUIRE(damaged.size() == 1);
      store->remove(damaged[0]).value();
      CHECK(store->get(damaged[0]).error().code == ErrorCode::kNotFound);
    }
    const auto store = DurableStore::open(path).value();
    CHECK(large_tables(path).size() == 2);
    const auto left = store->list().value();
    REQUIRE(left.size() == 2);
    for (const auto& info : left) CHECK(equal(store->get(info.name).value().bytes, large_value_of(info.name)));
  }

  TEST_CASE("opening reads no values") {
    TemporaryDirectory directory(TemporaryDirectory::Where::kMemory);
    const auto path = directory / "d";
    const auto value = pattern(1, 1 << 20);
    {
      const auto store = DurableStore::open(path).value();
      for (int i = 0; i < 16; ++i) store->put(std::to_string(i), "t", value).value();
    }
    const auto before = bytes_read();
    const auto store = DurableStore::open(path).value();
    CHECK(bytes_read() - before < 2 << 20);
    CHECK(store->list().value().size() == 16);
  }

  TEST_CASE("a flipped bit in a table of headers loses no value: once the table is as it was, all are there") {
    // Behaviour: RocksDB's iterator passed over the rest of a level in silence, and the values whose headers it had not seen were collected.
    TemporaryDirectory directory(TemporaryDirectory::Where::kMemory);
    const auto path = directory / "d";
    const std::string tag(60'000, 't');  // so that the headers fill several tables
    constexpr std::size_t kNames = 160;
    const auto value_at = [](std::size_t i) { return pattern(i, 100'000); };
    {
      const auto store = DurableStore::open(path).value();
      for (int round = 0; round < 2; ++round)  // the first values leave their marks in the tables
        for (std::size_t i = 0; i < (round == 0 ? 20 : kNames); ++i) store->put(std::to_string(1000 + i), tag, value_at(i)).value();
      std::this_thread::sleep_for(std::chrono::seconds(1));  // RocksDB moves tables to the second level
    }
    const Snapshot whole(path);
    int header_tables = 0;
    for (const auto& table : files_ending(path, ".sst")) {
      const auto size = std::filesystem::file_size(table);
      if (size < 200'000) continue;  // of a value
      ++header_tables;
      for (const auto at : {std::size_t{100}, size / 2}) {
        CAPTURE(table);
        CAPTURE(at);
        whole.restore();
        auto content = read_file(table);
        content[at] ^= 1;
        write_file(table, content);
        {
          const auto store = DurableStore::open(path);
          const auto list = store ? store.value()->list() : Result<std::vector<DurableInfo>>(store.error());
          REQUIRE_FALSE(list);
          CHECK(list.error().code == ErrorCode::kStorageCorruption);
        }
        content[at] ^= 1;
        if (std::filesystem::exists(table)) write_file(table, content);
        const auto store = DurableStore::open(path).value();
        std::size_t found = 0;
        for (std::size_t i = 0; i < kNames; ++i) {
          const auto value = store->get(std::to_string(1000 + i));
          found += value.ok() && equal(value.value().bytes, value_at(i));
        }
        CHECK(found == kNames);
      }
    }
    CHECK(header_tables >= 2);
  }
}
