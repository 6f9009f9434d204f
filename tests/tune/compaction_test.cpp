// A journal that is compacted: what a resume, and a reader of everything, find in it.
#include <doctest/doctest.h>

#include <cstring>

#include "runtime/errors.hpp"
#include "runtime/journal.hpp"
#include "scripted_host.hpp"
#include "tune/schedulers/asha.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;
namespace fs = std::filesystem;

namespace {

std::unique_ptr<EventLog> over(MemoryEventLog& records) { return std::make_unique<KillingLog>(records, SIZE_MAX, false); }

/// A few trials under ASHA, one at a time, each a random walk that is saved at each report.
Life walks() {
  Life life;
  life.machine = {.metric = "loss", .max_failures = 2, .keep_checkpoints = 2, .keep_best_checkpoints = 1};
  life.space = Space{{"x", uniform(0, 1)}};
  life.samples = 12;
  life.scheduler = asha({.max_t = 8, .reduction_factor = 2});
  life.script = {.iterations = 8, .checkpoint_every = 1, .random_walk = true};
  life.compact_bytes = 2000;
  return life;
}

/// Every result in the journal and its history; one that is there twice fails the test. The bits of the loss, by trial and
/// iteration.
std::map<std::pair<TrialIndex, std::uint64_t>, std::uint64_t> reported(const EventLog& log) {
  std::map<std::pair<TrialIndex, std::uint64_t>, std::uint64_t> results;
  log.for_each_event([&](std::span<const std::byte> record) {
    const Event event = decode_event(record);
    const auto* report = std::get_if<TrialReported>(&event.body);
    if (!report) return;
    const double loss = *report->metrics.get("loss");
    std::uint64_t bits = 0;
    std::memcpy(&bits, &loss, sizeof bits);
    REQUIRE(results.emplace(std::pair(report->trial, report->iteration), bits).second);
  });
  return results;
}

void check_same(const std::vector<Trial>& trials, const std::vector<Trial>& expected) {
  REQUIRE(trials.size() == expected.size());
  for (std::size_t i = 0; i < trials.size(); ++i) {
    CHECK(trials[i].config == expected[i].config);
    CHECK(trials[i].state == expected[i].state);
    CHECK(trials[i].iteration == expected[i].iteration);
    CHECK(trials[i].results == expected[i].results);
    CHECK(trials[i].last == expected[i].last);
    REQUIRE(trials[i].checkpoints.size() == expected[i].checkpoints.size());
    for (std::size_t k = 0; k < trials[i].checkpoints.size(); ++k)
      CHECK(trials[i].checkpoints[k].name == expected[i].checkpoints[k].name);
  }
}

void check_files(const std::vector<Trial>& trials, const fs::path& dir) {
  for (const Trial& trial : trials) {
    const auto rows = lines_of(dir / trial.dir_name() / "result.jsonl");
    REQUIRE(rows.size() == trial.results);
    for (std::size_t i = 0; i < rows.size(); ++i) CHECK(has(rows[i], "\"training_iteration\":" + std::to_string(i + 1) + ","));
    CHECK(lines_of(dir / trial.dir_name() / "progress.csv").size() == (trial.results ? trial.results + 1 : 0));
  }
}

std::vector<std::byte> bytes(const std::string& text) {
  const auto view = std::as_bytes(std::span(text.data(), text.size()));
  return {view.begin(), view.end()};
}

std::vector<std::string> texts(const EventLog& log, void (EventLog::*visit)(const EventLog::Visitor&) const) {
  std::vector<std::string> found;
  (log.*visit)([&](std::span<const std::byte> record) { found.emplace_back(reinterpret_cast<const char*>(record.data()), record.size()); });
  return found;
}

}  // namespace

