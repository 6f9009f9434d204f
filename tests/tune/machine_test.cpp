#include "tune/core/machine.hpp"

#include <doctest/doctest.h>

#include <cmath>

#include "runtime/errors.hpp"
#include "support.hpp"
#include "tune/schedulers/asha.hpp"
#include "tune/searchers/variants.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;

namespace {

ExperimentMachine make(MachineOptions options, std::uint64_t samples = 3, SchedulerSpec scheduler = fifo()) {
  options.trial_prefix = "abcde";
  options.trainable = "f";
  return {options, std::make_unique<VariantSearcher>(Space{{"x", uniform(0, 1)}}, samples, 1),
          scheduler.make({options.metric, options.mode, 1})};
}

Effects step(ExperimentMachine& machine, EventBody body) { return machine.step({1000, std::move(body)}); }

void create_all(ExperimentMachine& machine) {
  while (auto created = machine.propose()) step(machine, *created);
}

TrialReported result(TrialIndex trial, std::uint64_t iteration, double loss, std::string checkpoint = "") {
  return {trial, iteration, Metrics{{"loss", loss}}, 0.5, std::move(checkpoint), 1};
}

std::vector<std::string> names(const std::vector<Superseded>& superseded) {
  std::vector<std::string> out;
  for (const auto& [trial, checkpoint] : superseded) out.push_back(checkpoint.name);
  return out;
}

std::vector<std::string> names(const std::vector<CheckpointRef>& checkpoints) {
  std::vector<std::string> out;
  for (const auto& checkpoint : checkpoints) out.push_back(checkpoint.name);
  return out;
}

}  // namespace

