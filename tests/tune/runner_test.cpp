#include <doctest/doctest.h>

#include <cmath>

#include "runtime/errors.hpp"
#include "scripted_host.hpp"
#include "tune/core/resource_plan.hpp"
#include "tune/schedulers/asha.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;

namespace {

std::unique_ptr<EventLog> over(MemoryEventLog& records) { return std::make_unique<KillingLog>(records, SIZE_MAX, false); }

Life asha_life() {
  Life life;
  life.machine = {.metric = "loss", .max_failures = 1};
  life.space = Space{{"x", uniform(0, 1)}};
  life.samples = 6;
  life.scheduler = asha({.max_t = 8, .reduction_factor = 2});
  life.script = {.iterations = 100,
                 .checkpoint_every = 2,
                 .loss = [](const Config& config, std::uint64_t t) { return config.get<double>("x") + 1.0 / static_cast<double>(t); },
                 .crash = [](TrialIndex trial, std::uint64_t t, std::uint32_t launch) { return trial == 1 && t == 4 && launch == 1; }};
  return life;
}

/// (trial, iteration) of every result in the journal; a pair that is there twice fails the test.
std::map<std::pair<TrialIndex, std::uint64_t>, double> reported(const MemoryEventLog& log) {
  std::map<std::pair<TrialIndex, std::uint64_t>, double> results;
  log.for_each([&](std::span<const std::byte> record) {
    const Event event = decode_event(record);
    const auto* report = std::get_if<TrialReported>(&event.body);
    if (report) REQUIRE(results.emplace(std::pair(report->trial, report->iteration), *report->metrics.get("loss")).second);
  });
  return results;
}

bool has_crashed(const MemoryEventLog& log) {
  bool crashed = false;
  log.for_each([&](std::span<const std::byte> record) {
    crashed |= std::holds_alternative<TrialFailed>(decode_event(record).body);
  });
  return crashed;
}

/// Names of the checkpoint directories of a trial, hidden ones too.
std::vector<std::string> checkpoints_on_disk(const std::filesystem::path& dir) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(dir))
    if (has(entry.path().filename().string(), "checkpoint_")) names.push_back(entry.path().filename().string());
  return names;
}

/// What three trials say at the moment of a signal, in one batch: the first died of it, the second reports, the third has finished.
struct SignalledHost final : TrialHost {
  bool signalled = false;
  void launch(const TrialSpec&, const std::filesystem::path&) override {}
  void answer(TrialIndex, Decision) override {}
  void kill(TrialIndex) override {}
  std::vector<HostEvent> wait(std::chrono::milliseconds) override {
    signalled = true;
    const TrialReply first{.kind = TrialReply::kReported, .iteration = 1, .metrics = {{"loss", 1}}};
    return {{0, {.kind = TrialReply::kFailed, .error = "signal 15", .earlier = {first}}, true},
            {1, first, false},
            {2, {.kind = TrialReply::kFinished, .iteration = 1, .earlier = {first}}, false}};
  }
};

void check_files(const Life::Outcome& outcome, const std::filesystem::path& dir) {
  for (const Trial& trial : outcome.trials) {
    const auto rows = lines_of(dir / trial.dir_name() / "result.jsonl");
    REQUIRE(rows.size() == trial.iteration);
    for (std::size_t i = 0; i < rows.size(); ++i) CHECK(has(rows[i], "\"training_iteration\":" + std::to_string(i + 1) + ","));
    CHECK(lines_of(dir / trial.dir_name() / "progress.csv").size() == (trial.iteration ? trial.iteration + 1 : 0));
    std::vector<std::string> kept;
    for (const CheckpointRef& checkpoint : trial.checkpoints) kept.push_back(checkpoint.name);
    CHECK(checkpoints_on_disk(dir / trial.dir_name()) == kept);
  }
}

}  // namespace