TEST_SUITE("tune/core") {
  TEST_CASE("killed at a hundred random moments and resumed each time, the end is bit for bit that of the unbroken run") {
    const Life life = walks();
    const TempDir whole_dir;
    MemoryEventLog whole;
    const auto unbroken = life.run(over(whole), whole_dir.path());
    CHECK_FALSE(whole.history.empty());
    const auto expected = reported(whole);
    Random random(20261125);
    int kills = 0;
    for (int round = 0; kills < 100; ++round) {
      CAPTURE(round);
      const TempDir dir;
      MemoryEventLog records;
      std::optional<Life::Outcome> outcome;
      while (!outcome) {
        try {
          const auto kill_at = static_cast<std::size_t>(random.randint(0, 40));
          outcome = life.run(std::make_unique<KillingLog>(records, kill_at, random.uniform() < 0.5), dir.path());
        } catch (const Killed&) {
          ++kills;
        }
      }
      CHECK(reported(records) == expected);
      check_same(outcome->trials, unbroken.trials);
      check_files(outcome->trials, dir.path());
    }
  }

  TEST_CASE("a resume from a snapshot goes on exactly as one from all events") {
    Life life = walks();
    life.compact_bytes = std::size_t{1} << 30;
    MemoryEventLog plain, compacted;
    const TempDir a, b;
    int asked = 0;
    const auto interrupted = [&] { return ++asked > 22; };
    (void)life.run(over(plain), a.path(), interrupted);
    asked = 0;
    life.compact_bytes = 1;  // at each commit
    (void)life.run(over(compacted), b.path(), interrupted);
    CHECK(compacted.snapshot_records > 3);
    check_same(life.run(over(compacted), b.path()).trials, life.run(over(plain), a.path()).trials);
    CHECK(reported(compacted) == reported(plain));
  }

  TEST_CASE("what a resume reads is bounded by the state, and the history has everything") {
    Life life = walks();
    life.samples = 60;
    const TempDir dir;
    MemoryEventLog records;
    const auto outcome = life.run(over(records), dir.path());
    std::size_t tail = 0, snapshot = 0;
    for (std::size_t i = 0; i < records.records.size(); ++i) (i < records.snapshot_records ? snapshot : tail) += records.records[i].size();
    CHECK(tail < std::max<std::size_t>(life.compact_bytes, snapshot) + 1000);
    std::uint64_t results = 0;
    for (const Trial& trial : outcome.trials) results += trial.results;
    CHECK(reported(records).size() == results);
    const auto again = life.run(over(records), dir.path());
    CHECK(again.launches.empty());
    check_same(again.trials, outcome.trials);
  }

  TEST_CASE("files that somebody cut short are written again from the history") {
    Life life = walks();
    const TempDir dir;
    MemoryEventLog records;
    int asked = 0;
    const auto first = life.run(over(records), dir.path(), [&] { return ++asked > 45; });
    REQUIRE(records.snapshot_records > 0);
    for (const Trial& trial : first.trials)
      if (!trial.ended() && trial.results) fs::resize_file(dir.path() / trial.dir_name() / "progress.csv", 3);
    check_files(life.run(over(records), dir.path()).trials, dir.path());
  }

  TEST_CASE("a trial's whole state comes back from a snapshot") {
    Trial trial{.index = 7, .tag = "x=1", .exploit_tag = "x=2@perturbed", .state = TrialState::kPaused, .attempts = 3, .failures = 2};
    trial.config.set("x/y", 2.5);
    trial.before_exploit = BeforeExploit{trial.config, 11, 0.75};
    trial.before_exploit->config.set("x/y", 3.5);
    trial.copy_only = true;
    trial.iteration = 9, trial.results = 12, trial.time_total_s = 1.5, trial.exploits = 1, trial.timed_out = true, trial.pid = 44;
    trial.last = {{"loss", 0.1 + 0.2}};
    trial.ranges = {{"loss", 3, 1, 4}};
    trial.checkpoints = {{8, "checkpoint_000008", std::nullopt, 100, 5}, {9, "checkpoint_000009", 0.25, 200, 6}};
    trial.cloned = ClonedCheckpoint{3, "checkpoint_000004", "checkpoint_000004_clone1"};
    trial.resources = TrialResources{.num_gpus = 0.5, .custom = {{"disk", 2}}, .bundles = {{.num_cpus = 2, .resources = {{"a", 1}}}}};
    trial.error = "it failed";
    trial.time_running_s = 2.25;
    const Event event{5, TrialSnapshot{std::make_shared<Trial>(trial), 17}};
    const Event decoded = decode_event(encode_event(event));
    const auto& snapshot = std::get<TrialSnapshot>(decoded.body);
    const Trial& back = *snapshot.state;
    CHECK(snapshot.running_since_ms == 17);
    CHECK(encode_event(decoded) == encode_event(event));
    CHECK(back.config == trial.config);
    CHECK(back.before_exploit == trial.before_exploit);
    CHECK(back.copy_only);
    CHECK(back.last == trial.last);
    CHECK(back.resources == trial.resources);
    CHECK(back.checkpoints[1].score == 0.25);
    CHECK(back.checkpoints[1].order == 6);
    CHECK_FALSE(back.checkpoints[0].score.has_value());
    CHECK(back.cloned->name == trial.cloned->name);
    CHECK(back.ranges[0].max == 4);
    CHECK(back.state == TrialState::kPaused);
    CHECK(back.timed_out);
  }

  TEST_CASE("on the disk: the snapshot and the records since, and beside it all that ever was") {
    const TempDir dir;
    const fs::path path = dir.path() / "journal";
    std::vector<std::string> all;
    {
      const auto log = open_event_log(path);
      for (int i = 0; i < 3000; ++i) {
        all.push_back("record " + std::to_string(i) + std::string(80, 'x'));
        log->append(bytes(all.back()));
        if (i == 1000 || i == 2000) log->compact({bytes("snapshot a"), bytes("snapshot b")});
      }
      const auto now = texts(*log, &EventLog::for_each);
      CHECK(now.size() == 2 + 999);
      CHECK(now[1] == "snapshot b");
      CHECK(texts(*log, &EventLog::for_each_event) == all);
      CHECK(texts(*open_event_log_read_only(path), &EventLog::for_each_event) == all);  // also while it is written
    }
    CHECK(texts(*open_event_log(path), &EventLog::for_each_event) == all);
  }

  TEST_CASE("a kill between the two halves of a compaction neither loses nor doubles a record") {
    const TempDir dir;
    const fs::path path = dir.path() / "journal", copy = dir.path() / "copy";
    std::vector<std::string> all;
    const auto append = [&](EventLog& log, int count) {
      for (int i = 0; i < count; ++i) {
        all.push_back("record " + std::to_string(all.size()));
        log.append(bytes(all.back()));
      }
    };
    {
      const auto log = open_event_log(path);
      append(*log, 50);
      log->compact({bytes("snapshot")});
      append(*log, 50);
    }
    fs::copy(path, copy, fs::copy_options::recursive);
    open_event_log(path)->compact({bytes("snapshot")});
    fs::remove_all(path);
    fs::rename(copy, path);  // the history has the records, the journal still has them too
    const auto log = open_event_log(path);
    CHECK(texts(*log, &EventLog::for_each_event) == all);
    append(*log, 10);
    log->compact({bytes("snapshot")});
    append(*log, 10);
    CHECK(texts(*log, &EventLog::for_each_event) == all);
  }

  TEST_CASE("a history that ends before its journal begins is refused") {
    // Behaviour: the results between were missing, without a word: in a report of an experiment that was copied while it ran.
    const TempDir dir;
    const fs::path path = dir.path() / "journal", history = dir.path() / "history", old = dir.path() / "old";
    {
      const auto log = open_event_log(path);
      for (int i = 0; i < 60; ++i) {
        log->append(bytes("record " + std::to_string(i)));
        if (i == 20 || i == 40) log->compact({bytes("snapshot")});
        if (i == 20) fs::copy(history, old, fs::copy_options::recursive);
      }
      CHECK(texts(*log, &EventLog::for_each_event).size() == 60);
    }
    fs::remove_all(history);
    fs::rename(old, history);
    const auto log = open_event_log_read_only(path);
    CHECK_THROWS_AS(texts(*log, &EventLog::for_each_event), StorageCorruption);
    CHECK(texts(*log, &EventLog::for_each).size() == 1 + 19);
  }
}
