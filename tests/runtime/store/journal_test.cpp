#include "runtime/journal.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>

#include "runtime/store/durable_store.hpp"
#include "runtime/store/records.hpp"
#include "runtime/store/rocksdb_store.hpp"
#include "runtime/store/store_directory.hpp"
#include "tests/runtime/store/journal_fixtures.hpp"

using namespace manta;
using namespace manta::test;

namespace {

/// Opens a journal by a path that is relative to the folder, and asks for it by that path when it is there.
const RegisterChild relative_holder("hold-relative", [](const std::string& folder, const std::function<void()>& ready) {
  std::filesystem::current_path(folder);
  auto journal = Journal::open("j");
  if (!Journal::in_use("j") || error_of([] { Journal::open("j"); }).code != ErrorCode::kResourceExhausted) return;
  ready();
});

}  // namespace

TEST_SUITE("runtime/journal") {
  // It went by another name before its folder was made than after; to look for it took its lock away.
  TEST_CASE("a journal that was made by a relative path is in use, and stays locked when one asks") {
    TemporaryDirectory directory;
    HoldingChild child("hold-relative", directory / ".");
    CHECK(Journal::in_use(directory / "j"));
    CHECK(error_of([&] { Journal::open(directory / "j"); }).code == ErrorCode::kResourceExhausted);
  }

  TEST_CASE("records come back in order, numbered from one, in this and every later opening") {
    TemporaryDirectory directory;
    {
      auto journal = Journal::open(directory / "j");
      CHECK(journal.last() == 0);
      CHECK(read_all(journal).empty());
      append_records(journal, 10);
      CHECK(read_all(journal) == expected(1, 10));
    }
    for (std::uint64_t opening = 1; opening <= 3; ++opening) {
      auto journal = Journal::open(directory / "j", {.create = false});
      CHECK(journal.last() == opening * 10);
      append_records(journal, 10);
      CHECK(read_all(journal) == expected(1, opening * 10 + 10));
    }
  }

  TEST_CASE("a batch is appended whole, and an empty one changes nothing") {
    TemporaryDirectory directory;
    auto journal = Journal::open(directory / "j", {.sync_each_append = true});
    const Journal::Record batch[] = {bytes("a"), {}, bytes("c")};
    CHECK(journal.append_batch(batch) == 3);
    CHECK(journal.append_batch({}) == 3);
    CHECK(read_all(journal) == Entries{{1, "a"}, {2, ""}, {3, "c"}});
  }

  TEST_CASE("threads append without a hole or a double number") {
    TemporaryDirectory directory;
    auto journal = Journal::open(directory / "j");
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i)
      threads.emplace_back([&journal] {
        for (int n = 0; n < 250; ++n) journal.append(bytes("x"));
      });
    for (auto& thread : threads) thread.join();
    CHECK(read_all(journal).size() == 1000);  // for_each itself refuses a hole
    CHECK(journal.last() == 1000);
  }

  TEST_CASE("a snapshot takes the place of the records before it, and appending goes on") {
    TemporaryDirectory directory;
    const Journal::Record snapshot[] = {bytes("s1"), bytes("s2")};
    Entries after{{20, "s1"}, {20, "s2"}};
    for (const auto& entry : expected(21, 35)) after.push_back(entry);
    {
      auto journal = Journal::open(directory / "j");
      append_records(journal, 30);
      journal.replace_prefix(20, snapshot);
      append_records(journal, 5);
      CHECK(read_all(journal) == after);
    }
    auto journal = Journal::open(directory / "j");
    CHECK(read_all(journal) == after);
    CHECK(error_of([&] { journal.replace_prefix(19, snapshot); }).code == ErrorCode::kInvalidArgument);
    CHECK(error_of([&] { journal.replace_prefix(36, snapshot); }).code == ErrorCode::kInvalidArgument);
    journal.replace_prefix(35, {});
    CHECK(read_all(journal).empty());
    CHECK(journal.last() == 35);
    const Journal::Record larger[] = {bytes("1"), bytes("2"), bytes("3")};
    journal.replace_prefix(35, larger);
    CHECK(read_all(journal).size() == 3);
    CHECK(journal.append(bytes("next")) == 36);
  }

  TEST_CASE("an empty snapshot of everything still knows the numbers when it is opened again") {
    TemporaryDirectory directory;
    {
      auto journal = Journal::open(directory / "j");
      append_records(journal, 5);
      journal.replace_prefix(5, {});
    }
    auto journal = Journal::open(directory / "j");
    CHECK(journal.append(bytes("x")) == 6);
  }

  TEST_CASE("after kill -9 every appended record is there") {
    TemporaryDirectory directory;
    HoldingChild("hold", directory / "j").kill();
    CHECK(read_all(Journal::open(directory / "j")) == expected(1, 30));
  }

  TEST_CASE("a running experiment's journal can be read by another process but not changed or opened twice") {
    TemporaryDirectory directory;
    HoldingChild child("hold", directory / "j");
    auto reader = Journal::open_read_only(directory / "j");
    CHECK(read_all(reader) == expected(1, 30));
    CHECK(error_of([&] { reader.append(bytes("x")); }).code == ErrorCode::kInvalidArgument);
    CHECK(error_of([&] { reader.replace_prefix(1, {}); }).code == ErrorCode::kInvalidArgument);
    reader.sync();
    CHECK(Journal::in_use(directory / "j"));
    const auto second = error_of([&] { Journal::open(directory / "j"); });
    CHECK(second.code == ErrorCode::kResourceExhausted);
    CHECK(second.message.find(std::to_string(child.pid())) != std::string::npos);
  }

  TEST_CASE("a journal whose snapshot has a number at the end of all numbers is damaged, and no record is appended behind it") {
    TemporaryDirectory directory;
    Journal::open(directory / "j").close();
    for (const std::uint64_t sealed : {UINT64_MAX, UINT64_MAX - 1, std::uint64_t{1} << 63}) {
      const auto header = encode(JournalHeader{.version = 1, .sealed = sealed});
      open_rocksdb(directory / "j", {.create = false}).value()->put("manta.journal", as_byte_view(header), Sync::kYes).value();
      CHECK(error_of([&] { Journal::open(directory / "j"); }).code == ErrorCode::kStorageCorruption);
    }
  }

  TEST_CASE("a journal that is closed, missing or something else says so") {
    TemporaryDirectory directory;
    auto journal = Journal::open(directory / "j");
    journal.append(bytes("x"));
    auto moved = std::move(journal);
    CHECK(moved.append(bytes("y")) == 2);
    CHECK(Journal::in_use(directory / "j"));
    moved.close();
    moved.close();
    CHECK_FALSE(Journal::in_use(directory / "j"));
    CHECK_FALSE(Journal::in_use(directory / "none"));
    CHECK(error_of([&] { moved.append(bytes("z")); }).code == ErrorCode::kInvalidArgument);
    CHECK(Journal::open(directory / "j").last() == 2);  // close let go of the directory

    CHECK(error_of([&] { Journal::open(directory / "none", {.create = false}); }).code == ErrorCode::kNotFound);
    CHECK(error_of([&] { Journal::open_read_only(directory / "none"); }).code == ErrorCode::kNotFound);
    CHECK_FALSE(std::filesystem::exists(directory / "none"));
    write_file(directory / "file", "x");
    CHECK(error_of([&] { Journal::open(directory / "file"); }).code == ErrorCode::kIoError);
    DurableStore::open(directory / "d").value()->put("v", "t", bytes("x")).value();
    const auto other = error_of([&] { Journal::open(directory / "d"); });
    CHECK(other.code == ErrorCode::kInvalidArgument);
    CHECK(other.message.find(directory / "d") != std::string::npos);
  }

  TEST_CASE("a store that cannot be looked at is an IoError, and a path that is none NotFound: nothing is thrown") {
    // A story: std::filesystem::exists threw where the journal's directory could not be searched, and ended `manta tune show`.
    TemporaryDirectory directory;
    const auto code_of = [](const std::string& path) {
      const auto there = require_store(path);
      return there ? std::nullopt : std::optional(there.error().code);
    };
    std::filesystem::create_directory(directory / "loop");
    std::filesystem::create_symlink("CURRENT", directory / "loop/CURRENT");  // as unreadable as a directory of another user's, also for root
    CHECK(code_of(directory / "loop") == ErrorCode::kIoError);
    CHECK(code_of(directory / "absent") == ErrorCode::kNotFound);
    CHECK(code_of(directory.path()) == ErrorCode::kNotFound);
    std::ofstream(directory / "file") << "text";
    CHECK(code_of(directory / "file") == ErrorCode::kNotFound);
    CHECK(code_of(directory / "file/below") == ErrorCode::kNotFound);
    CHECK(code_of(directory / std::string(300, 'x')) == ErrorCode::kIoError);
  }
}