TEST_SUITE("tune/core") {
  TEST_CASE("trials are made, run in order, and the experiment ends with the last") {
    ExperimentMachine machine = make({.metric = "loss"}, 2);
    create_all(machine);
    REQUIRE(machine.trials().size() == 2);
    CHECK(machine.trial(1).id == "abcde_00001");
    for (TrialIndex i : {0u, 1u}) {
      REQUIRE(machine.next_to_run() == i);
      step(machine, TrialStarted{i, 0});
      CHECK(step(machine, result(i, 1, 2.0 - i)).recorded);
      CHECK_FALSE(machine.finished());
      CHECK(step(machine, TrialFinished{i}).ended);
    }
    CHECK(machine.finished());
    CHECK(machine.best()->index == 1);
    CHECK(machine.count(TrialState::kTerminated) == 2);
    CHECK(machine.trial(0).time_total_s == 0.5);
  }

  TEST_CASE("a trial that is still leaving its worker is not started, also when its scheduler chooses it all the same") {
    struct FirstAlways final : Scheduler {
      Verdict on_result(TrialIndex, const ResultView&) override { return Decision::kPause; }
      std::optional<TrialIndex> choose_trial_to_run(const Candidates&) const override { return 0; }
      std::string save() const override { return {}; }
      void restore(std::string_view) override {}
    };
    ExperimentMachine machine = make({.metric = "loss"}, 2, {"first", "first", [](const SchedulerContext&) { return std::make_unique<FirstAlways>(); }});
    create_all(machine);
    step(machine, TrialStarted{0, 0});
    step(machine, result(0, 1, 1));
    REQUIRE(machine.trial(0).state == TrialState::kPaused);
    CHECK_FALSE(machine.next_to_run([](TrialIndex trial) { return trial == 0; }));
    CHECK(machine.next_to_run([](TrialIndex) { return false; }) == 0u);
  }

  TEST_CASE("a failed trial runs again max_failures times, then it is an error") {
    ExperimentMachine machine = make({.metric = "loss", .max_failures = 2}, 1);
    create_all(machine);
    for (int attempt = 1; attempt <= 3; ++attempt) {
      step(machine, TrialStarted{0, 0});
      const Effects effects = step(machine, TrialFailed{0, "boom"});
      CHECK(effects.ended == (attempt == 3));
    }
    CHECK(machine.trial(0).state == TrialState::kError);
    CHECK(machine.trial(0).attempts == 3);
    CHECK(machine.finished());
    CHECK(machine.best() == nullptr);
  }

  TEST_CASE("a first result without the metric fails the trial for good and names both") {
    ExperimentMachine machine = make({.metric = "loss", .max_failures = 5}, 1);
    create_all(machine);
    step(machine, TrialStarted{0, 0});
    const Effects effects = step(machine, TrialReported{0, 1, Metrics{{"acc", 1}, {"f1", 2}}, 0, "", 1});
    CHECK(effects.decision == Decision::kStop);
    CHECK(effects.ended);
    CHECK(effects.recorded);
    CHECK(machine.trial(0).state == TrialState::kError);
    CHECK(has(machine.trial(0).error, "'loss'"));
    CHECK(has(machine.trial(0).error, "acc, f1"));
  }

  TEST_CASE("a first result without the scheduler's time fails the trial for good; a later one does not") {
    for (const std::uint64_t lacking : {1u, 2u}) {
      ExperimentMachine machine = make({.metric = "loss", .max_failures = 5}, 1, asha({.time_attr = "epoch", .max_t = 9}));
      create_all(machine);
      step(machine, TrialStarted{0, 0});
      for (std::uint64_t i = 1; i <= lacking; ++i) {
        const Metrics metrics = i == lacking ? Metrics{{"loss", 1}} : Metrics{{"loss", 1}, {"epoch", 1}};
        step(machine, TrialReported{0, i, metrics, 0, "", 1});
      }
      CHECK(machine.trial(0).state == (lacking == 1 ? TrialState::kError : TrialState::kRunning));
      CHECK(has(machine.trial(0).error, "'epoch'") == (lacking == 1));
    }
  }

  TEST_CASE("a trial that ends without one result is an error; without a metric it is not") {
    for (const std::string metric : {"loss", ""}) {
      ExperimentMachine machine = make({.metric = metric}, 1);
      create_all(machine);
      step(machine, TrialStarted{0, 0});
      step(machine, TrialFinished{0});
      CHECK(machine.trial(0).state == (metric.empty() ? TrialState::kTerminated : TrialState::kError));
    }
  }

  TEST_CASE("NaN and infinity are recorded and never the best") {
    ExperimentMachine machine = make({.metric = "loss"}, 3);
    create_all(machine);
    const double values[] = {NAN, 4, -INFINITY};
    for (TrialIndex i = 0; i < 3; ++i) {
      step(machine, TrialStarted{i, 0});
      step(machine, result(i, 1, values[i]));
    }
    CHECK(machine.best()->index == 1);
    CHECK(std::isnan(*machine.trial(0).last.get("loss")));
  }

  TEST_CASE("metric 0 can be the best") {
    ExperimentMachine machine = make({.metric = "loss"}, 1);
    create_all(machine);
    step(machine, TrialStarted{0, 0});
    step(machine, result(0, 1, 0));
    REQUIRE(machine.best() != nullptr);
  }

  TEST_CASE("max_iterations stops a trial and tells the scheduler it is complete") {
    ExperimentMachine machine = make({.metric = "loss", .max_iterations = 2}, 1);
    create_all(machine);
    step(machine, TrialStarted{0, 0});
    CHECK(step(machine, result(0, 1, 1)).decision == Decision::kContinue);
    CHECK(step(machine, result(0, 2, 1)).decision == Decision::kStop);
    CHECK(machine.finished());
  }

  TEST_CASE("of the checkpoints the newest stay, and the best where that is wanted") {
    ExperimentMachine machine = make({.metric = "loss", .keep_checkpoints = 1, .keep_best_checkpoints = 1}, 1);
    create_all(machine);
    step(machine, TrialStarted{0, 0});
    CHECK(step(machine, result(0, 1, 5, "c1")).superseded.empty());
    CHECK(names(step(machine, result(0, 2, 1, "c2")).superseded) == std::vector<std::string>{"c1"});
    CHECK(step(machine, result(0, 3, 3, "c3")).superseded.empty());
    CHECK(names(step(machine, result(0, 4, NAN, "c4")).superseded) == std::vector<std::string>{"c3"});
    CHECK(names(machine.trial(0).checkpoints) == std::vector<std::string>{"c2", "c4"});
  }

  TEST_CASE("what a trial saves at its end counts, also beyond its last recorded result; before it may go on, it does not") {
    ExperimentMachine machine = make({.metric = "loss", .keep_checkpoints = 1}, 1);
    create_all(machine);
    step(machine, TrialStarted{0, 0});
    step(machine, result(0, 1, 5, "c1"));
    CHECK(names(step(machine, TrialCheckpointed{0, 2, "early"}).superseded) == std::vector<std::string>{"early"});
    CHECK(names(machine.trial(0).checkpoints) == std::vector<std::string>{"c1"});
    step(machine, ExperimentStopped{});
    REQUIRE(machine.trial(0).ended());
    CHECK(names(step(machine, TrialCheckpointed{0, 2, "c2"}).superseded) == std::vector<std::string>{"c1"});
    CHECK(names(machine.trial(0).checkpoints) == std::vector<std::string>{"c2"});
  }

  TEST_CASE("an iteration that is reported again adds no row, but its checkpoint counts") {
    ExperimentMachine machine = make({.metric = "loss", .max_failures = 1}, 1);
    create_all(machine);
    step(machine, TrialStarted{0, 0});
    step(machine, result(0, 1, 5, "c1"));
    step(machine, result(0, 2, 4));
    step(machine, TrialFailed{0, "crash"});
    step(machine, TrialStarted{0, 1});
    CHECK(machine.recorded(0, 2));
    const Effects effects = step(machine, TrialCheckpointed{0, 2, "c2"});
    CHECK_FALSE(effects.recorded);
    CHECK(names(effects.superseded) == std::vector<std::string>{"c1"});
    CHECK(machine.trial(0).iteration == 2);
    CHECK_FALSE(machine.recorded(0, 3));
    CHECK_THROWS_AS(step(machine, result(0, 2, 4)), StorageCorruption);
    CHECK_THROWS_AS(step(machine, result(0, 4, 4)), StorageCorruption);
  }

  TEST_CASE("a new session makes what was running pending again, without counting a failure") {
    ExperimentMachine machine = make({.metric = "loss"}, 2);
    create_all(machine);
    step(machine, TrialStarted{0, 0});
    step(machine, result(0, 1, 5));
    step(machine, SessionStarted{2});
    CHECK(machine.trial(0).state == TrialState::kPending);
    CHECK(machine.trial(0).failures == 0);
    CHECK(machine.next_to_run() == 0u);
  }

  TEST_CASE("events that cannot follow are damage, with the trial's name") {
    ExperimentMachine machine = make({.metric = "loss"}, 2);
    create_all(machine);
    CHECK(has(error_of([&] { step(machine, TrialFinished{0}); }), "abcde_00000"));
    CHECK_THROWS_AS(step(machine, TrialStarted{9, 0}), StorageCorruption);
    CHECK_THROWS_AS(step(machine, TrialCreated{7, "", {}}), StorageCorruption);
    step(machine, ExperimentCreated{});
    CHECK_THROWS_AS(step(machine, ExperimentCreated{}), StorageCorruption);
  }

  TEST_CASE("few trials are made ahead of those that run") {
    ExperimentMachine machine = make({.metric = "loss"}, 1000);
    create_all(machine);
    CHECK(machine.trials().size() == 16);
    step(machine, TrialStarted{0, 0});
    create_all(machine);
    CHECK(machine.trials().size() == 17);
  }
}
