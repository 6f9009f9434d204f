// What ends trials and experiments without a word of theirs, how many trials are made ahead, and what callbacks hear.
#include <doctest/doctest.h>

#include "runtime/errors.hpp"
#include "scripted_host.hpp"
#include "tune/stoppers/stoppers.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;

namespace {

Life life_of(std::uint64_t samples, std::uint64_t iterations = 4) {
  Life life;
  life.machine = {.metric = "loss"};
  life.space = Space{{"x", uniform(0, 1)}};
  life.samples = samples;
  life.script = {.iterations = iterations, .checkpoint_every = 1};
  return life;
}

std::unique_ptr<EventLog> memory() { return std::make_unique<MemoryEventLog>(); }
std::unique_ptr<EventLog> over(MemoryEventLog& records) { return std::make_unique<KillingLog>(records, SIZE_MAX, false); }

/// Proposes one configuration at a time and writes down how many results it had seen by then.
class LearningSearcher final : public Searcher {
 public:
  LearningSearcher(std::uint64_t samples, std::vector<std::size_t>& seen) : samples_(samples), seen_(seen) {}
  Suggestion suggest(TrialIndex index) override {
    if (index >= samples_) return {};
    seen_.push_back(ended_);
    return {Suggestion::Kind::kConfig, {}, {}};
  }
  void on_complete(TrialIndex, const ResultView*, double) override { ++ended_; }
  std::string save() const override { return {}; }
  void restore(std::string_view) override {}

 private:
  std::uint64_t samples_;
  std::vector<std::size_t>& seen_;
  std::size_t ended_{0};
};

/// Ends everything after that many seconds.
class ClockStopper final : public Stopper {
 public:
  explicit ClockStopper(double seconds) : seconds_(seconds) {}
  bool on_result(TrialIndex, const ResultView&) override { return false; }
  bool stop_all(double time_since_start_s) const override { return time_since_start_s >= seconds_; }

 private:
  double seconds_;
};

struct Heard final : Callback {
  std::vector<std::string> lines;
  bool throws{false};

  void say(const std::string& what, const Trial& trial) {
    lines.push_back(what + " " + std::to_string(trial.index));
    if (throws) throw std::runtime_error("the mail server is away");
  }
  void on_trial_start(const Trial& trial) override { say("start", trial); }
  void on_trial_result(const Trial& trial, const ResultView& result) override {
    say("result " + std::to_string(result.iteration) + "=" + number_text(*result.metrics.get("loss"), 3), trial);
  }
  void on_checkpoint(const Trial& trial, const std::filesystem::path& dir) override { say(dir.filename().string(), trial); }
  void on_trial_pause(const Trial& trial) override { say("pause", trial); }
  void on_trial_complete(const Trial& trial) override { say("complete", trial); }
  void on_trial_retry(const Trial& trial) override { say("retry", trial); }
  void on_trial_error(const Trial& trial) override { say("error", trial); }
  void on_experiment_end(const std::vector<Trial>& trials) override { lines.push_back("end of " + std::to_string(trials.size())); }
};

/// What a callback hears of the beginning.
struct HeardBegin final : Callback {
  std::vector<std::string> lines;
  void on_experiment_begin(const std::filesystem::path& dir, std::size_t earlier) override {
    lines.push_back("begin in " + dir.filename().string() + " after " + std::to_string(earlier));
  }
  void on_trial_create(const Trial& trial) override { lines.push_back("create " + trial.id + (trial.config.contains("x") ? " with x" : "")); }
  void on_trial_start(const Trial& trial) override { lines.push_back("start " + trial.id); }
  void on_experiment_end(const std::vector<Trial>&) override { lines.push_back("end"); }
};

std::size_t events_of(const MemoryEventLog& log, bool (*wanted)(const EventBody&)) {
  std::size_t count = 0;
  log.for_each([&](std::span<const std::byte> record) { count += wanted(decode_event(record).body); });
  return count;
}

}  // namespace

