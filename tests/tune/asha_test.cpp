#include "tune/schedulers/asha.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "runtime/errors.hpp"
#include "support.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;

namespace {

constexpr Decision C = Decision::kContinue;
constexpr Decision S = Decision::kStop;

AshaScheduler make(AshaOptions options, Mode mode = Mode::kMax) { return {options, {"reward", mode, 5}}; }

Decision report(Scheduler& scheduler, TrialIndex trial, std::uint64_t t, double reward) {
  const Metrics metrics{{"reward", reward}};
  return scheduler.on_result(trial, {t, 0, metrics}).decision;
}

void complete(Scheduler& scheduler, TrialIndex trial, std::uint64_t t, double reward) {
  const Metrics metrics{{"reward", reward}};
  const ResultView view{t, 0, metrics};
  scheduler.on_complete(trial, &view);
}

/// Trials 0 and 1: 0 reports (i, 100 i) for i = 0…9, 1 reports (i, 450) for i = 0…4; all go on.
void basic(Scheduler& scheduler) {
  scheduler.on_trial_add(0, {});
  scheduler.on_trial_add(1, {});
  for (std::uint64_t i = 0; i < 10; ++i) REQUIRE(report(scheduler, 0, i, 100.0 * static_cast<double>(i)) == C);
  for (std::uint64_t i = 0; i < 5; ++i) REQUIRE(report(scheduler, 1, i, 450) == C);
}

}  // namespace

