#include "tune/schedulers/asha_promotion.hpp"

#include <time.h>

#include <cmath>

#include "runtime/errors.hpp"
#include "scheduler_support.hpp"
#include "tune/simulation.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;

namespace {

SchedulerSpec promotion(double max_t = 9, double factor = 3, std::int64_t brackets = 1) {
  return asha({.type = AshaType::kPromotion, .max_t = max_t, .reduction_factor = factor, .brackets = brackets});
}

/// What this thread has worked, whatever else the machine does.
double thread_cpu_s() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

}  // namespace

TEST_SUITE("tune/schedulers") {
  TEST_CASE("rungs of the promotion type are exact where a logarithm is not") {
    const auto rungs = [](double max_t, double factor, std::size_t bracket) {
      Driven driven(promotion(max_t, factor, 9));
      return driven.as<AshaPromotionScheduler>().milestones(bracket);
    };
    CHECK(rungs(243, 3, 0) == std::vector<double>{1, 3, 9, 27, 81, 243});
    CHECK(rungs(1000, 10, 0) == std::vector<double>{1, 10, 100, 1000});
    CHECK(rungs(100, 4, 1) == std::vector<double>{4, 16, 64});
    CHECK(rungs(100, 4, 8) == std::vector<double>{64});
  }

  TEST_CASE("trials that go on beyond the last rung are of the stopping type alone") {
    CHECK(has(error_of([] { asha({.type = AshaType::kPromotion, .stop_last_trials = false}).make({"loss", Mode::kMin, 0}); }), "stop_last_trials is false"));
  }

  TEST_CASE("each trial pauses at its rung; the best third goes on when a worker is free, else a new one begins") {
    Driven driven(promotion());
    driven.launch(2);
    CHECK(driven.report(0, 1, 10) == P);
    CHECK(driven.last.rung == 1);
    CHECK(driven.report(1, 1, 30) == P);
    driven.add();
    CHECK(driven.next() == 2);  // ⌊2/3⌋ is nobody
    driven.start(2);
    CHECK(driven.report(2, 1, 20) == P);
    driven.add();
    CHECK(driven.next() == 1);
    driven.start(1);
    CHECK(driven.next() == 3);  // 1 is promoted already
    CHECK(driven.report(1, 2, 31) == C);
    CHECK(driven.report(1, 3, 32) == P);
    CHECK(driven.last.rung == 3);
  }

  TEST_CASE("the highest rung is looked at first, and the last one ends a trial") {
    Driven driven(promotion());
    driven.launch(18);
    for (TrialIndex i = 0; i < 9; ++i) driven.report(i, 1, i);
    for (const TrialIndex i : {8u, 7u, 6u}) {
      REQUIRE(driven.next() == i);
      driven.start(i);
      driven.report(i, 3, i);
    }
    for (TrialIndex i = 9; i < 18; ++i) driven.report(i, 1, i);  // three more could go on from the first rung
    CHECK(driven.next() == 8);                                    // and one from the second
    driven.start(8);
    CHECK(driven.report(8, 9, 1) == S);
    CHECK(driven.last.rung == 9);
    CHECK(driven.next() == 17);
  }

  TEST_CASE("who was late may still go on: a good trial is promoted when others have come") {
    Driven driven(promotion(27));
    driven.launch(6);
    driven.report(0, 1, 5);
    driven.report(1, 1, 6);
    driven.report(2, 1, 7);
    driven.start(*driven.next());
    CHECK(driven.running.contains(2));
    for (TrialIndex i = 3; i < 6; ++i) driven.report(i, 1, 0);
    CHECK(driven.next() == 1);  // now the top third are two
  }

  TEST_CASE("a trial that is still leaving its worker is not promoted yet") {
    Driven driven(promotion());
    driven.launch(6);
    for (TrialIndex i = 0; i < 6; ++i) driven.report(i, 1, i);
    const auto next = driven.scheduler().choose_trial_to_run({{}, [](TrialIndex trial) { return trial != 5; }});
    CHECK(next == 4);
  }

  TEST_CASE("a trial that failed and begins again stays in its rung, one that failed for good leaves it") {
    Driven driven(promotion());
    driven.launch(3);
    for (TrialIndex i = 0; i < 3; ++i) driven.report(i, 1, i);
    driven.start(2);
    driven.start(2);  // its worker died and it was started again
    CHECK(driven.as<AshaPromotionScheduler>().promoted() == 1);
    driven.fail(2);
    CHECK_FALSE(driven.next());
  }

  TEST_CASE("when nothing can be promoted and nothing is left to begin, those who wait end") {
    Driven driven(promotion());
    driven.launch(2);
    driven.report(0, 1, 1), driven.report(1, 1, 2);
    driven.idle();
    CHECK(list(driven.ended) == Trials{0, 1});
    driven.launch(4);
    for (TrialIndex i = 2; i < 6; ++i) driven.report(i, 1, i == 4 ? 1.5 : 0);
    CHECK(driven.next() == 4);  // the ended trials keep their places in the rung and are never chosen
  }

  TEST_CASE("NaN counts as worst, infinities as what they are, and nothing throws") {
    for (const Mode mode : {Mode::kMin, Mode::kMax}) {
      Driven driven(promotion(), mode);
      driven.launch(6);
      const double values[] = {NAN, mode == Mode::kMax ? INFINITY : -INFINITY, 1, NAN, mode == Mode::kMax ? -INFINITY : INFINITY, 1};
      for (TrialIndex i = 0; i < 6; ++i) CHECK(driven.report(i, 1, values[i]) == P);
      CHECK(driven.next() == 1);
      driven.start(1);
      CHECK(driven.next() == 2);
      CHECK(has(driven.scheduler().debug_text(), "Iter 1: 6 trials"));
    }
  }

  TEST_CASE("a saved promotion goes on with the same decisions, with several brackets too") {
    const SchedulerSpec spec = promotion(27, 3, 3);
    Driven kept(spec), reloaded(spec);
    double score = 0;
    for (int step = 0; step < 600; ++step) {
      if (step % 50 == 17) reloaded.reload();
      for (Driven* driven : {&kept, &reloaded}) {
        if (driven->pending.empty()) driven->add();
      }
      const auto chosen = kept.next();
      REQUIRE(chosen == reloaded.next());
      REQUIRE(chosen);
      score = std::fmod(score + 0.618, 1.0);
      kept.start(*chosen), reloaded.start(*chosen);
      for (const double time : {1.0, 3.0, 9.0, 27.0}) {
        if (!kept.running.contains(*chosen)) break;
        REQUIRE(kept.report(*chosen, time, score) == reloaded.report(*chosen, time, score));
      }
      REQUIRE(kept.running == reloaded.running);
    }
    CHECK(kept.as<AshaPromotionScheduler>().promoted() > 50);
    CHECK_THROWS_AS(kept.scheduler().restore("1 2 3"), StorageCorruption);
  }

  TEST_CASE("on 25 workers about one of three goes on from each rung, and no trial runs past its own") {
    TuneOptions options{.metric = "loss", .num_samples = 500, .space = {{"x", uniform(0, 1)}}, .scheduler = promotion(27), .seed = 5};
    const Simulation done = simulate(options, {.step = [](SimulatedStep& step) {
                                       return SimulatedResult{{{"loss", step.config.get<double>("x")}}};
                                     }}, {.workers = 25, .straggler_sd = 0.3});
    std::map<std::uint64_t, int> ends;
    for (const TrialResult& trial : done.grid.trials()) ++ends[trial.iterations];
    CHECK(ends.size() == 4);
    const int past1 = ends[3] + ends[9] + ends[27], past3 = ends[9] + ends[27], past9 = ends[27];
    CHECK(past1 >= 166);  // a third, and those who were among the best third only for a while
    CHECK(past1 < 200);
    CHECK(past3 >= past1 / 3);
    CHECK(past9 >= past3 / 3);
    CHECK(past9 < 40);
    CHECK(done.grid.best().config.get<double>("x") < 0.02);
  }

  TEST_CASE("100,000 trials cost each result the same, with either type") {
    for (const AshaType type : {AshaType::kStopping, AshaType::kPromotion}) {
      const auto scheduler = asha({.type = type, .max_t = 81, .reduction_factor = 3}).make({"reward", Mode::kMax, 1});
      std::uint32_t state = 1;
      const auto thousand = [&](TrialIndex first) {
        const double begin = thread_cpu_s();
        for (TrialIndex trial = first; trial < first + 1000; ++trial) {
          scheduler->on_trial_add(trial, {});
          scheduler->on_start(trial);
          state = state * 1664525u + 1013904223u;
          const Metrics metrics{{"reward", static_cast<double>(state >> 8)}};
          if (scheduler->on_result(trial, {1, 1, metrics}).decision == C) scheduler->on_complete(trial, nullptr);
        }
        return thread_cpu_s() - begin;
      };
      thousand(0);  // the first pages
      std::vector<double> times;
      for (TrialIndex first = 1000; first < 100000; first += 1000) times.push_back(thousand(first));
      std::vector<double> early(times.begin(), times.begin() + 10), late(times.end() - 10, times.end());
      std::sort(early.begin(), early.end()), std::sort(late.begin(), late.end());
      CAPTURE(static_cast<int>(type));
      CHECK(late[2] < 8 * early[2]);  // sorting a rung each time: some hundred times
      CHECK(late[2] < 0.05);
    }
  }
}