TEST_SUITE("tune/core") {
  TEST_CASE("the time budget ends the experiment although no trial says anything") {
    const TempDir dir;
    Life life = life_of(3);
    life.script.hangs = [](TrialIndex trial, std::uint64_t t) { return trial == 1 && t == 3; };
    life.tick_ms = 10;
    life.runner.time_budget_s = 5;
    life.grace = std::chrono::duration<double>(0.001);
    const auto outcome = life.run(memory(), dir.path());
    CHECK(has(outcome.stopped_by, "time budget of 5 s"));
    CHECK(outcome.trials[0].iteration == 4);
    CHECK(outcome.trials[1].iteration == 2);
    CHECK(outcome.killed == std::set<TrialIndex>{1});
    for (const Trial& trial : outcome.trials) CHECK(trial.state == TrialState::kTerminated);
  }

  TEST_CASE("a time budget counts over all sessions, and without the time between them") {
    const TempDir dir;
    Life life = life_of(1000, 1000);
    life.tick_ms = 10;
    life.runner.time_budget_s = 3;
    MemoryEventLog records;
    int asked = 0;
    const auto first = life.run(over(records), dir.path(), [&] { return ++asked > 40; });
    CHECK(first.stopped_by.empty());
    const auto second = life.run(over(records), dir.path());  // its clock begins anew, a second "before" the first one's end
    CHECK_FALSE(second.stopped_by.empty());
    std::uint64_t results = 0;
    for (const Trial& trial : second.trials) results += trial.iteration;
    CHECK(results > 60);
    CHECK(results < 301);  // one look at the clock or more for each
    CHECK(events_of(records, [](const EventBody& e) { return std::holds_alternative<ExperimentStopped>(e); }) == 1);
    const auto third = life.run(over(records), dir.path());
    CHECK(third.launches.empty());
  }

  TEST_CASE("a stopper of the clock ends trials that hang") {
    const TempDir dir;
    Life life = life_of(2);
    life.script.hangs = [](TrialIndex, std::uint64_t t) { return t == 2; };
    life.grace = std::chrono::duration<double>(0.001);
    life.stopper = {"clock", "clock", [](const StopperContext&) { return std::make_unique<ClockStopper>(0.5); }};
    const auto outcome = life.run(memory(), dir.path());
    CHECK(has(outcome.stopped_by, "stopper"));
    CHECK(outcome.trials[0].state == TrialState::kTerminated);
    CHECK(outcome.trials[0].iteration == 1);
  }

  TEST_CASE("where resources and not a number limit what runs, a searcher that learns is not asked for more than can start") {
    const TempDir dir;
    std::vector<std::size_t> seen;
    Life life = life_of(40);
    life.concurrency = 1024;
    life.runner.room = ResourceLedger(Resources{{"CPU", 4}});
    life.runner.resources_of = [](const Trial&) { return TrialResources{.num_cpus = 2}; };
    life.searcher = [&] { return std::make_unique<LearningSearcher>(40, seen); };
    CHECK(life.run(memory(), dir.path()).peak == 2);
    REQUIRE(seen.size() == 40);
    for (std::size_t i = 0; i < seen.size(); ++i) CHECK(seen[i] + 3 >= i);  // two run, and one waits for its turn
  }

  TEST_CASE("a trial that runs longer than it may is killed; its last result counts and its end says why") {
    const TempDir dir;
    Life life = life_of(3);
    life.script.hangs = [](TrialIndex trial, std::uint64_t t) { return (trial == 0 && t == 3) || (trial == 1 && t == 1); };
    life.machine.max_failures = 3;
    life.tick_ms = 5;
    life.runner.trial_time_limit_s = 2;
    MemoryEventLog records;
    const auto outcome = life.run(over(records), dir.path());
    CHECK(outcome.killed == std::set<TrialIndex>{0, 1});
    CHECK(outcome.trials[0].state == TrialState::kTerminated);
    CHECK(outcome.trials[0].timed_out);
    CHECK(outcome.trials[0].last.get("loss") == 2.0);
    CHECK(has(outcome.trials[0].error, "time limit of 2 s"));
    CHECK(outcome.trials[1].state == TrialState::kError);  // it reported nothing, and another try would not either
    CHECK(outcome.launches.at(1) == 1);
    CHECK(has(text_of(dir.path() / outcome.trials[1].dir_name() / "error.txt"), "time limit"));
    CHECK_FALSE(outcome.trials[2].timed_out);
    CHECK(outcome.trials[2].iteration == 4);
    const auto again = life.run(over(records), dir.path());
    CHECK(again.launches.empty());
    CHECK(again.trials[0].timed_out);
  }

  TEST_CASE("the limit counts what a trial ran before it was paused or its driver was killed") {
    const TempDir dir;
    Life life = life_of(1, 1000);
    life.tick_ms = 10;
    life.runner.trial_time_limit_s = 1;
    MemoryEventLog records;
    int asked = 0;
    (void)life.run(over(records), dir.path(), [&] { return ++asked > 25; });
    const auto outcome = life.run(over(records), dir.path());
    CHECK(outcome.trials[0].timed_out);
    CHECK(outcome.trials[0].time_running_s >= 1);
    CHECK(outcome.trials[0].time_running_s < 1.2);
  }

  TEST_CASE("fail_fast ends the others at the first failure for good, also when the driver was killed just then") {
    Life life = life_of(6);
    life.concurrency = 2;
    life.machine.max_failures = 1;
    life.script.crash = [](TrialIndex trial, std::uint64_t t, std::uint32_t) { return trial == 0 && t == 2; };
    MemoryEventLog reference;
    {
      const TempDir dir;
      CHECK(life.run(over(reference), dir.path()).trials[5].state == TrialState::kTerminated);
    }
    life.runner.fail_fast = true;
    reference.records.clear();
    const TempDir whole;
    const auto outcome = life.run(over(reference), whole.path());
    CHECK(outcome.launches.at(0) == 2);
    CHECK(outcome.trials[0].state == TrialState::kError);
    CHECK(has(outcome.stopped_by, "fail_fast"));
    CHECK(outcome.trials.back().iteration == 0);
    for (std::size_t kill_at = 1; kill_at < reference.records.size(); ++kill_at) {
      CAPTURE(kill_at);
      const TempDir dir;
      MemoryEventLog records;
      CHECK_THROWS_AS(life.run(std::make_unique<KillingLog>(records, kill_at, true), dir.path()), Killed);
      const auto resumed = life.run(over(records), dir.path());
      CHECK(resumed.trials[0].state == TrialState::kError);
      CHECK(resumed.trials.back().iteration == 0);
    }
  }

  TEST_CASE("a searcher that learns is asked for as many as there are free workers, and for no more") {
    const TempDir dir;
    std::vector<std::size_t> seen;
    Life life = life_of(6, 2);
    life.concurrency = 3;
    life.searcher = [&] { return std::make_unique<LearningSearcher>(6, seen); };
    const auto outcome = life.run(memory(), dir.path());
    CHECK(outcome.peak == 3);
    CHECK(seen == std::vector<std::size_t>{0, 0, 0, 1, 2, 3});
  }

  TEST_CASE("trials start only where all that they ask for is there, and one that can never have it fails alone") {
    const TempDir dir;
    Life life = life_of(6);
    life.concurrency = 6;
    life.runner.room = ResourceLedger({{"CPU", 4}});
    life.runner.resources_of = [](const Trial& trial) {
      if (trial.index == 5) throw std::out_of_range("no such size");
      return TrialResources{.num_cpus = trial.index == 2 ? 5 : 2};
    };
    const auto outcome = life.run(memory(), dir.path());
    CHECK(outcome.peak == 2);
    CHECK(outcome.trials[2].state == TrialState::kError);
    CHECK(has(outcome.trials[2].error, "it needs {CPU: 5}, but in all there is {CPU: 4}"));
    CHECK(has(outcome.trials[5].error, "no such size"));
    for (const TrialIndex good : {0u, 1u, 3u, 4u}) CHECK(outcome.trials[good].iteration == 4);
  }

  TEST_CASE("where no trial can be started, fail_fast, a budget of time and a signal are heeded still") {
    const auto unstartable = [](std::uint64_t samples) {
      Life life = life_of(samples);
      life.concurrency = 4;
      life.runner.room = ResourceLedger({{"CPU", 4}});
      life.runner.resources_of = [](const Trial&) { return TrialResources{.num_cpus = 1, .num_gpus = 1}; };
      return life;
    };
    const auto failed = [](const Life::Outcome& outcome) {
      return std::count_if(outcome.trials.begin(), outcome.trials.end(), [](const Trial& trial) { return trial.state == TrialState::kError; });
    };
    Life fast = unstartable(1000);
    fast.runner.fail_fast = true;
    const TempDir first;
    CHECK(failed(fast.run(memory(), first.path())) == 1);
    Life endless = unstartable(UINT32_MAX);
    endless.runner.time_budget_s = 0.2;  // of a clock that goes on by a millisecond at each look
    const TempDir second;
    const auto outcome = endless.run(memory(), second.path());
    CHECK(has(outcome.stopped_by, "the time budget"));
    CHECK(outcome.trials.size() < 1000);
    endless.runner.time_budget_s = 0;
    int asked = 0;
    const TempDir third;
    CHECK(failed(endless.run(memory(), third.path(), [&] { return ++asked > 10; })) == 10);
  }

  TEST_CASE("an iteration may be what trials are compared by") {
    const TempDir dir;
    Life life = life_of(2);
    life.machine.metric = "training_iteration";
    life.machine.mode = Mode::kMax;
    life.machine.further_metrics = {"time_total_s"};
    life.machine.keep_checkpoints = 1, life.machine.keep_best_checkpoints = 1;
    for (const Trial& trial : life.run(memory(), dir.path()).trials) {
      CHECK(trial.error.empty());
      CHECK(trial.iteration == 4);
      REQUIRE_FALSE(trial.checkpoints.empty());
      CHECK(trial.checkpoints.back().score == 4);
    }
  }

  TEST_CASE("several results in one word: each is recorded and decided on, and what follows a stop does not count") {
    const TempDir dir;
    Life life = life_of(2, 10);
    life.script.checkpoint_every = 0;
    life.script.results_per_word = 4;
    life.machine.max_iterations = 6;
    MemoryEventLog records;
    const auto outcome = life.run(over(records), dir.path());
    for (const Trial& trial : outcome.trials) {
      CHECK(trial.iteration == 6);
      CHECK(lines_of(dir.path() / trial.dir_name() / "result.jsonl").size() == 6);
    }
    CHECK(events_of(records, [](const EventBody& e) { return std::holds_alternative<TrialReported>(e); }) == 12);
  }

  TEST_CASE("callbacks hear of each event once the journal has it") {
    const TempDir dir;
    Life life = life_of(2, 2);
    life.machine.max_failures = 1;
    life.script.crash = [](TrialIndex trial, std::uint64_t t, std::uint32_t launch) { return trial == 1 && (t == 2 || launch == 2); };
    const auto heard = std::make_shared<Heard>();
    life.runner.callbacks = {heard};
    (void)life.run(memory(), dir.path());
    CHECK(heard->lines == std::vector<std::string>{"start 0", "result 1=1 0", "checkpoint_000001 0", "result 2=2 0", "checkpoint_000002 0",
                                                   "complete 0", "start 1", "result 1=1 1", "checkpoint_000001 1", "retry 1", "start 1",
                                                   "error 1", "end of 2"});
  }

  TEST_CASE("a trial whose own result ends the experiment ends after that result and once: callbacks, files, journal, and a resume") {
    // Behaviour: it counted as one of the others that the result ended, so its end was told before the result, and again after it, and
    // progress.csv had its header twice.
    const TempDir dir;
    Life life = life_of(3, 10);
    life.script.checkpoint_every = 0;
    life.script.loss = [](const Config&, std::uint64_t) { return 1.0; };
    life.stopper = experiment_plateau({.std = 0.1, .top = 4});
    const auto heard = std::make_shared<Heard>();
    life.runner.callbacks = {heard};
    MemoryEventLog records;
    const auto outcome = life.run(over(records), dir.path());
    CHECK(heard->lines == std::vector<std::string>{"start 0", "result 1=1 0", "result 2=1 0", "result 3=1 0", "complete 1", "complete 2",
                                                   "result 4=1 0", "complete 0", "end of 3"});
    for (const Trial& trial : outcome.trials) CHECK(trial.state == TrialState::kTerminated);
    CHECK(outcome.stopped == std::set<TrialIndex>{0});
    CHECK(has(outcome.stopped_by, "the stopper ended the experiment"));
    CHECK(events_of(records, [](const EventBody& e) { return std::holds_alternative<TrialDecided>(e); }) == 3);
    const auto files_are_whole = [&] {
      const auto trial_dir = dir.path() / outcome.trials[0].dir_name();
      CHECK(lines_of(trial_dir / "progress.csv").size() == 5);
      CHECK(lines_of(trial_dir / "result.jsonl").size() == 4);
    };
    files_are_whole();
    CHECK(life.run(over(records), dir.path()).launches.empty());
    files_are_whole();
  }

  TEST_CASE("callbacks hear that an experiment begins or is resumed before all else, and of each trial that is made") {
    const TempDir dir;
    const std::string name = dir.path().filename().string();
    MemoryEventLog records;
    Life life = life_of(2, 1);
    const auto first = std::make_shared<HeardBegin>(), second = std::make_shared<HeardBegin>(), third = std::make_shared<HeardBegin>();
    life.runner.callbacks = {first};
    int asked = 0;
    (void)life.run(over(records), dir.path(), [&] { return ++asked > 1; });
    CHECK(first->lines == std::vector<std::string>{"begin in " + name + " after 0", "create abcde_00000 with x", "create abcde_00001 with x",
                                                   "start abcde_00000", "end"});
    life.runner.callbacks = {second};
    (void)life.run(over(records), dir.path());
    CHECK(second->lines == std::vector<std::string>{"begin in " + name + " after 2", "start abcde_00000", "start abcde_00001", "end"});
    life.runner.callbacks = {third};
    (void)life.run(over(records), dir.path());
    CHECK(third->lines == std::vector<std::string>{"begin in " + name + " after 2", "end"});
  }

  TEST_CASE("what a callback throws ends nothing, and the other callbacks still hear") {
    const TempDir dir;
    Life life = life_of(1, 2);
    const auto bad = std::make_shared<Heard>(), good = std::make_shared<Heard>();
    bad->throws = true;
    life.runner.callbacks = {bad, good};
    const auto outcome = life.run(memory(), dir.path());
    CHECK(outcome.trials[0].state == TrialState::kTerminated);
    CHECK(good->lines == bad->lines);
    CHECK(good->lines.size() == 7);
    REQUIRE_FALSE(outcome.warnings.empty());
    CHECK(has(outcome.warnings.front(), "a callback's on_trial_start of trial " + outcome.trials[0].name + " failed: "));
    CHECK(std::any_of(outcome.warnings.begin(), outcome.warnings.end(),
                      [&](auto& text) { return has(text, "a callback's on_trial_result of trial " + outcome.trials[0].name + " failed: "); }));
  }
}
