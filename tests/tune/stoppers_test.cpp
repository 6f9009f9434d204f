#include "tune/stoppers/stoppers.hpp"

#include <doctest/doctest.h>

#include <cmath>

#include "runtime/errors.hpp"
#include "support.hpp"
#include "tune/core/machine.hpp"
#include "tune/simulation.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;

namespace {

/// Asks the stopper at each value of one trial; which of them ended it, from 1, or 0.
std::size_t ends_at(Stopper& stopper, const std::vector<double>& values, TrialIndex trial = 0) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Metrics metrics{{"loss", values[i]}};
    if (stopper.on_result(trial, {i + 1, 0, metrics})) return i + 1;
  }
  return 0;
}

std::unique_ptr<Stopper> make(const StopperSpec& spec, Mode mode = Mode::kMin) { return spec.make({"loss", mode}); }

/// Sixty virtual seconds a step, ten steps a trial.
Simulation run(StopperSpec stop, std::int64_t samples = 5, std::size_t workers = 1) {
  TuneOptions options{.metric = "loss", .num_samples = samples, .space = {{"x", uniform(0, 1)}}, .stop = std::move(stop), .seed = 3};
  return simulate(options, {.iterations = 10, .step = [](SimulatedStep& step) {
                    return SimulatedResult{{{"loss", 1.0 / static_cast<double>(step.iteration)}}, 60};
                  }}, {.workers = workers});
}

}  // namespace

