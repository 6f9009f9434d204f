#include "tune/core/experiment_dir.hpp"

#include <doctest/doctest.h>

#include "runtime/errors.hpp"
#include "support.hpp"
#include "tune/core/journal_codec.hpp"
#include "tune/history.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;
namespace fs = std::filesystem;

namespace {
const ExperimentCreated kHeader{"exp", 7, {{"metric", "loss"}, {"space", "{lr}"}}};

void make_experiment(const fs::path& results) {
  auto dir = open_experiment_dir(results, "exp", false);
  dir.log->append(encode_event({0, kHeader}));
}

std::vector<fs::path> logs_of(const fs::path& journal) {
  std::vector<fs::path> logs;
  for (const auto& entry : fs::directory_iterator(journal))
    if (entry.path().extension() == ".log") logs.push_back(entry.path());
  REQUIRE_FALSE(logs.empty());
  return logs;
}

void remove_logs(const fs::path& journal) {
  for (const fs::path& log : logs_of(journal)) fs::remove(log);
}

void cut_logs(const fs::path& journal) {
  for (const fs::path& log : logs_of(journal)) fs::resize_file(log, 0);
}

void empty_journal(const fs::path& journal) {
  fs::remove_all(journal);
  fs::create_directory(journal);
}
}  // namespace

