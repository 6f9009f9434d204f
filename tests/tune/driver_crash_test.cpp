// A driver that ends at a bad moment: by kill -9, or because a searcher, a scheduler or a stopper of the user's throws.
#include <doctest/doctest.h>

#include "runtime/errors.hpp"
#include "scripted_host.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;
namespace fs = std::filesystem;

namespace {

std::unique_ptr<EventLog> over(MemoryEventLog& records) { return std::make_unique<KillingLog>(records, SIZE_MAX, false); }

/// What a resume makes of it before anything runs.
Life::Outcome look(const Life& life, MemoryEventLog& records, const fs::path& dir) {
  return life.run(over(records), dir, [] { return true; });
}

void for_each_event(const EventLog& log, const std::function<void(const Event&)>& visit) {
  log.for_each_event([&](std::span<const std::byte> record) { visit(decode_event(record)); });
}

/// How often each iteration of a trial stands in the journal.
std::map<std::pair<TrialIndex, std::uint64_t>, int> reported(const EventLog& log) {
  std::map<std::pair<TrialIndex, std::uint64_t>, int> counts;
  for_each_event(log, [&](const Event& event) {
    if (const auto* report = std::get_if<TrialReported>(&event.body)) ++counts[{report->trial, report->iteration}];
  });
  return counts;
}

/// The iterations that a trial was started from, "0 5 ".
std::string starts(const EventLog& log, TrialIndex trial) {
  std::string text;
  for_each_event(log, [&](const Event& event) {
    if (const auto* started = std::get_if<TrialStarted>(&event.body); started && started->trial == trial)
      text += std::to_string(started->from_iteration) + " ";
  });
  return text;
}

std::set<std::string> checkpoints_on_disk(const fs::path& trial_dir) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(trial_dir))
    if (entry.is_directory()) names.insert(entry.path().filename().string());
  return names;
}

/// Only what the journal knows of lies on the disk.
void check_disk(const std::vector<Trial>& trials, const fs::path& dir) {
  for (const Trial& trial : trials) {
    if (!fs::exists(dir / trial.dir_name())) continue;
    std::set<std::string> known;
    for (const CheckpointRef& checkpoint : trial.checkpoints) known.insert(checkpoint.name);
    CHECK(checkpoints_on_disk(dir / trial.dir_name()) == known);
  }
}

/// Four trials, one after the other, whose checkpoints may take no more than two files' bytes.
Life with_budget() {
  Life life;
  life.machine = {.metric = "loss", .max_failures = 3, .keep_checkpoints = 3, .checkpoint_budget_bytes = 2};
  life.space = Space{{"x", uniform(0, 1)}};
  life.script = {.iterations = 3, .checkpoint_every = 1};
  life.compact_bytes = 1;
  return life;
}

using Hook = std::function<Verdict(TrialIndex, const ResultView&)>;

/// A scheduler of two functions.
class Hooked final : public Scheduler {
 public:
  Hooked(Hook on_result, std::function<Verdict()> on_idle, std::function<Verdict(TrialIndex)> on_complete)
      : on_result_(std::move(on_result)), on_idle_(std::move(on_idle)), on_complete_(std::move(on_complete)) {}
  Verdict on_result(TrialIndex trial, const ResultView& result) override { return on_result_(trial, result); }
  Verdict on_idle() override { return on_idle_ ? on_idle_() : Verdict(); }
  Verdict on_complete(TrialIndex trial, const ResultView*) override { return on_complete_ ? on_complete_(trial) : Verdict(); }
  std::string save() const override { return {}; }
  void restore(std::string_view) override {}

 private:
  Hook on_result_;
  std::function<Verdict()> on_idle_;
  std::function<Verdict(TrialIndex)> on_complete_;
};

SchedulerSpec hooked(Hook on_result, std::function<Verdict()> on_idle = {}, std::function<Verdict(TrialIndex)> on_complete = {}) {
  return {"hooked", "hooked", [=](const SchedulerContext&) { return std::make_unique<Hooked>(on_result, on_idle, on_complete); }};
}

Exploit copy_of(TrialIndex donor) { return {donor, Config{{"x", 0.5}}, "@copied"}; }

}  // namespace

