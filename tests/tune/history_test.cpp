// What a journal alone tells of an experiment, compared with what its driver knew.
#include "tune/history.hpp"

#include <doctest/doctest.h>

#include <cmath>

#include "runtime/errors.hpp"
#include "scripted_host.hpp"
#include "tune/core/experiment_dir.hpp"
#include "tune/schedulers/asha.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;

namespace {

Life asha_life() {
  Life life;
  life.machine = {.metric = "loss", .max_failures = 1};
  life.header.description = {{"trainable", "f"}, {"metric", "loss"}, {"mode", "min"}, {"and metric seconds", "max"}};
  life.space = Space{{"x", uniform(0, 1)}};
  life.samples = 8;
  life.scheduler = asha({.max_t = 8, .reduction_factor = 2});
  life.script = {.iterations = 100,
                 .checkpoint_every = 2,
                 .loss = [](const Config& config, std::uint64_t t) { return config.get<double>("x") + 1.0 / static_cast<double>(t); },
                 .crash = [](TrialIndex trial, std::uint64_t t, std::uint32_t launch) {
                   return (trial == 1 && t == 4 && launch == 1) || (trial == 3 && t == 2);
                 }};
  return life;
}

void check_same(const std::vector<Trial>& read, const std::vector<Trial>& known) {
  REQUIRE(read.size() == known.size());
  for (std::size_t i = 0; i < read.size(); ++i) {
    CAPTURE(i);
    CHECK(read[i].state == known[i].state);
    CHECK(read[i].config == known[i].config);
    CHECK(read[i].iteration == known[i].iteration);
    CHECK(read[i].last == known[i].last);
    CHECK(read[i].failures == known[i].failures);
    CHECK(read[i].attempts == known[i].attempts);
    CHECK(read[i].error == known[i].error);
    CHECK(read[i].exploit_tag == known[i].exploit_tag);
    CHECK(read[i].exploits == known[i].exploits);
  }
}

/// The records as a journal in `dir`.
void write_journal(const MemoryEventLog& records, const std::filesystem::path& dir) {
  const auto log = open_event_log(dir / "journal");
  records.for_each([&](std::span<const std::byte> record) { log->append(record); });
}

/// Says what it is told to for each result.
class ToldScheduler final : public Scheduler {
 public:
  explicit ToldScheduler(std::function<Verdict(TrialIndex, const ResultView&)> answer) : answer_(std::move(answer)) {}
  void fill_config(TrialIndex trial, Config& config) const override { config.set("filled", static_cast<int>(trial)); }
  Verdict on_result(TrialIndex trial, const ResultView& result) override { return answer_(trial, result); }
  std::string save() const override { return {}; }
  void restore(std::string_view) override {}

 private:
  std::function<Verdict(TrialIndex, const ResultView&)> answer_;
};

}  // namespace

