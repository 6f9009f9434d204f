// Which checkpoints stay, and what a paused trial goes on from.
#include <doctest/doctest.h>

#include "scripted_host.hpp"
#include "tune/schedulers/asha.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;

namespace {

ExperimentMachine machine_of(MachineOptions options, std::uint64_t samples) {
  options.trial_prefix = "abcde", options.trainable = "f", options.metric = "loss";
  ExperimentMachine machine(options, std::make_unique<VariantSearcher>(Space{{"x", uniform(0, 1)}}, samples, 1),
                            fifo().make({"loss", options.mode, 1}));
  while (auto created = machine.propose(samples)) machine.step({0, *created});
  for (TrialIndex i = 0; i < samples; ++i) machine.step({0, TrialStarted{i, 0}});
  return machine;
}

/// Reports with a checkpoint "cN" of 100 bytes; gives what is to be deleted for it as "trial:name".
std::vector<std::string> report(ExperimentMachine& machine, TrialIndex trial, std::uint64_t t, Metrics metrics) {
  TrialReported event{trial, t, std::move(metrics), 0, "c" + std::to_string(t), 1, 100};
  std::vector<std::string> gone;
  for (const auto& [index, checkpoint] : machine.step({0, std::move(event)}).superseded)
    gone.push_back(std::to_string(index) + ":" + checkpoint.name);
  return gone;
}

using Names = std::vector<std::string>;

class PauseOnce final : public Scheduler {
 public:
  Verdict on_result(TrialIndex, const ResultView& result) override {
    return result.iteration == 3 ? Decision::kPause : Decision::kContinue;
  }
  Verdict on_idle() override {
    Verdict verdict;
    verdict.resume = {0, 1};
    return verdict;
  }
  std::string save() const override { return {}; }
  void restore(std::string_view) override {}
};

Life pausing(std::uint64_t checkpoint_every, bool saves) {
  Life life;
  life.machine = {.metric = "loss"};
  life.space = Space{{"x", uniform(0, 1)}};
  life.samples = 2;
  life.script = {.iterations = 6, .checkpoint_every = checkpoint_every, .saves_when_paused = saves};
  life.scheduler = {"pause", "pause", [](const SchedulerContext&) { return std::make_unique<PauseOnce>(); }};
  return life;
}

/// The checkpoints in a trial's directory, hidden ones too.
Names on_disk(const std::filesystem::path& trial_dir) {
  Names names;
  for (const auto& entry : std::filesystem::directory_iterator(trial_dir))
    if (std::string name = entry.path().filename().string(); has(name, "checkpoint")) names.push_back(std::move(name));
  return names;
}

/// How often each iteration of a trial stands in the journal.
std::map<std::pair<TrialIndex, std::uint64_t>, int> reported(const MemoryEventLog& log) {
  std::map<std::pair<TrialIndex, std::uint64_t>, int> counts;
  log.for_each([&](std::span<const std::byte> record) {
    const Event event = decode_event(record);
    if (const auto* report = std::get_if<TrialReported>(&event.body)) ++counts[{report->trial, report->iteration}];
  });
  return counts;
}

}  // namespace