TEST_SUITE("tune/schedulers") {
  TEST_CASE("testAsyncHBUsesPercentile: the third trial is below the median of 100 and 450") {
    AshaScheduler scheduler = make({.max_t = 10, .grace_period = 1, .reduction_factor = 2});
    basic(scheduler);
    complete(scheduler, 0, 10, 1000);
    complete(scheduler, 1, 10, 1000);
    scheduler.on_trial_add(2, {});
    CHECK(report(scheduler, 2, 1, 260) == S);
    CHECK(scheduler.stopped() == 1);
  }

  TEST_CASE("testAsyncHBUsesPercentile, continued: at the second rung the third trial stops as well") {
    AshaScheduler scheduler = make({.max_t = 10, .grace_period = 1, .reduction_factor = 2});
    basic(scheduler);
    complete(scheduler, 0, 10, 1000);
    complete(scheduler, 1, 10, 1000);
    scheduler.on_trial_add(2, {});
    CHECK(report(scheduler, 2, 2, 260) == S);
  }

  TEST_CASE("testAsyncHBOnComplete: a result past max_t stops") {
    AshaScheduler scheduler = make({.max_t = 10});
    basic(scheduler);
    scheduler.on_trial_add(2, {});
    complete(scheduler, 2, 10, 1000);
    CHECK(report(scheduler, 1, 101, 0) == S);
  }

  TEST_CASE("testAsyncHBAllCompletes: at max_t all stop, also in brackets that have no rung") {
    AshaScheduler scheduler = make({.max_t = 10, .brackets = 10});
    for (TrialIndex i = 0; i < 10; ++i) {
      scheduler.on_trial_add(i, {});
      CHECK(report(scheduler, i, 10, -2) == S);
    }
  }

  TEST_CASE("testAsyncHBSaveRestore: the restored scheduler decides as the saved one would") {
    AshaScheduler scheduler = make({.max_t = 100, .reduction_factor = 2});
    for (TrialIndex i = 0; i < 5; ++i) {
      scheduler.on_trial_add(i, {});
      CHECK(report(scheduler, i, 1, 10) == C);
    }
    scheduler.on_trial_add(5, {});
    CHECK(report(scheduler, 5, 1, 5) == S);
    scheduler.on_trial_add(6, {});
    AshaScheduler restored = make({.max_t = 100, .reduction_factor = 2});
    restored.restore(scheduler.save());
    CHECK(restored.save() == scheduler.save());
    CHECK(report(restored, 6, 1, 4) == S);
    restored.on_trial_add(7, {});
    CHECK(report(restored, 7, 1, 2) == S);
    CHECK(restored.stopped() == 3);
    CHECK_THROWS_AS(restored.restore("3 99"), StorageCorruption);
  }

  TEST_CASE("rungs stand where Ray's stand, the float trap included") {
    CHECK(make({.max_t = 100}).milestones(0) == std::vector<double>{64, 16, 4, 1});
    CHECK(make({.max_t = 10, .reduction_factor = 2}).milestones(0) == std::vector<double>{8, 4, 2, 1});
    CHECK(make({.max_t = 243, .reduction_factor = 3}).milestones(0) == std::vector<double>{81, 27, 9, 3, 1});
    CHECK(make({.max_t = 1000, .reduction_factor = 10}).milestones(0) == std::vector<double>{100, 10, 1});
    AshaScheduler three = make({.max_t = 100, .brackets = 6});
    CHECK(three.milestones(1) == std::vector<double>{64, 16, 4});
    CHECK(three.milestones(5).empty());
  }

  TEST_CASE("the first to arrive goes on, a tie goes on, strictly worse stops; earlier ones are not judged again") {
    AshaScheduler scheduler = make({.max_t = 8, .reduction_factor = 2}, Mode::kMin);
    for (TrialIndex i = 0; i < 5; ++i) scheduler.on_trial_add(i, {});
    CHECK(report(scheduler, 0, 1, 3.0) == C);
    CHECK(report(scheduler, 1, 1, 3.0) == C);
    CHECK(report(scheduler, 2, 1, 3.0000001) == S);
    CHECK(report(scheduler, 3, 1, 1.0) == C);
    CHECK(report(scheduler, 4, 1, 1.0) == C);
    CHECK(report(scheduler, 0, 1, 3.0) == C);  // judged by this rung already
  }

  TEST_CASE("a jump over rungs is recorded at the highest only, and later in the skipped one") {
    AshaScheduler scheduler = make({.max_t = 100, .reduction_factor = 4});
    scheduler.on_trial_add(0, {});
    scheduler.on_trial_add(1, {});
    CHECK(report(scheduler, 0, 20, 10) == C);  // recorded at 16
    CHECK(report(scheduler, 1, 4, 1) == C);    // the first at 4
    CHECK(report(scheduler, 0, 21, 0) == S);   // now judged at 4, where 1 stands
    AshaScheduler lenient = make({.max_t = 100, .reduction_factor = 4, .stop_last_trials = false});
    lenient.on_trial_add(0, {});
    lenient.on_trial_add(1, {});
    CHECK(report(lenient, 0, 20, 10) == C);
    CHECK(report(lenient, 1, 4, 1) == C);
    CHECK(report(lenient, 0, 21, 0) == C);
    CHECK(report(lenient, 0, 1000, 0) == C);
  }

  TEST_CASE("NaN and infinities never throw; a rung of NaN has no cutoff") {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    AshaScheduler scheduler = make({.max_t = 10, .reduction_factor = 2});
    for (TrialIndex i = 0; i < 6; ++i) scheduler.on_trial_add(i, {});
    CHECK(report(scheduler, 0, 1, nan) == C);
    CHECK(report(scheduler, 1, 1, 5) == C);
    CHECK(report(scheduler, 2, 1, nan) == C);
    CHECK(report(scheduler, 3, 1, 4) == S);
    CHECK(report(scheduler, 4, 1, -INFINITY) == S);
    CHECK(report(scheduler, 5, 1, INFINITY) == C);
    CHECK(has(scheduler.debug_text(), "Iter 1.000"));
  }

  TEST_CASE("without the metric or the time a trial goes on") {
    AshaScheduler scheduler({.time_attr = "tokens", .max_t = 10}, {"loss", Mode::kMin, 0});
    scheduler.on_trial_add(0, {});
    const Metrics no_time{{"loss", 1}}, no_metric{{"tokens", 99}}, both{{"loss", 1}, {"tokens", 99}};
    CHECK(scheduler.on_result(0, {1, 0, no_time}).decision == C);
    CHECK(scheduler.on_result(0, {2, 0, no_metric}).decision == C);
    CHECK(scheduler.on_result(0, {3, 0, both}).decision == S);
    // So does one that ends with such a result, or whose time is NaN: it is in no rung.
    for (TrialIndex trial : {1u, 2u}) scheduler.on_trial_add(trial, {});
    const ResultView last{1, 0, no_time};
    CHECK(scheduler.on_complete(1, &last).rung == 0);
    const Metrics no_number{{"loss", 1}, {"tokens", NAN}};
    CHECK(scheduler.on_result(2, {1, 0, no_number}).decision == C);
    CHECK(scheduler.on_result(2, {1, 0, no_number}).rung == 0);
    const ResultView nan_last{1, 0, no_number};
    CHECK(scheduler.on_complete(2, &nan_last).rung == 0);
  }

  TEST_CASE("the percentile is numpy's") {
    CHECK(nan_percentile({10, 20, 30, 40}, 50) == 25);
    CHECK(nan_percentile({1, 2, NAN, 3}, 75) == 2.5);
    CHECK(nan_percentile({7}, 75) == 7);
    CHECK(std::isnan(nan_percentile({NAN, NAN}, 50)));
    CHECK(std::isnan(nan_percentile({}, 50)));
  }

  TEST_CASE("brackets are drawn by the softmax of their rung counts") {
    AshaScheduler scheduler = make({.max_t = 100, .brackets = 2});  // 4 and 3 rungs: 1 to e^-1
    int stopped_in_first = 0;
    for (TrialIndex i = 0; i < 2000; ++i) {
      scheduler.on_trial_add(i, {});
      stopped_in_first += report(scheduler, i, 1, -static_cast<double>(i)) == S;  // only bracket 0 has a rung at 1
    }
    CHECK(std::abs(stopped_in_first - 1462) < 80);
  }

  TEST_CASE("options that make no sense are refused by name") {
    CHECK(has(error_of([] { make({.max_t = 0}); }), "max_t"));
    CHECK(has(error_of([] { make({.max_t = 1, .grace_period = 2}); }), "max_t"));
    CHECK(has(error_of([] { make({.grace_period = 0}); }), "grace_period"));
    CHECK(has(error_of([] { make({.reduction_factor = 1}); }), "reduction_factor"));
    CHECK(has(error_of([] { make({.reduction_factor = NAN}); }), "reduction_factor"));
    CHECK(has(error_of([] { make({.brackets = 0}); }), "brackets"));
    // Millions of rungs or brackets took all memory.
    for (const AshaType type : {AshaType::kStopping, AshaType::kPromotion}) {
      const auto refused = [&](AshaOptions options) {
        options.type = type;
        return error_of([&] { asha(options).make({.metric = "loss"}); });
      };
      CHECK(has(refused({.reduction_factor = 1.0000001}), "a reduction_factor of 1.0000001 makes more than 200 rungs from 1 to 100"));
      CHECK(has(refused({.grace_period = 5e-324}), "more than 200 rungs"));
      CHECK(has(refused({.brackets = 1'000'000'000}), "brackets is 1e+09, but it must be from 1 to 200"));
      CHECK(refused({.reduction_factor = 1.03, .brackets = 200}).empty());
    }
  }

  TEST_CASE("the rung line shows each cutoff in the metric's own sign") {
    AshaScheduler scheduler = make({.max_t = 2, .reduction_factor = 2}, Mode::kMin);
    scheduler.on_trial_add(0, {});
    (void)report(scheduler, 0, 1, 0.25);
    CHECK(scheduler.debug_text() == "Using AsyncHyperBand: num_stopped=0\nBracket: Iter 2.000: None | Iter 1.000: 0.25");
  }
}