TEST_SUITE("tune/stoppers") {
  TEST_CASE("max_iterations ends each trial with that result") {
    const Simulation done = run(max_iterations(3));
    for (const TrialResult& trial : done.grid.trials()) {
      CHECK(trial.iterations == 3);
      CHECK(trial.state == TrialState::kTerminated);
    }
  }

  TEST_CASE("a trial's plateau: the last four spread less than 0.01, and not before the fourth result") {
    CHECK(ends_at(*make(trial_plateau()), {1, 1, 1, 1, 1}) == 4);
    CHECK(ends_at(*make(trial_plateau()), {9, 5, 1, 1, 1, 1}) == 6);
    CHECK(ends_at(*make(trial_plateau()), {1, 1.1, 1, 1.1, 1, 1.1}) == 0);
    CHECK(ends_at(*make(trial_plateau({.grace_period = 6})), {1, 1, 1, 1, 1, 1, 1}) == 6);
    CHECK(ends_at(*make(trial_plateau({.num_results = 2, .grace_period = 0})), {3, 1, 1}) == 3);
    CHECK(ends_at(*make(trial_plateau({.metric_threshold = 0.5})), {1, 1, 1, 1, 1}) == 0);
    CHECK(ends_at(*make(trial_plateau({.metric_threshold = 0.5}), Mode::kMax), {1, 1, 1, 1}) == 4);
    CHECK(ends_at(*make(trial_plateau()), {NAN, NAN, NAN, NAN, INFINITY, INFINITY, INFINITY, INFINITY}) == 0);
  }

  TEST_CASE("the experiment's plateau: the ten best results spread no more than 0.001") {
    const auto stopper = make(experiment_plateau({.top = 3}));
    CHECK(ends_at(*stopper, {0.5, 0.4, 0.3, NAN}) == 0);
    CHECK_FALSE(stopper->stop_all(0));
    ends_at(*stopper, {0.3}, 1), ends_at(*stopper, {0.3}, 2);
    CHECK(stopper->stop_all(0));
    ends_at(*stopper, {0.1}, 3);
    CHECK_FALSE(stopper->stop_all(0));
    const auto patient = make(experiment_plateau({.top = 2, .patience = 2}), Mode::kMax);
    ends_at(*patient, {1, 1});
    CHECK_FALSE(patient->stop_all(0));
    ends_at(*patient, {0});
    CHECK(patient->stop_all(0));
    const Simulation ended = run(experiment_plateau({.top = 2}), 5);
    CHECK(ended.grid[1].iterations == 10);  // the second to report 0.1
    for (std::size_t i = 2; i < ended.grid.size(); ++i) CHECK(ended.grid[i].iterations == 0);
    CHECK(ended.seconds == doctest::Approx(1200));
  }

  TEST_CASE("the timeout ends the experiment, those who run and those who wait") {
    const Simulation ended = run(timeout(900), 5, 2);
    CHECK(ended.timeline.back().time_s == doctest::Approx(900));
    CHECK(ended.grid[2].iterations == 5);
    for (const TrialResult& trial : ended.grid.trials()) CHECK(trial.state == TrialState::kTerminated);
  }

  TEST_CASE("test_timeout_stopper_recover_before_timeout: it goes on counting where an interrupted experiment had come to") {
    // Ray's python/ray/tune/tests/test_stopper.py: Timeout(60), 40 s in one session; in the next one 22 s more are too many, the time between does not count.
    ExperimentMachine machine({.metric = "loss"}, random_search().make({{}, {}, 100, 1}), fifo().make({"loss", Mode::kMin, 1}),
                              make(timeout(60)));
    const auto at = [&](double seconds, EventBody body) { machine.step({static_cast<std::int64_t>(seconds * 1000), std::move(body)}); };
    at(1000, SessionStarted{1});
    at(1000, TrialCreated{0, "", {}});
    at(1000, TrialStarted{0, 0});
    at(1040, TrialReported{0, 1, {{"loss", 1}}, 40});
    CHECK(machine.time_since_start_s() == 40);
    CHECK(machine.unfinished() == 1);
    at(9000, SessionStarted{2});
    at(9000, TrialStarted{0, 0});
    at(9019, TrialReported{0, 2, {{"loss", 1}}, 19});
    CHECK(machine.unfinished() == 1);
    at(9022, TrialReported{0, 3, {{"loss", 1}}, 3});
    CHECK(machine.time_since_start_s() == 62);
    CHECK(machine.finished());
  }

  TEST_CASE("a function ends the trials that it says") {
    const auto done = run(stop_if([](TrialIndex trial, const ResultView& result) { return trial % 2 == 1 && result.get("loss") < 0.3; }, "odd"));
    CHECK(done.grid[0].iterations == 10);
    CHECK(done.grid[1].iterations == 4);
  }

  TEST_CASE("any_of ends with the first, all_of when all say so at one result") {
    const auto below = [](double limit) { return stop_if([limit](TrialIndex, const ResultView& result) { return *result.get("loss") < limit; }); };
    CHECK(run(any_of({max_iterations(7), below(0.3)})).grid[0].iterations == 4);
    CHECK(run(all_of({max_iterations(7), below(0.3)})).grid[0].iterations == 7);
    CHECK(run(all_of({max_iterations(2), below(0.3)})).grid[0].iterations == 4);
    CHECK(run(any_of({timeout(120), max_iterations(7)}), 3).timeline.back().time_s == doctest::Approx(120));
    CHECK(run(all_of({timeout(120), max_iterations(7)}), 3).seconds == doctest::Approx(1260));  // the latter never ends it all
    const auto flat = [](std::uint64_t at_least) { return simulate({.metric = "loss", .num_samples = 2, .stop = all_of({max_iterations(at_least), trial_plateau()}), .seed = 3},
        {.iterations = 20, .step = [](SimulatedStep&) { return SimulatedResult{{{"loss", 1}}, 60}; }}, {.workers = 1}); };
    CHECK(flat(5).grid[0].iterations == 5);  // it is a plateau still, since 4
    CHECK(flat(10).grid[1].iterations == 10);
    CHECK(make(any_of({max_iterations(1), below(0)}))->stops_every_trial());
    CHECK_FALSE(make(all_of({max_iterations(1), below(0)}))->stops_every_trial());
  }

  TEST_CASE("a saved stopper goes on with the same answers") {
    const StopperSpec spec = any_of({trial_plateau(), all_of({experiment_plateau({.top = 3}), timeout(5)})});
    const auto kept = make(spec), restored = make(spec);
    ends_at(*kept, {3, 1, 1, 1}, 7);
    restored->restore(kept->save());
    CHECK(restored->save() == kept->save());
    CHECK(restored->stop_all(10));
    CHECK(kept->stop_all(10));
    for (Stopper* stopper : {kept.get(), restored.get()}) CHECK(ends_at(*stopper, {1}, 7) == 1);
    CHECK_THROWS_AS(restored->restore("5 nothing"), StorageCorruption);
  }

  TEST_CASE("a stopper forgets a trial that is over") {
    const auto stopper = make(any_of({trial_plateau()}));
    const std::string empty = stopper->save();
    ends_at(*stopper, {3, 2, 1}, 7);
    CHECK(stopper->save() != empty);
    stopper->on_end(7);
    CHECK(stopper->save() == empty);
  }

  TEST_CASE("options of stoppers that make no sense are refused") {
    CHECK(has(error_of([] { make(max_iterations(0)); }), "not 0"));
    CHECK(has(error_of([] { make(timeout(0)); }), "timeout"));
    CHECK(has(error_of([] { make(any_of({})); }), "no stopper"));
    CHECK(has(error_of([] { make(all_of({StopperSpec{}})); }), "is empty"));
    CHECK(has(error_of([] { trial_plateau().make({}); }), "no metric"));
    CHECK(has(error_of([] { make(experiment_plateau({.top = 0})); }), "top is 0"));
    for (const double never : {-1.0, 0.0, double(NAN)}) CHECK(has(error_of([&] { make(trial_plateau({.std = never})); }), "std is " + number_text(never, 6)));
    CHECK(has(error_of([] { make(experiment_plateau({.std = -1})); }), "std is -1"));
  }

  TEST_CASE("within all_of what ends the experiment agrees that a trial ends, so that both come together") {
    // A story: all_of({max_iterations, timeout}) was said to stop every trial and never stopped an endless one.
    const auto endless = [](StopperSpec stop) {
      return simulate({.metric = "loss", .num_samples = 2, .stop = std::move(stop), .seed = 3},
                      {.step = [](SimulatedStep& step) { return SimulatedResult{{{"loss", 1.0 / static_cast<double>(step.iteration)}}, 1}; }}, {.workers = 1});
    };
    const Simulation slow = endless(all_of({max_iterations(5), timeout(20)}));
    CHECK(slow.grid[0].iterations == 20);  // not before both hold
    CHECK(slow.grid[1].iterations == 5);
    CHECK(endless(all_of({max_iterations(30), timeout(20)})).grid[0].iterations == 30);
    CHECK(endless(all_of({max_iterations(5), any_of({timeout(20), max_iterations(100)})})).grid[0].iterations == 20);
    const auto plateau = make(all_of({max_iterations(2), experiment_plateau({.top = 2})}));
    CHECK(ends_at(*plateau, {3, 2, 1, 1, 1}) == 4);
    CHECK_FALSE(plateau->stop_all(0));
    CHECK(endless(all_of({timeout(20), timeout(30)})).seconds == doctest::Approx(30));
  }
}
