// What the experiment makes of a scheduler's verdicts: pausing, releasing, stopping others, taking over a checkpoint.
#include <doctest/doctest.h>

#include "runtime/errors.hpp"
#include "scripted_host.hpp"
#include "tune/schedulers/asha.hpp"
#include "tune/stoppers/stoppers.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;

namespace {

/// Says what the test tells it to say.
class ToldScheduler final : public Scheduler {
 public:
  using Answer = std::function<Verdict(TrialIndex, const ResultView&)>;
  ToldScheduler(Answer answer, Verdict idle, bool promotes) : answer_(std::move(answer)), idle_(std::move(idle)), promotes_(promotes) {}
  Verdict on_result(TrialIndex trial, const ResultView& result) override {
    const Verdict verdict = answer_(trial, result);
    if (verdict.decision == Decision::kPause) paused_.insert(trial);
    return verdict;
  }
  Verdict on_idle() override { return idle_; }
  void on_start(TrialIndex trial) override { paused_.erase(trial); }
  std::optional<TrialIndex> choose_trial_to_run(const Candidates& candidates) const override {
    for (const TrialIndex trial : paused_)
      if (promotes_ && candidates.startable(trial)) return trial;
    return Scheduler::choose_trial_to_run(candidates);
  }
  std::string save() const override { return {}; }
  void restore(std::string_view) override {}

 private:
  Answer answer_;
  Verdict idle_;
  bool promotes_;
  std::set<TrialIndex> paused_;
};

Life told(ToldScheduler::Answer answer, Verdict idle = {}, bool promotes = false) {
  Life life;
  life.machine = {.metric = "loss"};
  life.space = Space{{"x", uniform(0, 1)}};
  life.samples = 3;
  life.script = {.iterations = 4, .checkpoint_every = 1};
  life.scheduler = {"told", "told", [=](const SchedulerContext&) { return std::make_unique<ToldScheduler>(answer, idle, promotes); }};
  return life;
}

Verdict pause_at_2(TrialIndex, const ResultView& result) {
  return result.iteration == 2 ? Decision::kPause : Decision::kContinue;
}

std::unique_ptr<EventLog> memory() { return std::make_unique<MemoryEventLog>(); }

}  // namespace

