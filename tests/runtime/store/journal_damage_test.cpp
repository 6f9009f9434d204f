#include <doctest/doctest.h>

#include "tests/runtime/store/journal_fixtures.hpp"
#include "tests/runtime/store/snapshot.hpp"

using namespace manta;
using namespace manta::test;

namespace {

#ifdef MANTA_SANITIZED
constexpr std::size_t kStep = 9;  // opening RocksDB is slow there, and the release build tries every byte
#else
constexpr std::size_t kStep = 1;
#endif

/// A journal of 30 records as kill -9 leaves it: all of them in the log.
Snapshot killed_journal(const std::string& path) {
  HoldingChild("hold", path).kill();
  return Snapshot(path);
}

}  // namespace

TEST_SUITE("runtime/journal") {
  TEST_CASE("a log cut at any byte gives a prefix of the records, and appending goes on behind it") {
    TemporaryDirectory directory(TemporaryDirectory::Where::kMemory);
    const auto snapshot = killed_journal(directory / "j");
    const auto [log, content] = snapshot.file(".log");
    std::uint64_t before = 0;
    for (std::size_t size = 0; size <= content.size(); size += kStep) {
      snapshot.restore();
      write_file(log, content.substr(0, size));
      auto journal = Journal::open(directory / "j", {.create = false});
      const auto last = journal.last();
      REQUIRE(read_all(journal) == expected(1, last));
      REQUIRE(last >= before);
      before = last;
      if (size % 36 == 0) REQUIRE(journal.append(bytes("more")) == last + 1);
    }
    CHECK(before >= 29);
  }

  TEST_CASE("a flipped byte anywhere in the log never makes a record vanish or change in silence") {
    TemporaryDirectory directory(TemporaryDirectory::Where::kMemory);
    const auto snapshot = killed_journal(directory / "j");
    const auto [log, content] = snapshot.file(".log");
    int refused = 0;
    for (std::size_t at = 0; at < content.size(); at += kStep) {
      CAPTURE(at);
      snapshot.restore();
      auto damaged = content;
      damaged[at] = static_cast<char>(damaged[at] ^ 1 << at % 8);
      write_file(log, damaged);
      Entries entries;
      const auto error = error_of([&] { entries = read_all(Journal::open(directory / "j")); });
      refused += error.code == ErrorCode::kStorageCorruption;
      if (error.code != ErrorCode::kStorageCorruption) REQUIRE(entries == expected(1, 30));
    }
    CHECK(refused > static_cast<int>(content.size() / kStep) * 9 / 10);
  }

  TEST_CASE("a flipped byte in a table or the manifest is an error or harmless, never a missing record") {
    TemporaryDirectory directory(TemporaryDirectory::Where::kMemory);
    killed_journal(directory / "j");
    read_all(Journal::open(directory / "j"));  // opening moves the log into a table
    const Snapshot snapshot(directory / "j");
    int refused = 0;
    for (const char* ending : {".sst", "MANIFEST"}) {
      std::string path = snapshot.file(ending).first;
      if (path.empty())
        for (const auto& file : files_ending(directory / "j", ""))
          if (file.find(ending) != std::string::npos) path = file;
      const auto content = read_file(path);
      for (std::size_t at = 0; at < content.size(); at += 3 * kStep) {
        CAPTURE(path);
        CAPTURE(at);
        snapshot.restore();
        auto damaged = content;
        damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
        write_file(path, damaged);
        Entries entries;
        const auto error = error_of([&] { entries = read_all(Journal::open(directory / "j")); });
        if (error.message == "no error") REQUIRE(entries == expected(1, 30));
        refused += error.code == ErrorCode::kStorageCorruption;
      }
    }
    CHECK(refused > 100 / static_cast<int>(kStep));
  }

  TEST_CASE("a flipped byte in a table of a compacted journal never gives an older last number, which would be given again") {
    TemporaryDirectory directory(TemporaryDirectory::Where::kMemory);
    const auto path = directory / "j";
    constexpr std::uint64_t kLast = 600;
    const auto content_of = pattern(1, 100);
    {
      auto journal = Journal::open(path);
      while (journal.last() < 30) journal.append(content_of);
    }
    {
      auto journal = Journal::open(path);
      const Journal::Record snapshot = content_of;
      journal.replace_prefix(30, {&snapshot, 1});
      while (journal.last() < kLast) journal.append(content_of);
    }
    CHECK(Journal::open(path).last() == kLast);  // moves the log into a table
    const Snapshot whole(path);
    const auto [table, content] = whole.file(".sst");
    int refused = 0;
    for (std::size_t at = 50; at < content.size(); at += 400 * kStep)
      for (const bool read_only : {false, true}) {
        CAPTURE(at);
        CAPTURE(read_only);
        whole.restore();
        auto damaged = content;
        damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
        write_file(table, damaged);
        std::uint64_t last = 0;
        const auto error = error_of([&] { last = (read_only ? Journal::open_read_only(path) : Journal::open(path)).last(); });
        if (error.message == "no error") REQUIRE(last == kLast);
        refused += error.code == ErrorCode::kStorageCorruption;
      }
    CHECK(refused > 0);
  }

  TEST_CASE("a manifest that was cut, which hides the journal's header, is damage and not another kind of store") {
    TemporaryDirectory directory(TemporaryDirectory::Where::kMemory);
    const auto snapshot = killed_journal(directory / "j");
    std::string manifest;
    for (const auto& file : files_ending(directory / "j", ""))
      if (file.find("MANIFEST-") != std::string::npos) manifest = file;
    const auto content = read_file(manifest);
    int headless = 0;
    for (std::size_t size = 0; size <= content.size(); size += kStep) {
      CAPTURE(size);
      snapshot.restore();
      write_file(manifest, content.substr(0, size));
      Entries entries;
      const auto error = error_of([&] { entries = read_all(Journal::open(directory / "j", {.create = false})); });
      if (error.message == "no error") REQUIRE(entries == expected(1, 30));
      REQUIRE(error.code != ErrorCode::kInvalidArgument);
      if (error.message.find("header is missing") == std::string::npos) continue;
      ++headless;
      REQUIRE(error.code == ErrorCode::kStorageCorruption);
      REQUIRE(error.message.find("Restore the directory from a copy") != std::string::npos);
    }
    CHECK(headless > 0);
  }

  TEST_CASE("a manifest that is gone is damage, and the message says what can be done") {
    TemporaryDirectory directory;
    killed_journal(directory / "j");
    for (const auto& file : files_ending(directory / "j", ""))
      if (file.find("MANIFEST-") != std::string::npos) std::filesystem::remove(file);
    for (const auto& error : {error_of([&] { Journal::open(directory / "j"); }), error_of([&] { Journal::open_read_only(directory / "j"); })}) {
      CHECK(error.code == ErrorCode::kStorageCorruption);
      CHECK(error.message.find("Restore the directory from a copy") != std::string::npos);
    }
  }

  TEST_CASE("a missing table is an error, never a shorter journal") {
    TemporaryDirectory directory;
    killed_journal(directory / "j");
    read_all(Journal::open(directory / "j"));
    for (const auto& table : files_ending(directory / "j", ".sst")) std::filesystem::remove(table);
    const auto error = error_of([&] { read_all(Journal::open(directory / "j")); });
    CHECK((error.code == ErrorCode::kStorageCorruption || error.code == ErrorCode::kIoError));
  }
}
