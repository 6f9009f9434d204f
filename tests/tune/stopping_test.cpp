// Median, percentile and Wilcoxon stopping. The names that begin with "test" are Ray's (test_trial_scheduler.py) and
// Optuna's (test_percentile.py, test_wilcoxon.py).
#include <cmath>
#include <limits>

#include "runtime/errors.hpp"
#include "scheduler_support.hpp"
#include "tune/options.hpp"
#include "tune/simulation.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;

namespace {

SchedulerSpec median(double grace, std::uint64_t samples, bool hard = true, double slice = 1e9) {
  return median_stopping({.time_attr = "t", .grace_period = grace, .min_samples_required = samples, .min_time_slice = slice, .hard_stop = hard});
}

/// 0 reports (i, 100 i) for i = 0…9, 1 reports (i, 450) for i = 0…4; all go on.
void basic(Driven& driven) {
  driven.launch(2);
  for (int i = 0; i < 10; ++i) REQUIRE(driven.report(0, i, 100 * i) == C);
  for (int i = 0; i < 5; ++i) REQUIRE(driven.report(1, i, 450) == C);
}

void basic_complete(Driven& driven) {
  basic(driven);
  driven.complete(0, 10, 1000);
  driven.complete(1, 10, 1000);
  driven.launch(1);
}

/// So many trials report their value at step 1 and end.
Driven completed(const SchedulerSpec& spec, const std::vector<double>& values, Mode mode) {
  Driven driven(spec, mode);
  for (const double value : values) {
    driven.launch(1);
    driven.report(static_cast<TrialIndex>(driven.configs.size() - 1), 1, value);
    driven.complete(static_cast<TrialIndex>(driven.configs.size() - 1), 1, value);
  }
  driven.launch(1);
  return driven;
}

std::vector<Decision> wilcoxon(double p, const std::vector<double>& values) {
  Driven driven(wilcoxon_stopping({.p_threshold = p}), Mode::kMin);
  driven.launch(1);
  for (std::size_t i = 0; i < values.size(); ++i) driven.report(0, static_cast<double>(i), 0);
  driven.complete(0, static_cast<double>(values.size()) - 1, 0);
  std::vector<Decision> decisions;
  for (std::size_t seen = 1; seen <= values.size(); ++seen) {
    driven.launch(1);  // a trial of its own for each length: one that stopped says no more
    Decision decision = C;
    for (std::size_t i = 0; i < seen && decision == C; ++i) decision = driven.report(static_cast<TrialIndex>(seen), static_cast<double>(i), values[i]);
    decisions.push_back(decision);
  }
  return decisions;
}

/// The same calls to a scheduler and to one that is saved and restored now and then.
void same_after_reload(const SchedulerSpec& spec) {
  Driven kept(spec, Mode::kMin), reloaded(spec, Mode::kMin);
  for (Driven* driven : {&kept, &reloaded}) driven->launch(20);
  double score = 0;
  for (int t = 1; t <= 12; ++t)
    for (TrialIndex i = 0; i < 20; ++i) {
      score = std::fmod(score + 0.618, 1.0);
      if (i == 3) reloaded.reload();
      if (!kept.running.contains(i)) continue;
      REQUIRE(kept.report(i, t, score + i) == reloaded.report(i, t, score + i));
      if (kept.running.contains(i) && (t == 6 ? i < 8 : t > 10)) kept.complete(i, t, score + i), reloaded.complete(i, t, score + i);
      REQUIRE(kept.next() == reloaded.next());
    }
  CHECK(kept.ended == reloaded.ended);
  CHECK_THROWS_AS(kept.scheduler().restore("9 9 9"), StorageCorruption);
}

}  // namespace

