// The names that begin with "test" are those of Ray's own cases, python/ray/tune/tests/test_trial_scheduler.py.
#include "tune/schedulers/hyperband.hpp"

#include <cmath>

#include "runtime/errors.hpp"
#include "scheduler_support.hpp"
#include "tune/core/machine.hpp"
#include "tune/simulation.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;

namespace {

using Plan = std::vector<std::pair<std::size_t, double>>;

Plan plan(const BracketPlan& bracket) {
  Plan steps;
  for (std::size_t i = 0; i < bracket.sizes.size(); ++i) steps.emplace_back(bracket.sizes[i], bracket.milestones[i]);
  return steps;
}

/// Five trials for the first bracket, then `count` for the second: its milestones are 27 and 81.
Driven second_bracket(std::size_t count) {
  Driven driven(hyperband());
  driven.launch(5 + count);
  return driven;
}

/// Every trial reports its quality and how far it is.
Simulation run(SchedulerSpec scheduler, std::int64_t samples, std::size_t workers) {
  TuneOptions options{.metric = "loss", .num_samples = samples, .space = {{"x", uniform(0, 1)}}, .scheduler = std::move(scheduler), .seed = 3};
  return simulate(options, {.step = [](SimulatedStep& step) {
                    return SimulatedResult{{{"loss", step.config.get<double>("x") + 1.0 / static_cast<double>(step.iteration)}}};
                  }}, {.workers = workers});
}

std::uint64_t longest(const Simulation& done) {
  std::uint64_t most = 0;
  for (const TrialResult& trial : done.grid.trials()) most = std::max(most, trial.iterations);
  return most;
}

}  // namespace