TEST_SUITE("tune/core") {
  TEST_CASE("killed at any record, before or after it is written, a resume ends as the unbroken run does") {
    const Life life = asha_life();
    TempDir whole_dir;
    MemoryEventLog whole;
    const auto unbroken = life.run(over(whole), whole_dir.path());
    const auto expected = reported(whole);
    REQUIRE(unbroken.trials.size() == 6);
    REQUIRE(unbroken.launches.at(1) == 2);
    for (std::size_t kill_at = 0; kill_at < whole.records.size(); ++kill_at) {
      for (bool after : {false, true}) {
        CAPTURE(kill_at);
        CAPTURE(after);
        TempDir dir;
        MemoryEventLog records;
        REQUIRE_THROWS_AS(life.run(std::make_unique<KillingLog>(records, kill_at, after), dir.path()), Killed);
        Life second = life;
        if (has_crashed(records)) second.script.crash = nullptr;
        const auto outcome = second.run(over(records), dir.path());
        CHECK(reported(records) == expected);
        for (const Trial& trial : outcome.trials) {
          const Trial& same = unbroken.trials[trial.index];
          CHECK(trial.config == same.config);
          CHECK(trial.iteration == same.iteration);
          CHECK(trial.state == same.state);
          CHECK(trial.last == same.last);
        }
        check_files(outcome, dir.path());
      }
    }
  }

  TEST_CASE("no finished trial is run again by a resume") {
    const Life life = asha_life();
    TempDir dir;
    MemoryEventLog records;
    (void)life.run(over(records), dir.path());
    const std::size_t before = records.records.size();
    const auto again = life.run(over(records), dir.path());
    CHECK(again.launches.empty());
    CHECK(records.records.size() == before + 1);  // that a session began
    check_files(again, dir.path());
  }

  TEST_CASE("a journal that lost its tail (a power cut) still gives every result once") {
    const Life life = asha_life();
    TempDir whole_dir;
    MemoryEventLog whole;
    (void)life.run(over(whole), whole_dir.path());
    for (std::size_t kept = 0; kept < whole.records.size(); kept += 3) {
      CAPTURE(kept);
      TempDir dir;
      std::filesystem::copy(whole_dir.path(), dir.path(), std::filesystem::copy_options::recursive);
      MemoryEventLog records;
      records.records.assign(whole.records.begin(), whole.records.begin() + static_cast<std::ptrdiff_t>(kept));
      Life second = life;
      second.script.crash = nullptr;
      const auto outcome = second.run(over(records), dir.path());
      CHECK(reported(records) == reported(whole));
      check_files(outcome, dir.path());
    }
  }

  TEST_CASE("several at a time: a resume after any kill completes all trials, each result once") {
    Life life = asha_life();
    life.concurrency = 3;
    life.machine.max_failures = 3;  // the script's crash comes once in each life
    for (std::size_t kill_at = 1; kill_at < 60; kill_at += 7) {
      CAPTURE(kill_at);
      TempDir dir;
      MemoryEventLog records;
      try {
        (void)life.run(std::make_unique<KillingLog>(records, kill_at, true), dir.path());
      } catch (const Killed&) {
      }
      const auto outcome = life.run(over(records), dir.path());
      CHECK(outcome.peak <= 3);
      (void)reported(records);
      for (const Trial& trial : outcome.trials) CHECK(trial.state == TrialState::kTerminated);
      check_files(outcome, dir.path());
    }
  }

  TEST_CASE("with one seed and one trial at a time two runs give the same results") {
    MemoryEventLog first, second;
    TempDir one, two;
    (void)asha_life().run(over(first), one.path());
    (void)asha_life().run(over(second), two.path());
    CHECK(reported(first) == reported(second));
  }

  TEST_CASE("a crash goes on from the last checkpoint; results since are neither lost nor doubled") {
    Life life = asha_life();
    life.scheduler = fifo();
    life.samples = 1;
    life.script.iterations = 7;
    life.script.checkpoint_every = 3;
    life.script.crash = [](TrialIndex, std::uint64_t t, std::uint32_t launch) { return t == 6 && launch == 1; };
    TempDir dir;
    MemoryEventLog records;
    const auto outcome = life.run(over(records), dir.path());
    CHECK(outcome.launches.at(0) == 2);
    CHECK(outcome.trials[0].failures == 1);
    CHECK(reported(records).size() == 7);
    CHECK(has(text_of(dir.path() / outcome.trials[0].dir_name() / "error.txt"), "signal 9"));
    check_files(outcome, dir.path());
  }

  TEST_CASE("a resume may have another max_failures; what was decided of earlier failures stands") {
    Life life = asha_life();
    life.scheduler = fifo();
    life.samples = 2;
    life.script.iterations = 6;
    life.script.crash = [](TrialIndex, std::uint64_t t, std::uint32_t) { return t == 4; };  // always, with a checkpoint of 2
    for (const std::int64_t later : {0, 1, 5}) {
      const TempDir dir;
      MemoryEventLog records;
      life.machine.max_failures = 2;
      const auto failed = [&] {
        std::size_t count = 0;
        records.for_each([&](std::span<const std::byte> record) { count += std::holds_alternative<TrialFailed>(decode_event(record).body); });
        return count;
      };
      (void)life.run(over(records), dir.path(), [&] { return failed() == 5; });  // trial 0 for good, trial 1 twice
      life.machine.max_failures = later;
      const auto outcome = life.run(over(records), dir.path());
      for (const Trial& trial : outcome.trials) CHECK(trial.state == TrialState::kError);
      CHECK(outcome.trials[0].failures == 3);
      CHECK(outcome.trials[1].failures == (later == 5 ? 6 : 3));
      CHECK(outcome.trials[1].iteration == 3);
    }
  }

  TEST_CASE("a trial that always crashes is an error, and the others go on") {
    Life life = asha_life();
    life.scheduler = fifo();
    life.script.iterations = 2;
    life.script.crash = [](TrialIndex trial, std::uint64_t, std::uint32_t) { return trial == 0; };
    TempDir dir;
    MemoryEventLog records;
    const auto outcome = life.run(over(records), dir.path());
    CHECK(outcome.trials[0].state == TrialState::kError);
    CHECK(outcome.launches.at(0) == 2);
    for (std::size_t i = 1; i < 6; ++i) CHECK(outcome.trials[i].state == TrialState::kTerminated);
  }

  TEST_CASE("a trial that ignores stop is killed after its grace") {
    Life life = asha_life();
    life.samples = 1;
    life.scheduler = fifo();
    life.machine.max_iterations = 2;
    life.script.ignores_stop = true;
    life.grace = std::chrono::duration<double>(0.01);
    TempDir dir;
    MemoryEventLog records;
    const auto outcome = life.run(over(records), dir.path());
    CHECK(outcome.killed == std::set<TrialIndex>{0});
    CHECK(outcome.trials[0].state == TrialState::kTerminated);
  }

  TEST_CASE("an interruption kills what runs, counts no failure, and a resume goes on") {
    const Life life = asha_life();
    TempDir dir;
    MemoryEventLog records;
    int asked = 0;
    const auto outcome = life.run(over(records), dir.path(), [&] { return ++asked > 10; });
    CHECK(outcome.killed.size() == 1);
    CHECK(outcome.trials[*outcome.killed.begin()].state == TrialState::kRunning);
    const auto resumed = life.run(over(records), dir.path());
    for (const Trial& trial : resumed.trials) CHECK(trial.state == TrialState::kTerminated);
  }

  // The rest of a batch was dropped when the first of it had died of the signal: its results came again only with a resume, and
  // what had finished ran once more.
  TEST_CASE("what trials said before an interruption is journaled, whoever died of the signal") {
    TempDir dir;
    ExperimentMachine machine({.metric = "loss", .trial_prefix = "abcde", .trainable = "f"},
                              std::make_unique<VariantSearcher>(Space{{"x", uniform(0, 1)}}, 3, 1), fifo().make({"loss", Mode::kMin, 1}));
    Experiment experiment(std::move(machine), std::make_unique<MemoryEventLog>(), dir.path(), {}, [] { return std::int64_t{1}; });
    experiment.begin({.name = "exp", .seed = 1}, 1);
    SignalledHost host;
    Reporter silent;
    Runner(experiment, host, silent, {.concurrency = 3}, [&] { return host.signalled; }).run();
    const auto& trials = experiment.machine().trials();
    REQUIRE(trials.size() == 3);
    for (const Trial& trial : trials) CHECK(trial.iteration == 1);
    CHECK(trials[0].state == TrialState::kRunning);
    CHECK(trials[0].failures == 0);
    CHECK(trials[1].state == TrialState::kRunning);
    CHECK(trials[2].state == TrialState::kTerminated);
  }

  TEST_CASE("a checkpoint that somebody deleted is told of and the trial begins again") {
    Life life = asha_life();
    life.samples = 1;
    life.scheduler = fifo();
    life.script.iterations = 4;
    TempDir dir;
    MemoryEventLog records;
    life.script.crash = nullptr;
    CHECK_THROWS_AS(life.run(std::make_unique<KillingLog>(records, 6, true), dir.path()), Killed);
    for (const auto& trial : std::filesystem::directory_iterator(dir.path())) std::filesystem::remove_all(trial.path() / "checkpoint_000002");
    const auto outcome = life.run(over(records), dir.path());
    CHECK(reported(records).size() == 4);
    CHECK(outcome.trials[0].state == TrialState::kTerminated);
    REQUIRE(outcome.warnings.size() == 1);
    CHECK(has(outcome.warnings[0], "'checkpoint_000002' is gone"));
  }

  TEST_CASE("concurrency is what the resources allow, at most max_concurrent") {
    const Resources two_cpus{{"CPU", 2}}, gpu{{"CPU", 8}, {"GPU", 1}};
    CHECK(plan_concurrency({.num_cpus = 1}, two_cpus, 0) == 2);
    CHECK(plan_concurrency({.num_cpus = 1}, two_cpus, 1) == 1);
    CHECK(plan_concurrency({.num_cpus = 1, .num_gpus = 0.5}, gpu, 0) == 2);
    CHECK(plan_concurrency({.num_cpus = 0, .workers = {{"CPU", 2}}}, gpu, 0) == 4);
    CHECK(plan_concurrency({.num_cpus = 0}, two_cpus, 0) > 1);
    CHECK_THROWS_AS((void)plan_concurrency({.num_cpus = 1, .num_gpus = 2}, gpu, 0), InfeasibleResources);
    CHECK(has(error_of([&] { (void)plan_concurrency({.num_gpus = 2}, gpu, 0); }), "needs 2 GPU, but there is 1"));
    CHECK_THROWS_AS((void)plan_concurrency({.num_cpus = 1, .workers = {{"CPU", 2}}}, two_cpus, 0), InfeasibleResources);
    CHECK_THROWS_AS((void)plan_concurrency({.num_cpus = -1}, two_cpus, 0), InvalidArgument);
  }
}
