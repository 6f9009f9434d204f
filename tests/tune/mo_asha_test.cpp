#include <doctest/doctest.h>

#include <cmath>

#include "runtime/errors.hpp"
#include "support.hpp"
#include "tune/schedulers/asha.hpp"
#include "tune/simulation.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;

namespace {

constexpr Decision C = Decision::kContinue;
constexpr Decision S = Decision::kStop;

const SchedulerContext kContext{.metric = "loss", .mode = Mode::kMin, .seed = 1, .further_objectives = {{"accuracy", Mode::kMax}}};

Verdict report(Scheduler& scheduler, TrialIndex trial, std::uint64_t t, double loss, double accuracy) {
  const Metrics metrics{{"loss", loss}, {"accuracy", accuracy}};
  return scheduler.on_result(trial, {t, 0, metrics});
}

/// A new trial comes to the first rung.
Decision arrive(Scheduler& scheduler, TrialIndex trial, double loss, double accuracy) {
  scheduler.on_trial_add(trial, {});
  return report(scheduler, trial, 1, loss, accuracy).decision;
}

}  // namespace

TEST_SUITE("tune/schedulers/mo_asha") {
  TEST_CASE("who is not among the best share at a rung stops, by fronts first") {
    const auto scheduler = mo_asha({.max_t = 9, .reduction_factor = 2}).make(kContext);
    CHECK(arrive(*scheduler, 0, 5, 0.5) == C);  // the first goes on
    CHECK(arrive(*scheduler, 1, 6, 0.4) == C);  // dominated by one of two: one is not more than half
    CHECK(arrive(*scheduler, 2, 7, 0.3) == S);  // two of three are better
    CHECK(arrive(*scheduler, 3, 9, 0.9) == C);  // worse in one, best in the other: on the front
    CHECK(arrive(*scheduler, 4, 1, 0.1) == C);
    CHECK(arrive(*scheduler, 5, 8, 0.2) == S);
    CHECK(report(*scheduler, 0, 2, 99, 0).rung == 2);  // first to come to the next rung
    CHECK(report(*scheduler, 3, 9, 99, 0).decision == S);  // max_t
  }

  TEST_CASE("on one front the loneliest are the best") {
    const auto scheduler = mo_asha({.max_t = 9, .reduction_factor = 4}).make(kContext);
    for (int i = 0; i <= 4; ++i) arrive(*scheduler, static_cast<TrialIndex>(i), 2.5 * i, 0.25 * i);  // a straight front from end to end
    CHECK(arrive(*scheduler, 5, 5.1, 0.51) == S);  // two ends and the wider gaps come first
    CHECK(arrive(*scheduler, 6, 20, 2) == C);      // a new end
  }

  TEST_CASE("NaN is dominated and never throws, infinities count as what they are, and without a metric a trial goes on") {
    const auto scheduler = mo_asha({.max_t = 9, .reduction_factor = 2}).make(kContext);
    for (TrialIndex i = 0; i < 4; ++i) (void)arrive(*scheduler, i, i, 0.5);
    CHECK(arrive(*scheduler, 4, NAN, 1) == S);
    CHECK(arrive(*scheduler, 5, -INFINITY, 0) == C);
    CHECK(arrive(*scheduler, 6, INFINITY, -INFINITY) == S);
    scheduler->on_trial_add(7, {});
    const Metrics one{{"loss", 99}};
    CHECK(scheduler->on_result(7, {1, 0, one}).decision == C);
    CHECK(report(*scheduler, 7, 1, 99, 0).decision == S);  // it had not been judged
  }

  TEST_CASE("a saved MO-ASHA goes on with the same decisions") {
    const SchedulerSpec spec = mo_asha({.max_t = 27, .reduction_factor = 3, .brackets = 2});
    const auto first = spec.make(kContext), second = spec.make(kContext);
    Random random(7);
    for (TrialIndex i = 0; i < 50; ++i) arrive(*first, i, random.uniform(), i % 10 == 3 ? NAN : random.uniform());
    second->restore(first->save());
    CHECK(second->save() == first->save());
    for (TrialIndex i = 50; i < 100; ++i) {
      const double loss = random.uniform(), accuracy = random.uniform();
      CHECK(arrive(*first, i, loss, accuracy) == arrive(*second, i, loss, accuracy));
    }
    CHECK(second->save() == first->save());
    CHECK(has(first->debug_text(), "Using MO-ASHA: num_stopped="));
    CHECK(has(first->debug_text(), "on the front of"));
    CHECK_THROWS_AS(second->restore("nonsense"), StorageCorruption);
    // Behaviour: a point of fewer objectives was read beyond its end.
    const auto one_rung = mo_asha({.max_t = 1}).make(kContext);
    CHECK_NOTHROW(one_rung->restore("0 0 1 2 0 0"));
    CHECK_THROWS_AS(one_rung->restore("0 0 1 1 0"), StorageCorruption);
  }

  TEST_CASE("one objective and the promotion type are refused with what to do") {
    CHECK(has(error_of([] { mo_asha().make({.metric = "loss"}); }), "TuneOptions::further_objectives"));
    CHECK(has(error_of([] { mo_asha({.type = AshaType::kPromotion}).make(kContext); }), "kStopping"));
    CHECK_THROWS_AS(mo_asha({.max_t = -1}).make(kContext), InvalidArgument);
  }

  TEST_CASE("MO-ASHA spends a third of what all trials would take, and nearly all of the front is found") {
    TuneOptions options{.metric = "loss",
                        .further_objectives = {{"size", Mode::kMin}},
                        .num_samples = 200,
                        .space = {{"size", uniform(0, 1)}, {"waste", uniform(0, 1)}},
                        .scheduler = fifo(),
                        .max_iterations = 27,
                        .seed = 4};
    const SimulatedTrainable trainable{.step = [](SimulatedStep& step) {
      const double size = step.config.get<double>("size"), waste = step.config.get<double>("waste");
      return SimulatedResult{{{"loss", 1 - size + waste + 1.0 / static_cast<double>(step.iteration)}, {"size", size}}, 1};
    }};
    const auto volume = [](const ResultGrid& grid) {
      std::vector<Losses> points;
      for (const TrialResult& trial : grid.trials()) points.push_back({trial.metrics.get("loss").value(), trial.metrics.get("size").value()});
      return hypervolume(std::move(points), {2, 1});
    };
    const Simulation all = simulate(options, trainable, {.workers = 10});
    options.scheduler = mo_asha({.max_t = 27, .reduction_factor = 3});
    options.max_iterations = 0;
    const Simulation some = simulate(options, trainable, {.workers = 10});
    CHECK(some.busy_seconds < all.busy_seconds / 3);
    CHECK(volume(some.grid) > 0.95 * volume(all.grid));
  }
}