TEST_SUITE("tune/core") {
  TEST_CASE("the newest so many and the best so many stay, by a score of the user's choice") {
    ExperimentMachine machine = machine_of(
        {.keep_checkpoints = 1, .keep_best_checkpoints = 2, .score_attribute = "accuracy", .score_mode = Mode::kMax}, 1);
    const auto at = [](double accuracy) { return Metrics{{"loss", 1.0}, {"accuracy", accuracy}}; };
    CHECK(report(machine, 0, 1, at(0.5)).empty());
    CHECK(report(machine, 0, 2, at(0.9)).empty());
    CHECK(report(machine, 0, 3, at(0.7)) == Names{"0:c1"});
    CHECK(report(machine, 0, 4, at(0.1)).empty());
    CHECK(report(machine, 0, 5, at(NAN)) == Names{"0:c4"});
    CHECK(report(machine, 0, 6, at(0.8)) == Names{"0:c5", "0:c3"});
    CHECK(machine.trial(0).checkpoints.size() == 2);
  }

  TEST_CASE("beyond the budget of bytes the oldest go first, never what a trial may go on from, and the best last") {
    ExperimentMachine machine = machine_of({.keep_checkpoints = 9, .checkpoint_budget_bytes = 400}, 3);
    const auto at = [](double loss) { return Metrics{{"loss", loss}}; };
    CHECK(report(machine, 0, 1, at(5)).empty());
    CHECK(report(machine, 1, 1, at(1)).empty());  // the best, and trial 1's newest
    CHECK(report(machine, 0, 2, at(4)).empty());
    CHECK(report(machine, 2, 1, at(6)).empty());
    CHECK(report(machine, 0, 3, at(4)) == Names{"0:c1"});
    CHECK(report(machine, 2, 2, at(7)) == Names{"0:c2"});
    machine.step({0, TrialFinished{1}});
    CHECK(report(machine, 2, 3, at(7)) == Names{"2:c1"});  // not the best, although its trial is over
    machine.step({0, TrialFinished{0}});
    CHECK(report(machine, 2, 4, at(0.5)) == Names{"1:c1"});  // no longer the best
    CHECK(report(machine, 2, 5, at(8)) == Names{"0:c3"});
  }

  TEST_CASE("the budget never takes the only checkpoint of a trial that is not over") {
    ExperimentMachine machine = machine_of({.keep_checkpoints = 1, .checkpoint_budget_bytes = 50}, 3);
    for (TrialIndex trial = 0; trial < 3; ++trial) CHECK(report(machine, trial, 1, Metrics{{"loss", 1.0 + trial}}).empty());
    for (TrialIndex trial = 0; trial < 3; ++trial) CHECK(machine.trial(trial).checkpoints.size() == 1);
  }

  TEST_CASE("a trial that ends gives its checkpoint back to the budget, however it ends") {
    const auto gone_by = [](const EventBody& end) {
      ExperimentMachine machine = machine_of({.keep_checkpoints = 1, .checkpoint_budget_bytes = 250}, 4);
      for (TrialIndex trial = 0; trial < 4; ++trial) CHECK(report(machine, trial, 1, Metrics{{"loss", 1.0 + trial}}).empty());
      std::vector<TrialIndex> gone;
      for (const auto& [index, checkpoint] : machine.step({0, end}).superseded) gone.push_back(index);
      return gone;
    };
    using Trials = std::vector<TrialIndex>;
    CHECK(gone_by(TrialFinished{1}) == Trials{1});
    CHECK(gone_by(TrialFailed{2, "it fell", true}) == Trials{2});
    CHECK(gone_by(TrialTimedOut{3, "killed"}) == Trials{3});
    CHECK(gone_by(TrialFinished{0}).empty());  // the best
    CHECK(gone_by(ExperimentStopped{"enough"}) == Trials{1, 2});  // the oldest but for the best, until 250 bytes hold the rest
  }

  TEST_CASE("paused trials that nobody releases give their checkpoints back to the budget, also after a resume from a snapshot") {
    const auto fresh = [] {
      MachineOptions options{.metric = "loss", .trial_prefix = "abcde", .trainable = "f", .keep_checkpoints = 1, .checkpoint_budget_bytes = 350};
      return ExperimentMachine(options, std::make_unique<VariantSearcher>(Space{{"x", uniform(0, 1)}}, 9, 1),
                               asha({.type = AshaType::kPromotion, .max_t = 100, .grace_period = 1, .reduction_factor = 10}).make({"loss", Mode::kMin, 1}));
    };
    ExperimentMachine machine = fresh();
    machine.step({0, ExperimentCreated{.name = "exp"}});
    while (auto created = machine.propose(9)) machine.step({0, *created});
    for (TrialIndex trial = 0; trial < 9; ++trial) {
      machine.step({0, TrialStarted{trial, 0}});
      CHECK(report(machine, trial, 1, Metrics{{"loss", 1.0 + trial}}).empty());
    }
    REQUIRE(machine.count(TrialState::kPaused) == 9);
    ExperimentMachine resumed = fresh();
    machine.snapshot([&](const Event& event) { CHECK(resumed.step(event).superseded.empty()); });
    for (ExperimentMachine* each : {&machine, &resumed}) {
      const Effects effects = each->step({0, SchedulerIdle{}});
      CHECK(each->count(TrialState::kTerminated) == 9);
      CHECK(effects.superseded.size() == 6);
      for (const TrialIndex kept : {TrialIndex{0}, TrialIndex{7}, TrialIndex{8}}) CHECK(each->trial(kept).checkpoints.size() == 1);  // the best, the newest
    }
  }

  TEST_CASE("an experiment that had more checkpoints than its budget when it ended has no more once it is resumed") {
    ExperimentMachine written = machine_of({.keep_checkpoints = 1}, 3);  // without a budget: more than it stay
    written.step({0, ExperimentCreated{.name = "exp"}});
    for (TrialIndex trial = 0; trial < 3; ++trial) report(written, trial, 1, Metrics{{"loss", 3.0 - trial}});
    for (TrialIndex trial = 0; trial < 3; ++trial) written.step({0, TrialFinished{trial}});
    MachineOptions options = written.options();
    options.checkpoint_budget_bytes = 100;
    ExperimentMachine resumed(options, std::make_unique<VariantSearcher>(Space{{"x", uniform(0, 1)}}, 3, 1), fifo().make({"loss", Mode::kMin, 1}));
    written.snapshot([&](const Event& event) { CHECK(resumed.step(event).superseded.empty()); });
    CHECK(resumed.step({0, SessionStarted{1}}).superseded.size() == 2);
    CHECK(resumed.trial(2).checkpoints.size() == 1);  // the best
  }

  TEST_CASE("what was saved with results beyond a decision to stop does not stay on the disk") {
    // Behaviour: the driver forgot those results, and the names of their checkpoints with them: they lay there until a resume.
    for (const std::uint64_t iterations : {4u, 6u}) {  // the checkpoint is in the last result of the word, or in one before
      CAPTURE(iterations);
      const TempDir dir;
      Life life;
      life.machine = {.metric = "loss", .max_iterations = 3};
      life.space = Space{{"x", uniform(0, 1)}};
      life.samples = 2;
      life.script = {.iterations = iterations, .checkpoint_every = 4, .results_per_word = 20};
      const auto outcome = life.run(std::make_unique<MemoryEventLog>(), dir.path());
      for (const Trial& trial : outcome.trials) {
        CHECK(trial.iteration == 3);
        CHECK(trial.checkpoints.empty());
        CHECK(on_disk(dir.path() / trial.dir_name()).empty());
      }
    }
  }

  TEST_CASE("what a trial saves while another one ends the experiment goes, or is its last checkpoint where trials save themselves at their end") {
    for (const bool at_end : {false, true}) {
      CAPTURE(at_end);
      const TempDir dir;
      Life life;
      life.machine = {.metric = "loss"};
      life.space = Space{{"x", uniform(0, 1)}};
      life.samples = 2, life.concurrency = 2;
      life.script = {.iterations = 4, .checkpoint_every = 2};
      life.script.crash = [](TrialIndex trial, std::uint64_t t, std::uint32_t) { return trial == 0 && t == 2; };
      life.runner.fail_fast = true, life.runner.checkpoint_at_end = at_end;
      const auto outcome = life.run(std::make_unique<MemoryEventLog>(), dir.path());
      CHECK(has(outcome.stopped_by, "fail_fast"));
      const Trial& other = outcome.trials.at(1);
      CHECK(other.state == TrialState::kTerminated);
      CHECK(other.iteration == 1);  // the second came too late
      CHECK(other.checkpoints.size() == (at_end ? 1u : 0u));
      CHECK(on_disk(dir.path() / other.dir_name()) == (at_end ? Names{"checkpoint_000002"} : Names{}));
    }
  }

  TEST_CASE("a trial that saves itself when it is paused goes on from there") {
    const TempDir dir;
    MemoryEventLog records;
    const auto outcome = pausing(0, true).run(std::make_unique<KillingLog>(records, SIZE_MAX, false), dir.path());
    for (const Trial& trial : outcome.trials) {
      CHECK(trial.iteration == 6);
      CHECK(trial.attempts == 2);
      REQUIRE(trial.checkpoints.size() == 1);
      CHECK(trial.checkpoints[0].iteration == 3);
      CHECK(trial.checkpoints[0].score == 3.0);
      CHECK(trial.checkpoints[0].bytes == 1);
    }
  }

  TEST_CASE("a function that is paused goes on from its last checkpoint, and no result stands there twice") {
    for (const std::uint64_t every : {2u, 0u}) {
      const TempDir dir;
      MemoryEventLog records;
      const auto outcome = pausing(every, false).run(std::make_unique<KillingLog>(records, SIZE_MAX, false), dir.path());
      CHECK(outcome.trials[0].iteration == 6);
      CHECK(outcome.trials[1].attempts == 2);
      const auto counts = reported(records);
      CHECK(counts.size() == 12);
      for (const auto& [result, count] : counts) CHECK(count == 1);
      CHECK(lines_of(dir.path() / outcome.trials[0].dir_name() / "result.jsonl").size() == 6);
    }
  }

  TEST_CASE("killed at any record around a pause, the trial goes on from what it saved") {
    const Life life = pausing(0, true);
    MemoryEventLog whole;
    {
      const TempDir dir;
      (void)life.run(std::make_unique<KillingLog>(whole, SIZE_MAX, false), dir.path());
    }
    for (std::size_t kill_at = 0; kill_at < whole.records.size(); ++kill_at) {
      CAPTURE(kill_at);
      const TempDir dir;
      MemoryEventLog records;
      CHECK_THROWS_AS(life.run(std::make_unique<KillingLog>(records, kill_at, true), dir.path()), Killed);
      const auto outcome = life.run(std::make_unique<KillingLog>(records, SIZE_MAX, false), dir.path());
      for (const Trial& trial : outcome.trials) CHECK(trial.iteration == 6);
      for (const auto& [result, count] : reported(records)) CHECK(count == 1);
    }
  }

  TEST_CASE("that checkpoints cannot be compared by the score that was asked for is said, once") {
    for (const std::string score : {"acuracy", "loss", "training_iteration", ""}) {
      CAPTURE(score);
      const TempDir dir;
      Life life = pausing(1, false);
      life.scheduler = fifo();
      life.machine.score_attribute = score;
      const auto outcome = life.run(std::make_unique<MemoryEventLog>(), dir.path());
      REQUIRE(outcome.warnings.size() == (score == "acuracy" ? 1 : 0));
      if (!outcome.warnings.empty()) CHECK(has(outcome.warnings[0], "'acuracy' (CheckpointOptions::score_attribute)"));
    }
  }

  TEST_CASE("it is said also when all trials are ended by the experiment's end") {
    const TempDir dir;
    Life life = pausing(1, false);
    life.scheduler = fifo();
    life.script.iterations = 1'000'000;
    life.runner.time_budget_s = 0.2;  // of a clock that goes on by 1 ms at each look
    life.machine.score_attribute = "acuracy";
    const auto outcome = life.run(std::make_unique<MemoryEventLog>(), dir.path());
    REQUIRE(outcome.trials[0].state == TrialState::kTerminated);
    REQUIRE(outcome.warnings.size() == 1);
    CHECK(has(outcome.warnings[0], "'acuracy' (CheckpointOptions::score_attribute)"));
  }
}