TEST_SUITE("tune/schedulers") {
  TEST_CASE("testConfigSameEta: 81/3 gives 5 brackets and 1000/10 gives 4") {
    const auto plans = hyperband_plan({.max_t = 81, .reduction_factor = 3});
    REQUIRE(plans.size() == 5);
    CHECK(plan(plans[0]) == Plan{{5, 81}});
    CHECK(plan(plans[1]) == Plan{{8, 27}, {3, 81}});
    CHECK(plan(plans[2]) == Plan{{15, 9}, {5, 27}, {2, 81}});
    CHECK(plan(plans[3]) == Plan{{34, 3}, {12, 9}, {4, 27}, {2, 81}});
    CHECK(plan(plans[4]) == Plan{{81, 1}, {27, 3}, {9, 9}, {3, 27}, {1, 81}});
    const auto ten = hyperband_plan({.max_t = 1000, .reduction_factor = 10});
    REQUIRE(ten.size() == 4);
    CHECK(plan(ten[0]) == Plan{{4, 1000}});
    CHECK(ten[3].sizes.front() == 1000);
    CHECK(ten[3].milestones.front() == 1);
  }

  TEST_CASE("testConfigSameEtaSmall: max_t 1 gives one bracket") {
    CHECK(hyperband_plan({.max_t = 1}).size() == 1);
    CHECK(plan(hyperband_plan({.max_t = 1})[0]) == Plan{{1, 1}});
  }

  TEST_CASE("the paper's and HpBandSter's brackets") {
    const auto paper = hyperband_plan({.max_t = 81, .variant = HyperBandVariant::kPaper});
    CHECK(plan(paper[4]) == Plan{{81, 1}, {27, 3}, {9, 9}, {3, 27}, {1, 81}});
    CHECK(plan(paper[3]) == Plan{{34, 3}, {11, 9}, {3, 27}, {1, 81}});
    CHECK(plan(paper[2]) == Plan{{15, 9}, {5, 27}, {1, 81}});
    const auto hpbandster = hyperband_plan({.max_t = 81, .variant = HyperBandVariant::kHpBandSter});
    CHECK(plan(hpbandster[3]) == Plan{{27, 3}, {9, 9}, {3, 27}, {1, 81}});
    CHECK(plan(hpbandster[1]) == Plan{{6, 27}, {2, 81}});
    CHECK(plan(hpbandster[0]) == Plan{{5, 81}});
  }

  TEST_CASE("every bracket ends at exactly max_t, for any max_t and factor") {
    for (const auto variant : {HyperBandVariant::kRay, HyperBandVariant::kPaper, HyperBandVariant::kHpBandSter})
      for (const double eta : {1.5, 2.0, 2.5, 3.0, 4.0, 10.0})
        for (double max_t = 0.5; max_t < 300; max_t += max_t < 20 ? 0.5 : 17) {
          CAPTURE(eta);
          CAPTURE(max_t);
          for (const BracketPlan& bracket : hyperband_plan({.max_t = max_t, .reduction_factor = eta, .variant = variant})) {
            if (bracket.sizes.empty()) continue;
            CHECK(bracket.milestones.back() == max_t);
            CHECK(std::is_sorted(bracket.sizes.rbegin(), bracket.sizes.rend()));
            CHECK(std::adjacent_find(bracket.milestones.begin(), bracket.milestones.end(), std::greater_equal<>()) == bracket.milestones.end());
          }
        }
  }

  TEST_CASE("whole experiments end at max_t and never stall, for any max_t and factor") {
    for (const auto variant : {HyperBandVariant::kRay, HyperBandVariant::kPaper})
      for (const std::int64_t max_t : {1, 2, 5, 8, 20, 31})
        for (const double eta : {2.0, 2.5, 3.0})
          for (const bool bohb : {false, true}) {
            CAPTURE(max_t);
            CAPTURE(eta);
            const HyperBandOptions options{.max_t = max_t, .reduction_factor = eta, .variant = variant};
            const Simulation done = run(bohb ? hyperband_for_bohb(options) : hyperband(options), 40, 7);
            CHECK(longest(done) == static_cast<std::uint64_t>(max_t));
            for (const TrialResult& trial : done.grid.trials()) CHECK(trial.state == TrialState::kTerminated);
          }
  }

  TEST_CASE("testSmallMaxTStop: at max_t the six that are left end") {
    Driven driven(hyperband({.max_t = 8, .reduction_factor = 2}));
    driven.launch(8);
    for (TrialIndex i = 0; i < 8; ++i) driven.report(i, 4, 10 * (i % 4 + 1));
    CHECK(list(driven.ended) == Trials{4, 5});
    CHECK(list(driven.running) == Trials{0, 1, 2, 3, 7});  // the last of the second bracket goes on at once
    driven.start(6);
    for (const TrialIndex i : {0u, 1u, 2u, 3u, 6u, 7u}) driven.report(i, 8, 10 * (i % 4 + 1));
    CHECK(driven.ended.size() == 8);
  }

  TEST_CASE("testSmallMaxTContinue: with stop_last_trials off the six go on at max_t") {
    Driven driven(hyperband({.max_t = 8, .reduction_factor = 2, .stop_last_trials = false}));
    driven.launch(8);
    for (TrialIndex i = 0; i < 8; ++i) driven.report(i, 4, 10 * (i % 4 + 1));
    driven.start(6);
    for (const TrialIndex i : {0u, 1u, 2u, 3u, 6u, 7u}) CHECK(driven.report(i, 8, 10) == C);
    CHECK(driven.running.size() == 6);
    CHECK_FALSE(driven.scheduler().stops_every_trial());
  }

  TEST_CASE("testTrialErrored: when one fails, the last of the others that comes halves the bracket and goes on") {
    Driven driven = second_bracket(3);
    driven.fail(7);
    CHECK(driven.report(5, 27, 10) == P);
    CHECK(driven.report(6, 27, 10) == C);
    CHECK(list(driven.pending) == Trials{5});
  }

  TEST_CASE("testTrialErrored2: the last of eight fails, and the seven that wait become three") {
    Driven driven = second_bracket(8);
    for (TrialIndex i = 5; i < 12; ++i) CHECK(driven.report(i, 27, i) == P);
    driven.fail(12);
    CHECK(list(driven.pending) == Trials{9, 10, 11});
    CHECK(driven.as<HyperBandScheduler>().live_beside(9) == 3);
  }

  TEST_CASE("testTrialEndedEarly: a trial that ends by itself leaves like one that fails") {
    Driven driven = second_bracket(3);
    driven.complete(7, 1, 12);
    CHECK(driven.report(5, 27, 10) == P);
    CHECK(driven.report(6, 27, 10) == C);
  }

  TEST_CASE("testTrialEndedEarly2: the last of eight ends by itself, and the seven that wait become three") {
    Driven driven = second_bracket(8);
    for (TrialIndex i = 5; i < 12; ++i) CHECK(driven.report(i, 27, i) == P);
    driven.complete(12, 26, 100);
    CHECK(list(driven.pending) == Trials{9, 10, 11});
  }

  TEST_CASE("testAddAfterHalving: a trial halves alone; one that is added later runs to the milestone of then") {
    Driven driven = second_bracket(1);
    CHECK(driven.report(5, 27, 10) == C);
    driven.launch(1);
    CHECK(driven.report(6, 27, 12) == C);
    CHECK(driven.report(6, 27 + 81, 12) == P);
  }

  TEST_CASE("testFilterNoneBracket: a bracket that would begin with nothing is passed over") {
    const auto plans = hyperband_plan({.max_t = 20});
    REQUIRE(plans.size() == 4);
    CHECK(plans[3].sizes.empty());
    CHECK(plan(plans[2]) == Plan{{12, 2}, {4, 6}, {2, 20}});  // Ray's survivors stop short, at 18
    Driven driven(hyperband({.max_t = 20}));
    driven.launch(50);
    CHECK_FALSE(has(driven.scheduler().debug_text(), "(n)=0"));
    CHECK(has(driven.scheduler().debug_text(), "Round #1"));
  }

  TEST_CASE("testTrialNanInf of HyperBand and of BOHB: NaN is worst, and nothing throws") {
    for (const bool bohb : {false, true}) {
      Driven driven(bohb ? hyperband_for_bohb({.max_t = 3}) : hyperband({.max_t = 3}));
      driven.launch(bohb ? 0 : 2);
      const TrialIndex first = bohb ? 0 : 2;
      driven.launch(3);
      driven.report(first, 1, NAN);
      driven.report(first + 1, 1, -INFINITY);
      CHECK(driven.report(first + 2, 1, INFINITY) == C);
      CHECK(driven.ended.contains(first));
      CHECK(driven.report(first + 2, 3, NAN) == S);
    }
    Driven driven(hyperband({.time_attr = "t", .max_t = 3}));
    driven.launch(1);
    CHECK(driven.report(0, NAN, 1) == C);
    CHECK(driven.report(0, -INFINITY, 1) == C);
    CHECK(driven.report(0, INFINITY, NAN) != C);
  }

  TEST_CASE("testCheckTrialInfoUpdate: BOHB's budget is the milestone, and one of three goes on") {
    Driven most(hyperband_for_bohb({.max_t = 3}));
    most.launch(3);
    CHECK(most.report(0, 1, 1) == P);
    CHECK(most.last.rung == 1);
    CHECK(most.report(1, 1, 2) == P);
    CHECK(most.report(2, 1, 0) == S);
    CHECK(most.last.rung == 1);
    CHECK(list(most.pending) == Trials{1});
    Driven least(hyperband_for_bohb({.max_t = 3}), Mode::kMin);
    least.launch(3);
    CHECK(least.report(0, 1, 1) == P);
    CHECK(least.report(1, 1, 2) == P);
    CHECK(least.report(2, 1, 0) == C);
  }

  TEST_CASE("testCheckTrialInfoUpdate through the experiment: the searcher hears of two pauses, of one going on, and of the budget") {
    struct Hearing final : Searcher {
      explicit Hearing(std::vector<std::string>& heard) : lines(heard) {}
      Suggestion suggest(TrialIndex) override { return {Suggestion::Kind::kConfig, {}, {}}; }
      void on_result(TrialIndex trial, const ResultView&, double rung) override { say("result", trial, " in " + number_text(rung, 3)); }
      void on_complete(TrialIndex trial, const ResultView*, double rung) override { say("complete", trial, rung > 0 ? " in " + number_text(rung, 3) : ""); }
      void on_pause(TrialIndex trial) override { say("pause", trial); }
      void on_resume(TrialIndex trial) override { say("resume", trial); }
      std::string save() const override { return {}; }
      void restore(std::string_view) override {}
      void say(const std::string& what, TrialIndex trial, const std::string& more = "") { lines.push_back(what + " " + std::to_string(trial) + more); }
      std::vector<std::string>& lines;
    };
    for (const Mode mode : {Mode::kMax, Mode::kMin}) {
      std::vector<std::string> heard;
      ExperimentMachine machine({.metric = "reward", .mode = mode}, std::make_unique<Hearing>(heard),
                                hyperband_for_bohb({.max_t = 3}).make({.metric = "reward", .mode = mode}));
      std::vector<Decision> decided;
      for (TrialIndex i = 0; i < 3; ++i) machine.step({0, TrialCreated{i, "", {}}});
      for (TrialIndex i = 0; i < 3; ++i) machine.step({0, TrialStarted{i, 0}});
      for (const auto& [trial, reward] : {std::pair{0u, 1}, {1u, 2}, {2u, 0}})
        decided.push_back(machine.step({0, TrialReported{trial, 1, Metrics{{"reward", reward}}, 1, "", 1}}).decision);
      const auto count = [&](const std::string& what) { return std::count_if(heard.begin(), heard.end(), [&](auto& line) { return has(line, what); }); };
      CHECK(decided == std::vector<Decision>{P, P, mode == Mode::kMax ? S : C});
      CHECK(count("pause") == 2);
      CHECK(count("resume") == (mode == Mode::kMax ? 1 : 0));
      CHECK(count("result 0 in 1") == 1);
      CHECK(count("result 1 in 1") == 1);
      CHECK(count(mode == Mode::kMax ? "complete 2 in 1" : "result 2 in 1") == 1);
      CHECK(count("resume 1") == (mode == Mode::kMax ? 1 : 0));
    }
  }

  TEST_CASE("testPauseResumeChooseTrial: a part-filled bracket is halved when nothing runs; who is too far ahead waits") {
    Driven driven(hyperband_for_bohb({.max_t = 10}), Mode::kMin);
    driven.launch(3);
    CHECK(driven.report(0, 5, 1) == P);
    CHECK(driven.report(1, 1, 2) == P);
    CHECK(driven.report(2, 5, 3) == P);
    CHECK_FALSE(driven.next());
    driven.idle();
    CHECK(driven.next() == 1);
    CHECK(list(driven.paused) == Trials{0, 2});
  }

  TEST_CASE("BOHB waits until a bracket is full, and the largest comes first") {
    Driven driven(hyperband_for_bohb({.max_t = 9}));
    driven.launch(8);
    for (TrialIndex i = 0; i < 8; ++i) CHECK(driven.report(i, 1, i) == P);
    driven.launch(1);
    CHECK(driven.report(8, 1, 8) == C);
    CHECK(list(driven.pending) == Trials{6, 7});
    driven.launch(1);
    CHECK(driven.report(9, 1, 0) == C);  // the next bracket begins with 3
  }

  TEST_CASE("a band's bracket that is least complete is served first, and an earlier band before a later one") {
    Driven driven(hyperband());
    for (int i = 0; i < 13; ++i) driven.add();
    CHECK(driven.next() == 0);
    driven.start(0);
    driven.report(0, 10, 1);
    CHECK(driven.next() == 5);  // nothing was done in the second bracket yet
  }

  TEST_CASE("on_complete at the milestone tells the searcher the rung") {
    Driven driven(hyperband_for_bohb({.max_t = 9}));
    driven.launch(2);
    driven.complete(0, 1, 5);
    CHECK(driven.last.rung == 1);
    driven.complete(1, 0.5, 5);
    CHECK(driven.last.rung == 0);
  }

  TEST_CASE("a saved HyperBand goes on with the same decisions") {
    for (const auto& spec : {hyperband({.max_t = 27}), hyperband_for_bohb({.max_t = 27, .variant = HyperBandVariant::kPaper})}) {
      Driven kept(spec), reloaded(spec);
      for (Driven* driven : {&kept, &reloaded}) driven->launch(60);
      double score = 0;
      for (int t = 1; t <= 30; ++t)
        for (TrialIndex i = 0; i < 60; ++i) {
          score = std::fmod(score + 0.618, 1.0);
          if (i == 7) reloaded.reload();
          for (Driven* driven : {&kept, &reloaded})
            if (driven->pending.contains(i)) driven->start(i);
          REQUIRE(kept.running == reloaded.running);
          if (!kept.running.contains(i)) continue;
          REQUIRE(kept.report(i, t, score) == reloaded.report(i, t, score));
          REQUIRE(kept.next() == reloaded.next());
        }
      CHECK(kept.ended == reloaded.ended);
      CHECK_FALSE(kept.ended.empty());
      CHECK_THROWS_AS(kept.scheduler().restore("what is this"), StorageCorruption);
    }
  }

  TEST_CASE("options of HyperBand that make no sense are refused by name") {
    const auto make = [](HyperBandOptions options) { return [=] { hyperband(options).make({"loss", Mode::kMin, 0}); }; };
    CHECK(has(error_of(make({.max_t = 0})), "max_t is 0"));
    CHECK(has(error_of(make({.max_t = INFINITY})), "max_t is inf"));
    CHECK(has(error_of(make({.reduction_factor = 1})), "reduction_factor is 1"));
    CHECK(has(error_of(make({.reduction_factor = 1.01})), "more than 60 brackets"));
    CHECK(has(error_of([] { hyperband().make({}); }), "no metric"));
  }
}