TEST_SUITE("tune/core") {
  TEST_CASE("an experiment that is there is refused without resume and opened with it") {
    TempDir tmp;
    make_experiment(tmp.path());
    const std::string text = error_of([&] { open_experiment_dir(tmp.path(), "exp", false); });
    CHECK(has(text, "holds the experiment 'exp' already"));
    CHECK(has(text, "--resume"));
    const auto dir = open_experiment_dir(tmp.path(), "exp", true);
    REQUIRE(dir.header);
    CHECK(dir.header->seed == 7);
    CHECK(dir.header->description == kHeader.description);
  }

  TEST_CASE("a driver killed before its first record left nothing that would be in the way") {
    TempDir tmp;
    open_experiment_dir(tmp.path(), "exp", false);
    CHECK_FALSE(open_experiment_dir(tmp.path(), "exp", false).header);
    CHECK_FALSE(open_experiment_dir(tmp.path(), "exp", true).header);
    fs::create_directories(tmp.path() / "probed");
    write_text(tmp.path() / "probed/.writable", "");  // killed while it looked whether it may write
    CHECK_FALSE(open_experiment_dir(tmp.path(), "probed", true).header);
    fs::create_directories(tmp.path() / "empty");
    CHECK_FALSE(open_experiment_dir(tmp.path(), "empty", true).header);
  }

  TEST_CASE("an experiment whose journal lost its record is refused, with or without resume, and left as it is") {
    for (const auto damage : {remove_logs, cut_logs, empty_journal}) {
      TempDir tmp;
      make_experiment(tmp.path());
      fs::create_directories(tmp.path() / "exp/f_00000");
      damage(tmp.path() / "exp/journal");
      for (const bool resume : {true, false}) {
        CHECK_THROWS_AS(read_history(tmp.path() / "exp"), StorageCorruption);
        CHECK_THROWS_AS(open_experiment_dir(tmp.path(), "exp", resume), StorageCorruption);
        CHECK(has(error_of([&] { open_experiment_dir(tmp.path(), "exp", resume); }), "Restore the journal from a copy"));
      }
      CHECK(fs::exists(tmp.path() / "exp/f_00000"));
    }
  }

  TEST_CASE("an experiment that another driver has open is refused") {
    TempDir tmp;
    make_experiment(tmp.path());
    const auto open = open_experiment_dir(tmp.path(), "exp", true);
    CHECK_THROWS_AS(open_experiment_dir(tmp.path(), "exp", true), ResourceExhausted);
  }

  TEST_CASE("a journal that is removed or replaced under its writer is noticed, and one that is there is not complained of") {
    TempDir tmp;
    const auto open = open_experiment_dir(tmp.path(), "exp", false);
    open.log->append(encode_event({0, kHeader}));
    CHECK(error_of([&] { open.log->check_there(); }).empty());
    fs::rename(tmp.path() / "exp", tmp.path() / "away");
    const std::string removed = error_of([&] { open.log->check_there(); });
    CHECK(has(removed, (tmp.path() / "exp/journal").string()));
    CHECK(has(removed, "was removed while the experiment ran"));
    CHECK_THROWS_AS(open.log->check_there(), IoError);
    fs::create_directories(tmp.path() / "exp/journal");
    write_text(tmp.path() / "exp/journal/LOCK", "");  // another one's
    CHECK(has(error_of([&] { open.log->check_there(); }), "was replaced"));
  }

  TEST_CASE("a directory that holds something else is left alone, with or without resume") {
    TempDir tmp;
    fs::create_directories(tmp.path() / "photos");
    write_text(tmp.path() / "photos/cat.jpg", "meow");
    for (bool resume : {false, true})
      CHECK(has(error_of([&] { open_experiment_dir(tmp.path(), "photos", resume); }), "holds no experiment"));
    CHECK(text_of(tmp.path() / "photos/cat.jpg") == "meow");
    CHECK_FALSE(fs::exists(tmp.path() / "photos/journal"));
  }

  TEST_CASE("a results directory that cannot be written says so before anything else") {
    TempDir tmp;
    write_text(tmp.path() / "file", "");
    CHECK_THROWS_AS(open_experiment_dir(tmp.path() / "file" / "results", "exp", false), IoError);
    CHECK(has(error_of([&] { open_experiment_dir(tmp.path() / "file", "exp", false); }), "results_dir"));
    CHECK_THROWS_AS(open_experiment_dir("/proc/manta", "exp", false), IoError);
  }

  TEST_CASE("names that lead elsewhere are refused") {
    TempDir tmp;
    for (const char* name : {"", ".", "..", "a/b"}) CHECK_THROWS_AS(open_experiment_dir(tmp.path(), name, false), InvalidArgument);
  }

  TEST_CASE("another experiment's options are named one by one") {
    ExperimentCreated wanted = kHeader;
    CHECK(error_of([&] { check_same_experiment("/d", kHeader, wanted, true); }).empty());
    wanted.seed = 8;
    CHECK(error_of([&] { check_same_experiment("/d", kHeader, wanted, false); }).empty());
    wanted.description[1].second = "{lr, l1}";
    wanted.description.push_back({"mode", "max"});
    const std::string text = error_of([&] { check_same_experiment("/d", kHeader, wanted, true); });
    CHECK(has(text, "space: there '{lr}', now '{lr, l1}'"));
    CHECK(has(text, "seed: there '7', now '8'"));
    CHECK(has(text, "mode: there '(nothing)', now 'max'"));
    CHECK_FALSE(has(text, "metric"));
    wanted.description.erase(wanted.description.begin());
    CHECK(has(error_of([&] { check_same_experiment("/d", kHeader, wanted, true); }), "metric: there 'loss', now '(nothing)'"));
  }

  TEST_CASE("an experiment that a version with other rules began is not gone on with, and the message says what can be done") {
    TempDir tmp;
    for (const std::uint32_t rules : {kRules - 1, kRules + 1}) {
      ExperimentCreated there = kHeader;
      there.rules = rules;
      const std::string name = "rules" + std::to_string(rules);
      open_experiment_dir(tmp.path(), name, false).log->append(encode_event({0, there}));
      const auto dir = open_experiment_dir(tmp.path(), name, true);
      REQUIRE(dir.header);
      const std::string text = error_of([&] { check_same_experiment(dir.path, *dir.header, kHeader, true); });
      CHECK(has(text, rules < kRules ? "an older version of Manta began" : "a newer version of Manta began"));
      CHECK(has(text, "Go on with the program that began it"));
      CHECK_THROWS_AS(check_same_experiment(dir.path, *dir.header, kHeader, true), InvalidArgument);
    }
  }
}