TEST_SUITE("tune/history") {
  TEST_CASE("the journal tells of every trial what the driver knew, with times and rungs") {
    const TempDir dir;
    const auto outcome = asha_life().run(open_event_log(dir.path() / "journal"), dir.path());
    const ExperimentHistory history = read_history(dir.path());
    check_same(history.trials, outcome.trials);
    CHECK(history.trials[3].state == TrialState::kError);
    CHECK(history.name == "exp");
    CHECK(history.metric == "loss");
    CHECK(history.sessions == 1);
    CHECK(history.further_objectives == std::vector<Objective>{{"seconds", Mode::kMax}});
    CHECK_FALSE(history.running);
    std::size_t stopped = 0;
    for (std::size_t i = 0; i < history.trials.size(); ++i) {
      const auto& rows = history.results[i];
      REQUIRE(rows.size() == history.trials[i].iteration);
      for (std::size_t row = 0; row < rows.size(); ++row) {
        CHECK(rows[row].iteration == row + 1);
        const bool at_rung = row + 1 == 1 || row + 1 == 2 || row + 1 == 4 || row + 1 == 8;
        CHECK((rows[row].rung > 0) == at_rung);
        if (at_rung) CHECK(rows[row].rung == static_cast<double>(row + 1));
      }
      stopped += rows.size() < 8;
      CHECK(history.times[i].created_ms <= history.times[i].started_ms);
      CHECK(history.times[i].started_ms < history.times[i].ended_ms);
    }
    CHECK(stopped >= 3);
  }

  TEST_CASE("a driver that was killed between an event and its decision writes the decision down when it comes back") {
    MemoryEventLog whole;
    const TempDir first_dir;
    const auto expected = asha_life().run(std::make_unique<KillingLog>(whole, SIZE_MAX, false), first_dir.path());
    REQUIRE(whole.records.size() > 30);
    for (std::size_t kill_at = 1; kill_at < whole.records.size(); kill_at += 3) {
      CAPTURE(kill_at);
      const TempDir dir;
      MemoryEventLog records;
      CHECK_THROWS_AS(asha_life().run(std::make_unique<KillingLog>(records, kill_at, true), dir.path()), Killed);
      const auto outcome = asha_life().run(std::make_unique<KillingLog>(records, SIZE_MAX, false), dir.path());
      const TempDir copy;
      write_journal(records, copy.path());
      const ExperimentHistory history = read_history(copy.path());
      check_same(history.trials, outcome.trials);
      CHECK(history.sessions == 2);
    }
  }

  TEST_CASE("nothing is missing after the journal was compacted") {
    const TempDir plain, compacted;
    Life life = asha_life();
    life.run(open_event_log(plain.path() / "journal"), plain.path());
    life.compact_bytes = 1000;
    const auto outcome = life.run(open_event_log(compacted.path() / "journal"), compacted.path());
    REQUIRE(std::filesystem::exists(compacted.path() / "history"));
    const ExperimentHistory history = read_history(compacted.path());
    check_same(history.trials, outcome.trials);
    const ExperimentHistory expected = read_history(plain.path());
    for (std::size_t i = 0; i < expected.results.size(); ++i) {
      REQUIRE(history.results[i].size() == expected.results[i].size());
      for (std::size_t row = 0; row < expected.results[i].size(); ++row) CHECK(history.results[i][row].rung == expected.results[i][row].rung);
    }
    const auto resumed = life.run(open_event_log(compacted.path() / "journal"), compacted.path());
    check_same(read_history(compacted.path()).trials, resumed.trials);
  }

  TEST_CASE("an experiment that still runs can be read, in this process too") {
    const TempDir dir;
    Experiment experiment(ExperimentMachine({.metric = "loss", .trial_prefix = "abcde", .trainable = "f"},
                                            std::make_unique<VariantSearcher>(Space{{"x", 1}}, 2, 1), fifo().make({"loss", Mode::kMin, 1})),
                          open_event_log(dir.path() / "journal"), dir.path(), {}, [] { return 5; });
    experiment.begin({.name = "exp", .seed = 1, .description = {{"metric", "loss"}}}, 77);
    while (auto created = experiment.machine().propose()) experiment.apply(*created);
    experiment.apply(TrialStarted{0, 0});
    experiment.apply(TrialReported{0, 1, Metrics{{"loss", 2}}, 0.5, "", 9});
    const ExperimentHistory history = read_history(dir.path());
    CHECK(history.running);
    CHECK(history.session_pid == 77);
    REQUIRE(history.trials.size() == 2);
    CHECK(history.trials[0].state == TrialState::kRunning);
    CHECK(history.trials[0].time_total_s == 0.5);
    CHECK(history.trials[1].state == TrialState::kPending);
    experiment.apply(TrialReported{0, 2, Metrics{{"loss", 1}}, 0.5, "", 9});
    CHECK(read_history(dir.path()).results[0].size() == 2);
  }

  TEST_CASE("configurations that a scheduler filled in or exchanged are those that are read") {
    const TempDir dir;
    Life life = asha_life();
    life.samples = 2, life.concurrency = 2;
    life.script = {.iterations = 4, .checkpoint_every = 1, .seconds = 0.5};
    life.scheduler = {"told", "told", [](const SchedulerContext&) {
                        return std::make_unique<ToldScheduler>([taken = false](TrialIndex trial, const ResultView& result) mutable {
                          if (trial != 1 || result.iteration != 2 || std::exchange(taken, true)) return Verdict();
                          Verdict verdict(Decision::kPause, 2);
                          Config other;
                          other.set("x", 0.25);
                          verdict.exploit = Exploit{0, other, "x=0.25"};
                          return verdict;
                        });
                      }};
    const auto outcome = life.run(open_event_log(dir.path() / "journal"), dir.path());
    const ExperimentHistory history = read_history(dir.path());
    check_same(history.trials, outcome.trials);
    CHECK(history.trials[0].config.get<int>("filled") == 0);
    CHECK(history.trials[1].config.get<double>("x") == 0.25);
    CHECK(history.trials[1].exploits == 1);
    CHECK(history.trials[1].time_total_s == outcome.trials[1].time_total_s);
    CHECK(history.results[1].at(1).rung == 2);
  }

  TEST_CASE("failures that no event tells of, and the reason of an early end, are read as well") {
    const TempDir dir;
    Life life = asha_life();
    life.machine.metric = "accuracy";
    const auto missing = life.run(open_event_log(dir.path() / "a" / "journal"), dir.path() / "a");
    check_same(read_history(dir.path() / "a").trials, missing.trials);
    CHECK(has(read_history(dir.path() / "a").trials[0].error, "no metric 'accuracy'"));
    life = asha_life();
    life.script.iterations = 0, life.script.crash = {};
    const auto empty = life.run(open_event_log(dir.path() / "b" / "journal"), dir.path() / "b");
    check_same(read_history(dir.path() / "b").trials, empty.trials);
    CHECK(read_history(dir.path() / "b").trials[0].state == TrialState::kError);
    life = asha_life();
    life.tick_ms = 100, life.runner.time_budget_s = 2, life.concurrency = 3;
    const auto early = life.run(open_event_log(dir.path() / "c" / "journal"), dir.path() / "c");
    REQUIRE_FALSE(early.stopped_by.empty());
    check_same(read_history(dir.path() / "c").trials, early.trials);
    CHECK(read_history(dir.path() / "c").stopped_by == early.stopped_by);
  }

  TEST_CASE("load_experiment gives the grid again, with the checkpoints that are still there") {
    const TempDir dir;
    const auto outcome = asha_life().run(open_event_log(dir.path() / "run" / "journal"), dir.path() / "run");
    const ResultGrid grid = load_experiment(dir.path());  // its only experiment
    REQUIRE(grid.size() == outcome.trials.size());
    CHECK(grid.dir() == std::filesystem::absolute(dir.path() / "run"));
    CHECK(grid.errors().size() == 1);
    const TrialResult& best = grid.best();
    CHECK(best.iterations == 8);
    // The journal's header names the trials; this test's driver called them otherwise.
    CHECK(best.id.substr(5) == outcome.trials[best.index].id.substr(5));
    CHECK_FALSE(best.checkpoint_dir);
    std::filesystem::create_directories(best.dir / "checkpoint_000006");
    CHECK(load_experiment(dir.path()).best().checkpoint_dir == best.dir / "checkpoint_000006");
    CHECK(load_experiment(dir.path()).best().best_checkpoint_dir == best.dir / "checkpoint_000006");
  }

  TEST_CASE("load_experiment goes by score_attribute and score_mode for the best checkpoint") {
    const TempDir dir;
    MemoryEventLog records;
    const auto add = [&](EventBody body) { records.append(encode_event({1, std::move(body)})); };
    add(ExperimentCreated{.name = "exp", .description = {{"trainable", "f"}, {"metric", "loss"}, {"mode", "min"}, {"checkpoint score", "max top 5"}}});
    add(SessionStarted{1}), add(TrialCreated{0, "", {}}), add(TrialStarted{0, 0});
    const double accuracies[] = {0.5, 0.9, 0.7};
    for (std::uint64_t i = 1; i <= 3; ++i)
      add(TrialReported{0, i, Metrics{{"loss", 1.0 / static_cast<double>(i)}, {"top 5", accuracies[i - 1]}}, 1, "c" + std::to_string(i), 1});
    write_journal(records, dir.path());
    const auto trial_dir = load_experiment(dir.path())[0].dir;
    for (const char* name : {"c1", "c2", "c3"}) std::filesystem::create_directories(trial_dir / name);
    const ResultGrid grid = load_experiment(dir.path());
    CHECK(grid[0].checkpoint_dir == trial_dir / "c3");
    CHECK(grid[0].best_checkpoint_dir == trial_dir / "c2");
    CHECK(read_history(dir.path()).checkpoint_score == Objective{"top 5", Mode::kMax});
  }

  TEST_CASE("an experiment whose journal is being made has not begun yet") {
    const TempDir dir;
    std::filesystem::create_directories(dir.path() / "journal");
    CHECK(has(error_of([&] { read_history(dir.path()); }), "has not begun yet"));
    open_event_log(dir.path() / "journal");
    CHECK(has(error_of([&] { read_history(dir.path()); }), "has not begun yet"));
    CHECK_THROWS_AS(load_experiment(dir.path()), NotFound);
  }

  TEST_CASE("where there is no experiment, or several, the message says what there is") {
    const TempDir dir;
    CHECK_THROWS_AS(read_history(dir.path()), NotFound);
    CHECK(has(error_of([&] { read_history(dir.path()); }), "holds no experiment"));
    CHECK(has(error_of([&] { read_history(dir.path() / "absent"); }), "cannot be read"));
    for (const char* name : {"one", "two"}) asha_life().run(open_event_log(dir.path() / name / "journal"), dir.path() / name);
    const std::string text = error_of([&] { read_history(dir.path()); });
    CHECK(has(text, "several experiments"));
    CHECK(has(text, (dir.path() / "two").string()));
    CHECK(read_history(dir.path() / "two").trials.size() == 8);
  }

  TEST_CASE("a journal of something else is refused") {
    const TempDir dir;
    MemoryEventLog records;
    records.append(encode_event({1, ExperimentCreated{.name = "exp"}}));
    records.append(encode_event({1, TrialStarted{5, 0}}));
    write_journal(records, dir.path());
    CHECK_THROWS_AS(read_history(dir.path()), StorageCorruption);
  }
}