TEST_SUITE("tune/core") {
  TEST_CASE("killed anywhere under a budget of bytes, a resume leaves on the disk what the journal knows of, also of trials that were over") {
    Life life = with_budget();
    life.samples = 8;
    for (std::size_t kill_at = 0;; ++kill_at) {
      CAPTURE(kill_at);
      const TempDir dir;
      MemoryEventLog records;
      bool killed = false;
      try {
        life.run(std::make_unique<KillingLog>(records, kill_at, true), dir.path());
      } catch (const Killed&) {
        killed = true;
      }
      check_disk(look(life, records, dir.path()).trials, dir.path());
      if (!killed) break;
    }
  }

  TEST_CASE("what a trial that was over at the snapshot still left in its directory goes at a resume") {
    const Life life = with_budget();
    const TempDir dir;
    MemoryEventLog records;
    const auto outcome = life.run(over(records), dir.path());
    CHECK(records.snapshot_records > 4);
    const fs::path of_first = dir.path() / outcome.trials[0].dir_name();
    fs::create_directories(of_first / "checkpoint_000099");
    fs::create_directories(of_first / ".checkpoint_tmp_1_1");
    check_disk(look(life, records, dir.path()).trials, dir.path());
  }

  TEST_CASE("decisions that were not written are told at a resume, killed anywhere in it, with a compaction due") {
    Life life = with_budget();
    life.machine.max_iterations = 2;  // so that a decision ends each
    life.compact_bytes = std::size_t{1} << 30;
    MemoryEventLog written, told_to;
    const TempDir dir;
    life.run(over(written), dir.path());
    for (const auto& record : written.records)
      if (!std::holds_alternative<TrialDecided>(decode_event(record).body)) told_to.append(record);
    life.compact_bytes = 1;
    for (std::size_t kill_at = 0; kill_at < 8; ++kill_at) {
      CAPTURE(kill_at);
      MemoryEventLog records = told_to;
      CHECK_THROWS_AS(
          [&] {
            life.run(std::make_unique<KillingLog>(records, kill_at, false), dir.path());
            throw Killed();  // there was less to write
          }(),
          Killed);
      look(life, records, dir.path());
      std::set<TrialIndex> known;
      for_each_event(records, [&](const Event& event) {
        const auto* decided = std::get_if<TrialDecided>(&event.body);
        if (decided && decided->state == TrialState::kTerminated) known.insert(decided->trial);
      });
      CHECK(known.size() == 4);
    }
  }

  TEST_CASE("results that came before a scheduler threw, and that at which it threw, are in the journal, and a resume goes on from them") {
    const auto broken = std::make_shared<bool>(true);
    Life life = with_budget();
    life.samples = 2;
    life.compact_bytes = std::size_t{1} << 30;
    life.script.results_per_word = 3;  // all in one turn
    life.scheduler = hooked([broken](TrialIndex trial, const ResultView& result) {
      if (*broken && trial == 1 && result.iteration == 2) throw std::runtime_error("no such column");
      return Verdict();
    });
    const TempDir dir;
    MemoryEventLog records;
    CHECK(error_of([&] { life.run(over(records), dir.path()); }) == "no such column");
    CHECK(reported(records).size() == 5);
    CHECK(reported(records).count({1, 2}) == 1);
    *broken = false;
    const auto outcome = life.run(over(records), dir.path());
    CHECK(outcome.launches.count(0) == 0);
    CHECK(starts(records, 1) == "0 2 ");
    const auto counts = reported(records);
    CHECK(counts.size() == 6);
    for (const auto& [result, count] : counts) CHECK(count == 1);
    for (const Trial& trial : outcome.trials) {
      CHECK(trial.state == TrialState::kTerminated);
      CHECK(lines_of(dir.path() / trial.dir_name() / "result.jsonl").size() == 3);
    }
  }

  TEST_CASE("a searcher that throws when it is asked leaves a journal from which it is asked again") {
    class Moody final : public Searcher {
     public:
      explicit Moody(bool good) : good_(good) {}
      Suggestion suggest(TrialIndex trial) override {
        if (!good_ && trial == 1) throw std::runtime_error("no connection");
        if (trial == 3) return {.kind = Suggestion::Kind::kDone};
        return {.kind = Suggestion::Kind::kConfig, .config = Config{{"x", static_cast<double>(trial)}}};
      }
      std::string save() const override { return {}; }
      void restore(std::string_view) override {}

     private:
      bool good_;
    };
    Life life = with_budget();
    life.concurrency = 2;
    life.searcher = [] { return std::make_unique<Moody>(false); };
    const TempDir dir;
    MemoryEventLog records;
    CHECK(error_of([&] { life.run(over(records), dir.path()); }) == "no connection");
    CHECK(look(life, records, dir.path()).trials.size() == 1);
    life.searcher = [] { return std::make_unique<Moody>(true); };
    const auto outcome = life.run(over(records), dir.path());
    REQUIRE(outcome.trials.size() == 3);
    for (const Trial& trial : outcome.trials) CHECK(trial.iteration == 3);
    for (const auto& [result, count] : reported(records)) CHECK(count == 1);
  }

  TEST_CASE("a copy of a copy, killed anywhere: both go on from the first one's checkpoint") {
    Life life;
    life.machine = {.metric = "loss", .keep_checkpoints = 1};
    life.space = Space{{"x", uniform(0, 1)}};
    life.samples = 3;
    life.script = {.iterations = 8, .checkpoint_every = 1};
    // Trial 2 comes to 5, the others to 3; then 1 copies 2, and 0 copies 1.
    life.scheduler = hooked(
        [](TrialIndex trial, const ResultView& result) {
          return Verdict(result.iteration == (trial == 2 ? 5u : 3u) ? Decision::kPause : Decision::kContinue);
        },
        [] {
          Verdict verdict;
          verdict.exploit_others = {{1, copy_of(2)}, {0, copy_of(1)}};
          verdict.resume = {0, 1, 2};
          return verdict;
        });
    for (std::size_t kill_at = 0;; ++kill_at) {
      CAPTURE(kill_at);
      const TempDir dir;
      MemoryEventLog records;
      std::vector<std::string> warnings;
      bool killed = false;
      try {
        life.run(std::make_unique<KillingLog>(records, kill_at, true), dir.path());
      } catch (const Killed&) {
        killed = true;
        const auto outcome = life.run(over(records), dir.path());
        CHECK(outcome.warnings.empty());
        for (const Trial& trial : outcome.trials) CHECK(trial.iteration == 8);
      }
      for (const TrialIndex copied : {0u, 1u}) {
        const std::string from = starts(records, copied);
        CAPTURE(from);
        CHECK(has(from, "5 "));
      }
      if (!killed) break;
    }
  }

  TEST_CASE("a trial that becomes a copy because another one came to its time limit goes on from the donor's checkpoint") {
    Life life;
    life.machine = {.metric = "loss", .keep_checkpoints = 1};
    life.space = Space{{"x", uniform(0, 1)}};
    life.samples = 3;
    life.concurrency = 3;
    life.tick_ms = 10;
    life.runner.trial_time_limit_s = 2;
    life.script = {.iterations = 8, .checkpoint_every = 1};
    life.script.hangs = [](TrialIndex trial, std::uint64_t iteration) { return trial == 1 && iteration == 2; };
    life.scheduler = hooked(
        [](TrialIndex trial, const ResultView& result) {
          return Verdict(result.iteration == (trial == 2 ? 5u : 3u) ? Decision::kPause : Decision::kContinue);
        },
        {},
        [](TrialIndex trial) {
          Verdict verdict;
          if (trial != 1) return verdict;
          verdict.exploit_others = {{0, copy_of(2)}};
          verdict.resume = {0, 2};
          return verdict;
        });
    const TempDir dir;
    MemoryEventLog records;
    const auto outcome = life.run(over(records), dir.path());
    CHECK(outcome.trials[1].timed_out);
    CHECK(starts(records, 0) == "0 5 ");
    CHECK(outcome.warnings.empty());
  }

  TEST_CASE("a checkpoint that a trial writes anew is not deleted for the one that lay there before") {
    for (const std::uint32_t results_per_word : {1u, 3u}) {
      CAPTURE(results_per_word);
      const TempDir dir;
      Life life;
      life.machine = {.metric = "loss", .max_failures = 2, .keep_checkpoints = 2};
      life.space = Space{{"x", uniform(0, 1)}};
      life.samples = 1;
      life.script = {.iterations = 6, .checkpoint_every = 1, .results_per_word = results_per_word};
      // The first time both checkpoints are lost with the machine that it ran on; the second time nothing is.
      life.script.crash = [&](TrialIndex, std::uint64_t iteration, std::uint32_t launch) {
        if (iteration != (results_per_word == 1 ? 4 : 6) || launch > 2) return false;
        for (const fs::directory_entry& trial : fs::directory_iterator(dir.path()))
          for (const std::string& name : checkpoints_on_disk(trial))
            if (launch == 1) fs::remove_all(trial.path() / name);
        return true;
      };
      MemoryEventLog records;
      const auto outcome = life.run(over(records), dir.path());
      CHECK(starts(records, 0) == "0 0 3 ");
      check_disk(outcome.trials, dir.path());
    }
  }
}