TEST_SUITE("tune/schedulers") {
  TEST_CASE("testMedianStoppingOnCompleteOnly: without completed trials nobody stops") {
    Driven driven(median(0, 1));
    basic(driven);
    driven.launch(1);
    CHECK(driven.report(2, 100, 0) == C);
    driven.complete(0, 101, 1000);
    CHECK(driven.report(2, 101, 0) == S);
  }

  TEST_CASE("testMedianStoppingUsesMedian: 260 is no worse than the median of means at 1, and worse at 2") {
    Driven driven(median(0, 1));
    basic_complete(driven);
    CHECK(driven.report(2, 1, 260) == C);
    CHECK(driven.report(2, 2, 260) == S);
  }

  TEST_CASE("testMedianStoppingSoftStop: a trial pauses instead, and goes on when nothing else is to be run") {
    Driven driven(median(0, 1, false));
    basic_complete(driven);
    CHECK(driven.report(2, 1, 260) == C);
    CHECK(driven.report(2, 2, 260) == P);
    driven.add();
    CHECK(driven.next() == 3);
    driven.start(3);
    CHECK(driven.next() == 2);
    driven.start(2);
    driven.reload();
    for (int time = 3; time < 6; ++time) CHECK(driven.report(2, time, 0) == C);  // it has made way once, and runs to its end
  }

  TEST_CASE("testMedianStoppingGracePeriod: nobody stops before it") {
    Driven driven(median(2.5, 1));
    basic_complete(driven);
    CHECK(driven.report(2, 1, 10) == C);
    CHECK(driven.report(2, 2, 10) == C);
    CHECK(driven.report(2, 3, 10) == S);
  }

  TEST_CASE("testMedianStoppingMinSamples: with one other nobody stops, with two one does") {
    Driven driven(median(0, 2));
    basic(driven);
    driven.complete(0, 10, 1000);
    driven.launch(1);
    CHECK(driven.report(2, 4.5, 10) == C);
    driven.complete(1, 10, 1000);
    CHECK(driven.report(2, 5, 10) == S);
  }

  TEST_CASE("testMedianStoppingMinimize: small is good") {
    Driven driven(median(0, 1), Mode::kMin);
    driven.launch(3);
    CHECK(driven.report(0, 1, 10) == C);
    CHECK(driven.report(1, 1, 9) == C);
    CHECK(driven.report(2, 1, 11) == S);
  }

  TEST_CASE("testTrialNanInf of the median rule: NaN moves no mean and stops nobody") {
    Driven driven(median(0, 1), Mode::kMin);
    driven.launch(5);
    driven.complete(0, 9, NAN);
    CHECK(driven.report(1, 1, 5) == C);
    CHECK(driven.report(1, 9, INFINITY) == C);
    CHECK(driven.report(2, 1, NAN) == C);
    CHECK(driven.report(2, 9, -INFINITY) == C);
    CHECK(driven.report(3, 1, 4) == C);
    CHECK(driven.report(4, NAN, NAN) == C);
    CHECK(driven.report(4, INFINITY, INFINITY) == C);
  }

  TEST_CASE("with too few others a trial makes way for those that wait, the longest wait goes first") {
    Driven driven(median(0, 3, true, 2));
    driven.launch(1);
    driven.add(), driven.add();
    CHECK(driven.report(0, 2, 1) == C);  // not more than the time slice
    CHECK(driven.report(0, 3, 1) == P);
    CHECK(driven.next() == 1);
    driven.start(1), driven.start(2);
    CHECK(driven.report(1, 2.5, 1) == P);
    CHECK(driven.next() == 0);
    driven.start(0), driven.start(1);
    CHECK(driven.report(0, 4, 1) == C);
    CHECK(driven.report(0, 9, 1) == C);  // nobody waits
  }

  TEST_CASE("the median rule on a virtual clock ends bad trials, with one worker for all too") {
    for (const std::size_t workers : {1u, 4u}) {
      TuneOptions options{.metric = "loss", .num_samples = 12, .space = {{"x", uniform(0, 1)}}, .seed = 2};
      options.scheduler = median_stopping({.time_attr = "training_iteration", .grace_period = 2});
      const Simulation done = simulate(options, {.iterations = 20, .step = [](SimulatedStep& step) {
                                         return SimulatedResult{{{"loss", step.config.get<double>("x")}}};
                                       }}, {.workers = workers});
      std::size_t whole = 0;
      for (const TrialResult& trial : done.grid.trials()) {
        CHECK(trial.state == TrialState::kTerminated);
        whole += trial.iterations == 20;
      }
      CHECK(whole >= 2);
      CHECK(whole <= 9);
    }
  }

  TEST_CASE("test_percentile: the 25th percentile of .1 … .5 and four NaN, of .1 … .9; all NaN compares nothing; max flips") {
    const std::vector<double> nine{.1, .2, .3, .4, .5, .6, .7, .8, .9}, five{.1, .2, .3, .4, .5, NAN, NAN, NAN, NAN};
    const std::vector<double> none(9, NAN);
    const SchedulerSpec spec = percentile_stopping({.percentile = 25});
    CHECK(completed(spec, nine, Mode::kMin).report(9, 1, .3) == C);
    CHECK(completed(spec, nine, Mode::kMin).report(9, 1, .3001) == S);
    CHECK(completed(spec, five, Mode::kMin).report(9, 1, .2) == C);
    CHECK(completed(spec, five, Mode::kMin).report(9, 1, .2001) == S);
    CHECK(completed(spec, none, Mode::kMin).report(9, 1, 9) == C);
    CHECK(completed(spec, nine, Mode::kMax).report(9, 1, .7) == C);
    CHECK(completed(spec, nine, Mode::kMax).report(9, 1, .6999) == S);
  }

  TEST_CASE("percentile stopping waits for start-up trials, warm-up steps, the interval and enough others") {
    const std::vector<double> five{1, 1, 1, 1, 1};
    CHECK(completed(percentile_stopping(), {1, 1, 1, 1}, Mode::kMin).report(4, 1, 9) == C);
    CHECK(completed(percentile_stopping(), five, Mode::kMin).report(5, 1, 9) == S);
    CHECK(completed(percentile_stopping(), five, Mode::kMin).report(5, 2, 9) == C);  // nobody was at 2
    CHECK(completed(percentile_stopping({.n_warmup_steps = 2}), five, Mode::kMin).report(5, 1, 9) == C);
    CHECK(completed(percentile_stopping({.n_min_trials = 6}), five, Mode::kMin).report(5, 1, 9) == C);
    CHECK(completed(percentile_stopping(), five, Mode::kMin).report(5, 1, NAN) == S);
    CHECK(completed(percentile_stopping({.n_min_trials = 6}), five, Mode::kMin).report(5, 1, NAN) == S);  // as in Optuna: compared to nobody
    CHECK(completed(percentile_stopping(), five, Mode::kMin).report(5, 2, NAN) == S);
    CHECK(completed(percentile_stopping(), {1, 1, 1, 1}, Mode::kMin).report(4, 1, NAN) == C);
    Driven driven = completed(percentile_stopping({.interval_steps = 4}), five, Mode::kMin);
    driven.report(5, 0, 9);
    CHECK(driven.report(5, 1, 9) == C);
  }

  TEST_CASE("test_wilcoxon_pruner_normal: a trial stops when it is probably worse than the best one") {
    const std::vector<double> values{-1, 1, 2, 3, 4, 5, -2, -3};
    CHECK(wilcoxon(0.2, values) == std::vector{C, C, C, S, S, S, S, S});
    const auto strict = wilcoxon(0.15, values);
    CHECK(std::vector(strict.begin(), strict.begin() + 4) == std::vector{C, C, C, C});
    CHECK(wilcoxon_p_greater({-1, 1, 2, 3, 4, 5, -2}) < 0.15);
    CHECK(wilcoxon_p_greater(values) >= 0.15);
    CHECK(wilcoxon_p_greater(values) < 0.2);
  }

  TEST_CASE("the signed-rank test agrees with tables and takes zeros and ties") {
    CHECK(wilcoxon_p_greater({1, 2, 3, 4, 5}) == doctest::Approx(1.0 / 32));
    CHECK(wilcoxon_p_greater({-1, 2, 3, 4, 5}) == doctest::Approx(2.0 / 32));
    CHECK(wilcoxon_p_greater({-5, -4}) == doctest::Approx(1));
    CHECK(wilcoxon_p_greater({0, 0, 0}) == doctest::Approx(0.5));
    CHECK(std::isnan(wilcoxon_p_greater({})));
    std::vector<double> many;
    for (int i = 1; i <= 60; ++i) many.push_back(i % 3 == 0 ? -i : i);
    std::vector<double> fifty(many.begin(), many.begin() + 50), with_zero = fifty;
    with_zero.push_back(0);
    CHECK(wilcoxon_p_greater(with_zero) == doctest::Approx(wilcoxon_p_greater(fifty)).epsilon(0.05));
    CHECK(wilcoxon_p_greater(many) < 0.02);
  }

  TEST_CASE("NaN and infinities throw in neither rule") {
    for (const auto& spec : {wilcoxon_stopping(), percentile_stopping({.n_startup_trials = 0})}) {
      Driven driven(spec);
      driven.launch(6);
      driven.complete(0, 1, INFINITY);
      driven.complete(1, 1, -INFINITY);
      driven.complete(2, 1, NAN);
      driven.report(3, 1, INFINITY), driven.report(4, 1, -INFINITY), driven.report(5, 1, NAN);
      CHECK_FALSE(driven.scheduler().debug_text().empty());
    }
  }

  TEST_CASE("saved median, percentile and Wilcoxon rules go on with the same decisions") {
    same_after_reload(median(1, 2));
    same_after_reload(median(1, 2, false, 0));
    same_after_reload(percentile_stopping());
    same_after_reload(wilcoxon_stopping());
  }

  TEST_CASE("options of the rules that make no sense are refused") {
    const SchedulerContext context{"loss", Mode::kMin, 0};
    CHECK(has(error_of([&] { percentile_stopping({.percentile = 101}).make(context); }), "percentile is 101"));
    CHECK(has(error_of([&] { percentile_stopping({.time_attr = "time_total_s"}).make(context); }), "hardly two report at the same second"));
    CHECK(has(error_of([&] { wilcoxon_stopping({.p_threshold = NAN}).make(context); }), "p_threshold is nan"));
    CHECK(has(error_of([] { median_stopping().make({}); }), "no metric"));
  }
}