TEST_SUITE("tune/core") {
  TEST_CASE("the scheduler completes a trial's configuration before it is made") {
    class Filling final : public Scheduler {
      void fill_config(TrialIndex trial, Config& config) const override { config.set("y", static_cast<int>(trial)); }
      void on_trial_add(TrialIndex trial, const Config& config) override { REQUIRE(config.get<TrialIndex>("y") == trial); }
      Verdict on_result(TrialIndex, const ResultView&) override { return {}; }
      std::string save() const override { return {}; }
      void restore(std::string_view) override {}
    };
    const TempDir dir;
    Life life = told(pause_at_2);
    life.scheduler.make = [](const SchedulerContext&) { return std::make_unique<Filling>(); };
    const auto outcome = life.run(memory(), dir.path());
    CHECK(outcome.trials.at(2).config.get<int>("y") == 2);
    CHECK(outcome.trials.at(2).config.contains("x"));
  }

  TEST_CASE("trials that nobody will ever release end when nothing else is left") {
    const TempDir dir;
    const auto outcome = told(pause_at_2).run(memory(), dir.path());
    for (const Trial& trial : outcome.trials) {
      CHECK(trial.state == TrialState::kTerminated);
      CHECK(trial.iteration == 2);
    }
  }

  TEST_CASE("a trial that its scheduler pauses at the result that ends the experiment is stopped, not paused") {
    const TempDir dir;
    Life life = told(pause_at_2);
    life.script.checkpoint_every = 0, life.script.saves_when_paused = true;
    life.stopper = experiment_plateau({.std = 1, .top = 2});  // losses of 1 and 2
    const auto outcome = life.run(memory(), dir.path());
    CHECK(outcome.trials[0].state == TrialState::kTerminated);
    CHECK(outcome.trials[0].iteration == 2);
    CHECK(outcome.trials[0].checkpoints.empty());
    CHECK(outcome.launches.size() == 1);
  }

  TEST_CASE("at an idle moment the scheduler releases one and stops another") {
    const TempDir dir;
    Verdict idle;
    idle.resume = {1};
    idle.stop = {0};
    const auto outcome = told(pause_at_2, idle).run(memory(), dir.path());
    CHECK(outcome.trials[0].iteration == 2);
    CHECK(outcome.trials[1].iteration == 4);
    CHECK(outcome.launches.at(1) == 2);
    CHECK(outcome.trials[2].state == TrialState::kTerminated);  // at the next idle moment the verdict helps nobody
  }

  TEST_CASE("a paused trial that the scheduler chooses goes on before new ones begin") {
    const TempDir dir;
    const auto outcome = told(pause_at_2, {}, true).run(memory(), dir.path());
    for (const Trial& trial : outcome.trials) {
      CHECK(trial.iteration == 4);
      CHECK(trial.attempts == 2);
    }
  }

  TEST_CASE("a trial that takes over another one's checkpoint goes on from it, also when the driver was killed in between") {
    Config explored;
    explored.set("x", 42.0);
    const auto exploit = [explored](TrialIndex trial, const ResultView& result) {
      Verdict verdict;
      if (trial != 1 || result.iteration != 2) return verdict;
      verdict.decision = Decision::kPause;
      verdict.exploit = Exploit{0, explored, "x=42@perturbed"};
      return verdict;
    };
    Life life = told(exploit);
    life.samples = 2, life.concurrency = 2;  // so that the copy has results of its own left to make
    MemoryEventLog reference;
    const TempDir whole;
    const auto outcome = life.run(std::make_unique<KillingLog>(reference, SIZE_MAX, false), whole.path());
    CHECK(outcome.trials[1].config == explored);
    CHECK(outcome.trials[1].exploits == 1);
    CHECK(outcome.trials[1].iteration == 4);
    for (std::size_t kill_at = 0; kill_at < reference.records.size(); ++kill_at)
      for (const bool after : {false, true}) {
        CAPTURE(kill_at);
        CAPTURE(after);
        const TempDir dir;
        MemoryEventLog records;
        CHECK_THROWS_AS(life.run(std::make_unique<KillingLog>(records, kill_at, after), dir.path()), Killed);
        const auto resumed = life.run(std::make_unique<KillingLog>(records, SIZE_MAX, false), dir.path());
        CHECK(resumed.trials[1].config == explored);
        CHECK(resumed.trials[1].iteration == 4);
        CHECK(resumed.trials[0].iteration == 4);
      }
  }

  TEST_CASE("callbacks hear of each copy after the pause, with the donor, and of those that stay paused too") {
    struct Copies final : Callback {
      std::vector<std::string> lines;
      void on_trial_pause(const Trial& trial) override { lines.push_back("pause " + std::to_string(trial.index)); }
      void on_exploit(const Trial& trial, const Trial& donor) override {
        lines.push_back(std::to_string(trial.index) + " from " + std::to_string(donor.index) + " with x=" +
                        number_text(trial.config.get<double>("x"), 3) + " " + trial.exploit_tag);
      }
    };
    const TempDir dir;
    Config explored;
    explored.set("x", 7.0);
    const auto answer = [explored, copied = std::make_shared<bool>(false)](TrialIndex trial, const ResultView& result) {
      Verdict verdict;
      if (trial == 0 && result.iteration == 1) verdict.decision = Decision::kPause;
      if (trial == 1 && result.iteration == 2 && !std::exchange(*copied, true)) {  // it comes to 2 again, from its donor's 1
        verdict.decision = Decision::kPause;
        verdict.exploit = Exploit{0, explored, "@one"};
      }
      if (trial == 2 && result.iteration == 3) verdict.exploit_others = {{0, Exploit{2, explored, "@two"}}};
      return verdict;
    };
    Verdict release;
    release.resume = {0};
    Life life = told(answer, release);
    const auto heard = std::make_shared<Copies>();
    life.runner.callbacks = {heard};
    (void)life.run(memory(), dir.path());
    CHECK(heard->lines == std::vector<std::string>{"pause 0", "pause 1", "1 from 0 with x=7 @one", "0 from 2 with x=7 @two"});
  }

  TEST_CASE("taking over from a trial without a checkpoint changes nothing but a pause") {
    const TempDir dir;
    const auto exploit = [](TrialIndex trial, const ResultView& result) {
      Verdict verdict;
      if (trial != 1 || result.iteration != 2) return verdict;
      verdict.decision = Decision::kPause;
      verdict.exploit = Exploit{0, {}, ""};
      return verdict;
    };
    Life life = told(exploit, {}, true);
    life.script.checkpoint_every = 0;
    const auto outcome = life.run(memory(), dir.path());
    CHECK(outcome.trials[1].exploits == 0);
    CHECK(outcome.trials[1].config.contains("x"));
    CHECK(outcome.trials[1].iteration == 4);
  }

  TEST_CASE("paused trials take over another one's checkpoint as well") {
    const TempDir dir;
    Config explored;
    explored.set("x", 7.0);
    const auto answer = [explored](TrialIndex trial, const ResultView& result) {
      Verdict verdict;
      if (trial < 2 && result.iteration == trial + 1) verdict.decision = Decision::kPause;
      if (trial == 2 && result.iteration == 3) verdict.exploit_others = {{0, Exploit{2, explored, "@perturbed[x=7]"}}};
      return verdict;
    };
    Verdict release;
    release.resume = {0, 1};
    const auto outcome = told(answer, release).run(memory(), dir.path());
    CHECK(outcome.trials[0].exploits == 1);
    CHECK(outcome.trials[0].config == explored);
    CHECK(outcome.trials[0].iteration == 4);
    CHECK(outcome.launches.at(0) == 2);
    CHECK(outcome.trials[1].exploits == 0);
  }

  TEST_CASE("a trial that is its own donor goes on from its own checkpoint with another configuration") {
    const TempDir dir;
    Config changed;
    changed.set("x", 3.0);
    const auto answer = [changed](TrialIndex trial, const ResultView& result) {
      Verdict verdict;
      if (trial != 1 || result.iteration != 2) return verdict;
      verdict.decision = Decision::kPause;
      verdict.exploit = Exploit{1, changed, "@replayed"};
      return verdict;
    };
    const auto outcome = told(answer).run(memory(), dir.path());
    CHECK(outcome.trials[1].config == changed);
    CHECK(outcome.trials[1].iteration == 4);
    CHECK(outcome.launches.at(1) == 2);
  }

  TEST_CASE("resources that the scheduler gives a trial stay with it") {
    const TempDir dir;
    const auto answer = [](TrialIndex trial, const ResultView& result) {
      Verdict verdict;
      if (trial != 0 || result.iteration != 1) return verdict;
      verdict.decision = Decision::kPause;
      verdict.resources = TrialResources{.num_cpus = 3};
      return verdict;
    };
    const auto outcome = told(answer).run(memory(), dir.path());
    REQUIRE(outcome.trials[0].resources);
    CHECK(outcome.trials[0].resources->num_cpus == Amount(3));
    CHECK(outcome.trials[0].iteration == 4);
    CHECK(outcome.trials[0].attempts == 2);
  }

  TEST_CASE("a checkpoint saved beyond the result at which a trial was paused is not gone on from, and does not stay") {
    for (const std::uint64_t every : {0u, 1u}) {
      const TempDir dir;
      Life life = told(pause_at_2, {}, true);
      life.script = {.iterations = 6, .checkpoint_every = every, .saves_when_paused = true, .results_per_word = 3};
      const auto outcome = life.run(memory(), dir.path());
      for (const Trial& trial : outcome.trials) {
        CHECK(trial.iteration == 6);
        CHECK(lines_of(dir.path() / trial.dir_name() / "result.jsonl").size() == 6);
        for (const CheckpointRef& kept : trial.checkpoints) CHECK(kept.iteration <= 6);
      }
    }
  }

  TEST_CASE("that paused trials begin again for want of a checkpoint is said, once") {
    for (const bool saves : {false, true}) {
      const TempDir dir;
      Life life = told(pause_at_2, {}, true);
      life.script = {.iterations = 4, .checkpoint_every = 0, .saves_when_paused = saves};
      const auto outcome = life.run(memory(), dir.path());
      for (const Trial& trial : outcome.trials) CHECK(trial.iteration == 4);
      REQUIRE(outcome.warnings.size() == (saves ? 0 : 1));
      if (!saves) CHECK(has(outcome.warnings[0], "saved nothing"));
    }
  }

  TEST_CASE("with a scheduler that pauses trials no result is held back") {
    for (const bool pauses : {false, true}) {
      const TempDir dir;
      Life life = told(pause_at_2);
      life.scheduler = asha({.type = pauses ? AshaType::kPromotion : AshaType::kStopping, .max_t = 4});
      life.runner.buffer_results = 50;
      CHECK(life.run(memory(), dir.path()).most_buffered == (pauses ? 1 : 50));
    }
  }

  TEST_CASE("a verdict ends trials that wait and trials that run") {
    const TempDir dir;
    const auto answer = [](TrialIndex trial, const ResultView& result) {
      Verdict verdict;
      if (trial == 0 && result.iteration == 2) verdict.stop = {1, 2};
      return verdict;
    };
    Life life = told(answer);
    life.concurrency = 2;
    const auto outcome = life.run(memory(), dir.path());
    CHECK(outcome.trials[0].iteration == 4);
    CHECK(outcome.trials[1].state == TrialState::kTerminated);
    CHECK(outcome.trials[1].iteration < 4);
    CHECK(outcome.trials[2].iteration == 0);
    CHECK(outcome.stopped.contains(1));
  }

  TEST_CASE("a scheduler that names a trial that there is not is refused by its name") {
    Verdict stops, resumes, exploits, others;
    stops.stop = {42};
    resumes.resume = {42};
    exploits.decision = Decision::kPause, exploits.exploit = Exploit{42, {}, ""};
    others.exploit_others = {{42, Exploit{0, {}, ""}}};
    for (const Verdict& verdict : {stops, resumes, exploits, others}) {
      const TempDir dir;
      Life life = told([verdict](TrialIndex, const ResultView&) { return verdict; });
      life.machine.scheduler = "mine";
      const std::string error = error_of([&] { life.run(memory(), dir.path()); });
      CHECK(has(error, "the scheduler 'mine' says something of trial 42, but there are only 3 trials"));
    }
  }

  TEST_CASE("a scheduler that starts nothing, or what cannot be started, is told so, and not the searcher") {
    struct Choosing final : Scheduler {
      explicit Choosing(std::optional<TrialIndex> chosen) : chosen_(chosen) {}
      Verdict on_result(TrialIndex, const ResultView&) override { return {}; }
      std::optional<TrialIndex> choose_trial_to_run(const Candidates&) const override { return chosen_; }
      std::string save() const override { return {}; }
      void restore(std::string_view) override {}
      std::optional<TrialIndex> chosen_;
    };
    const auto error_with = [](std::optional<TrialIndex> chosen) {
      const TempDir dir;
      Life life = told({});
      life.machine.scheduler = "mine";
      life.scheduler.make = [chosen](const SchedulerContext&) { return std::make_unique<Choosing>(chosen); };
      return error_of([&] { life.run(memory(), dir.path()); });
    };
    CHECK(has(error_with(std::nullopt), "the scheduler 'mine' starts none of the 3 trials that wait"));
    CHECK(has(error_with(42), "the scheduler 'mine' says something of trial 42"));
    CHECK(has(error_with(0), "the scheduler 'mine' chose trial 0 to run, which is TERMINATED"));
  }
}
