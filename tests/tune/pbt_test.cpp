// The names that begin with "test" are Ray's: test_trial_scheduler.py and test_trial_scheduler_pbt.py.
#include "tune/schedulers/pbt.hpp"

#include <algorithm>
#include <cmath>

#include "runtime/errors.hpp"
#include "scheduler_support.hpp"
#include "tune/schedulers/pb2.hpp"
#include "tune/schedulers/pbt_replay.hpp"
#include "tune/schedulers/resource_changing.hpp"
#include "tune/searchers.hpp"
#include "tune/simulation.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;

namespace {

PbtOptions usual(double resample = 0, bool synch = false) {
  return {.time_attr = "training_iteration",
          .perturbation_interval = 10,
          .hyperparam_mutations = {{"float_factor", sample_from([] { return 100.0; })},
                                   {"int_factor", sample_from([] { return 10; })},
                                   {"id_factor", choice({100})}},
          .quantile_fraction = 0.25,
          .resample_probability = resample,
          .synch = synch};
}

Config config_of(TrialIndex trial) {
  Config config;
  config.set("float_factor", 2.0);
  config.set("const_factor", 3);
  config.set("int_factor", 10);
  config.set("id_factor", static_cast<int>(trial));
  return config;
}

/// Five trials that report (10, 50 · index) and go on, or pause for each other.
Driven five(PbtOptions options = usual()) {
  const bool synch = options.synch;
  Driven driven(pbt(std::move(options)));
  for (TrialIndex i = 0; i < 5; ++i) driven.start(driven.add(config_of(i)));
  for (TrialIndex i = 0; !synch && i < 5; ++i) REQUIRE(driven.report(i, 10, 50 * i) == C);
  return driven;
}

std::set<double> values_of(const Config& from, const Domain& mutation, double resample) {
  PbtOptions options;
  options.hyperparam_mutations.add("v", mutation);
  options.resample_probability = resample;
  Random random(3);
  std::set<double> seen;
  for (int i = 0; i < 300; ++i) seen.insert(explore(from, options, random).get<double>("v"));
  return seen;
}

Config just(Value value) {
  Config config;
  config.set("v", std::move(value));
  return config;
}

/// Each iteration adds one to what the checkpoint holds and reports that + a.
Simulation synch_pass(bool synch, std::size_t workers, std::uint64_t iterations, std::int64_t interval = 1, std::vector<Value> as = {10, 20, 40}) {
  TuneOptions options{.metric = "score", .mode = Mode::kMax, .space = {{"a", grid_search(as)}}, .max_iterations = iterations, .seed = 4};
  const Value best = *std::max_element(as.begin(), as.end(), [](const Value& a, const Value& b) { return *a.as<std::int64_t>() < *b.as<std::int64_t>(); });
  options.scheduler = pbt({.time_attr = "training_iteration", .perturbation_interval = interval,
                           .hyperparam_mutations = {{"a", choice(as)}}, .resample_probability = 0,
                           .custom_explore = [best](Config config) { config.set("a", best); return config; }, .synch = synch});
  return simulate(options, {.step = [](SimulatedStep& step) {
                    step.state.resize(1);
                    ++step.state[0];
                    const double a = step.config.get<double>("a");
                    return SimulatedResult{{{"score", step.state[0] + a}}, a / 10};
                  }}, {.workers = workers});
}

}  // namespace

TEST_SUITE("tune/schedulers") {
  TEST_CASE("testCheckpointsMostPromisingTrials: upper trials go on, and nothing is changed") {
    Driven driven = five();
    CHECK(driven.report(3, 20, 200) == C);
    CHECK(driven.report(4, 30, 0) == P);  // now the worst
    CHECK(driven.exploits.contains(4));
  }

  TEST_CASE("testPerturbsLowPerformingTrials: from the best two, and not before the interval is over") {
    Driven driven = five();
    CHECK(driven.report(0, 15, -100) == C);
    CHECK(driven.exploits.empty());
    CHECK(driven.report(0, 20, -100) == P);
    REQUIRE(driven.exploits.contains(0));
    CHECK(has(driven.exploits.at(0).tag, "@perturbed[float_factor="));
    CHECK((driven.exploits.at(0).donor == 3 || driven.exploits.at(0).donor == 4));
    CHECK(driven.as<PbtScheduler>().num_perturbations() == 1);
    CHECK(driven.report(2, 20, 40) == P);
    CHECK(driven.as<PbtScheduler>().num_perturbations() == 2);
    CHECK(has(driven.exploits.at(2).tag, "@perturbed"));
  }

  TEST_CASE("testPerturbsLowPerformingTrialsSynch: nobody is changed until all are in") {
    Driven driven = five(usual(0, true));
    const double scores[] = {0, -10, -20, -30, -100};
    for (TrialIndex i = 0; i < 4; ++i) {
      CHECK(driven.report(i, 10, scores[i]) == P);
      CHECK(driven.exploits.empty());
    }
    CHECK(driven.report(4, 10, scores[4]) == P);
    CHECK_FALSE(driven.next());
    driven.idle();  // all have left their workers
    REQUIRE(driven.exploits.size() == 2);
    for (const TrialIndex i : {3u, 4u}) CHECK(driven.exploits.at(i).donor <= 1);
    CHECK(driven.next() == 0);  // all may run to the next interval's end
  }

  TEST_CASE("testPerturbWithoutResample: factors multiply, a choice keeps or moves") {
    Driven driven = five();
    driven.report(0, 20, -100);
    const Config& config = driven.configs.at(0);
    CHECK((config.get<double>("float_factor") == 2.4 || config.get<double>("float_factor") == 1.6));
    CHECK((config.get<int>("int_factor") == 12 || config.get<int>("int_factor") == 8));
    CHECK(config.get<int>("id_factor") == 100);  // 3 or 4 is not in the list
    CHECK(config.get<int>("const_factor") == 3);
  }

  TEST_CASE("testPerturbWithResample: everything is drawn anew") {
    Driven driven = five(usual(1.0));
    driven.report(0, 20, -100);
    const Config& config = driven.configs.at(0);
    CHECK(config.get<double>("float_factor") == 100.0);
    CHECK(config.get<int>("int_factor") == 10);
    CHECK(config.get<int>("const_factor") == 3);
  }

  TEST_CASE("testPerturbationValues: neighbours in a list, factors on numbers, anything where it is drawn anew") {
    using Set = std::set<double>;
    const Domain list = choice({3, 4, 8, 10});
    CHECK(values_of(just(4), list, 0) == Set{3, 8});
    CHECK(values_of(just(3), list, 0) == Set{3, 4});
    CHECK(values_of(just(10), list, 0) == Set{8, 10});
    CHECK(values_of(just(7), list, 0) == Set{3, 4, 8, 10});
    CHECK(values_of(just(4), list, 1) == Set{3, 4, 8, 10});
    const Domain function = sample_from([](Random& random) { return random.randint(3, 6); });
    CHECK(values_of(just(100), function, 0) == Set{80, 120});
    CHECK(values_of(just(4), function, 1) == Set{3, 4, 5});
    CHECK(explore(just(100), {.hyperparam_mutations = {{"v", uniform(0, 1)}}, .resample_probability = 0}, *std::make_unique<Random>(1)).find("v")->as<std::int64_t>());
    const SchedulerContext context{"reward", Mode::kMax, 0};
    CHECK(has(error_of([&] { pbt({.hyperparam_mutations = {{"v", "a string"}}}).make(context); }), "mutation of 'v'"));
    CHECK(has(error_of([&] { values_of(just("text"), uniform(0, 1), 0); }), "cannot be multiplied"));
    CHECK(has(error_of([&] { values_of(Config(), list, 0); }), "no parameter 'v'"));
    int calls = 0;
    PbtOptions custom{.hyperparam_mutations = {{"v", list}}, .custom_explore = [&](Config config) { return ++calls, config; }};
    Random random(1);
    explore(just(3), custom, random);
    CHECK(calls == 1);
  }

  TEST_CASE("testDictPerturbation: tables are walked through") {
    Config config;
    config.set("a/lr", 100);
    config.set("a/b/depth", 4);
    PbtOptions options{.hyperparam_mutations = {{"a", Space{{"lr", uniform(0, 1)}, {"b", Space{{"depth", choice({3, 4, 8})}}}}}}, .resample_probability = 0};
    Random random(5);
    const Config near = explore(config, options, random);
    CHECK((near.get<int>("a/lr") == 80 || near.get<int>("a/lr") == 120));
    CHECK((near.get<int>("a/b/depth") == 3 || near.get<int>("a/b/depth") == 8));
  }

  TEST_CASE("testPerturbationResetsLastPerturbTime: a copy takes its donor's time too") {
    Driven driven = five();
    driven.report(0, 10000, 1005), driven.report(1, 10000, 1004), driven.report(2, 600, 1003);
    auto& scheduler = driven.as<PbtScheduler>();
    CHECK(scheduler.num_perturbations() == 0);
    driven.report(3, 500, 1002);
    CHECK(scheduler.num_perturbations() == 1);
    driven.start(3);
    driven.report(3, 600, 100);
    CHECK(scheduler.num_perturbations() == 1);
    driven.report(3, 11000, 100);
    CHECK(scheduler.num_perturbations() == 2);
  }

  TEST_CASE("testPostprocessingHook: custom_explore has the last word") {
    PbtOptions options = usual();
    options.custom_explore = [](Config config) { return config.set("float_factor", 42.0), config; };
    Driven driven = five(options);
    driven.report(0, 20, -100);
    CHECK(driven.configs.at(0).get<double>("float_factor") == 42.0);
  }

  TEST_CASE("testFastPerturbRequest and burn-in: nothing is changed before burn_in_period") {
    PbtOptions options = usual();
    options.burn_in_period = 50;
    Driven driven = five(options);
    CHECK(driven.report(0, 40, -100) == C);
    CHECK(driven.report(1, 60, 100) == C);
    CHECK(driven.report(0, 60, -100) == P);
  }

  TEST_CASE("testYieldsTimeToOtherTrials: a trial makes way for one that waits, and the least trained goes first") {
    Driven driven = five();
    CHECK(driven.report(4, 20, 1000) == C);
    driven.add(config_of(5));
    CHECK(driven.report(4, 30, 1000) == P);
    CHECK(driven.next() == 5);
    driven.start(5);
    CHECK(driven.next() == 4);
  }

  TEST_CASE("a copy lines up behind those that have trained as long: copies that are always bad hold up nobody for ever") {
    Driven driven = five();
    driven.add(config_of(5));  // it waits, so the others make way
    for (TrialIndex i = 1; i < 5; ++i) REQUIRE(driven.report(i, 20, 50 * i) == P);
    REQUIRE(driven.report(0, 20, -100) == P);
    REQUIRE(driven.exploits.contains(0));  // it stands where its donor does, and so do all others but trial 5
    driven.reload();
    for (const TrialIndex expected : {5u, 1u, 2u, 3u, 4u, 0u}) {
      CHECK(driven.next() == expected);
      driven.start(expected);
    }
  }

  TEST_CASE("a donor without a checkpoint is not copied") {
    Driven driven(pbt(usual()));
    for (TrialIndex i = 0; i < 5; ++i) driven.start(driven.add(config_of(i)));
    for (TrialIndex i = 0; i < 5; ++i) driven.report(i, 10, 50 * i, false);
    CHECK(driven.report(0, 20, -100, false) == C);
    CHECK(driven.exploits.empty());
  }

  TEST_CASE("one of the best saves itself at the interval's end, by leaving, where it can and its checkpoints come at other times") {
    for (const bool saves_itself : {true, false}) {
      CAPTURE(saves_itself);
      SchedulerContext context;
      context.saves_itself = saves_itself;
      Driven driven(pbt(usual()), Mode::kMax, context);
      for (TrialIndex i = 0; i < 4; ++i) driven.start(driven.add(config_of(i)));
      for (TrialIndex i = 0; i < 3; ++i)  // 1 and 2 are the best so far
        if (driven.report(i, 10, 10 * i, false) == P) driven.start(i);
      CHECK(driven.report(3, 10, 1000, false) == (saves_itself ? P : C));
      if (saves_itself) {
        driven.scheduler().on_checkpoint(3);
        driven.start(3);
        CHECK(driven.report(3, 20, 2000, true) == C);  // this one came with a checkpoint
      }
      CHECK(driven.report(0, 20, 0, false) == (saves_itself ? P : C));  // a copy of the best, or there was none to copy
      CHECK(has(driven.scheduler().debug_text(), "left out") == !saves_itself);
    }
  }

  TEST_CASE("of the best those that have a checkpoint are copied, however often the choice is made anew") {
    Driven driven(pbt(usual()));
    for (TrialIndex i = 0; i < 8; ++i) driven.start(driven.add(config_of(i)));
    for (TrialIndex i = 0; i < 8; ++i) driven.report(i, 10, 50 * i, i == 6);  // 6 and 7 are the best quarter
    for (TrialIndex i : {0u, 1u}) {
      CHECK(driven.report(i, 20, -100, false) == P);
      CHECK(driven.exploits.at(i).donor == 6);
    }
  }

  TEST_CASE("a trial that paused and saved nothing is no donor") {
    Driven driven(pbt(usual()));
    for (TrialIndex i = 0; i < 5; ++i) driven.start(driven.add(config_of(i)));
    driven.add(config_of(5));  // it waits, so the others make way
    for (TrialIndex i = 1; i < 5; ++i) CHECK(driven.report(i, 10, 50 * i, false) == P);
    CHECK(driven.report(0, 10, -100, false) == P);
    CHECK(driven.exploits.empty());
    driven.scheduler().on_checkpoint(4);  // saved while it left
    driven.start(0), driven.start(1);
    CHECK(driven.report(0, 20, -200, false) == P);
    CHECK(driven.exploits.at(0).donor == 4);
  }

  TEST_CASE("testTrialNanInf of PBT: NaN scores are worst, and nothing throws") {
    for (const bool synch : {false, true}) {
      Driven driven = five(usual(0.5, synch));
      const double scores[] = {NAN, INFINITY, -INFINITY, NAN, 3};
      for (TrialIndex i = 0; i < 5; ++i) driven.report(i, synch ? 10 : 20, scores[i]);
      if (synch) driven.idle();
      REQUIRE(driven.exploits.contains(0));
      const TrialIndex donor = driven.exploits.at(0).donor;
      CHECK((synch ? donor == 1 || donor == 4 : donor >= 3));
    }
  }

  TEST_CASE("what the space does not have is drawn from the mutations") {
    Driven driven(pbt(usual()));
    const TrialIndex trial = driven.add();
    CHECK(driven.configs.at(trial).get<double>("float_factor") == 100.0);
    CHECK(driven.configs.at(trial).get<int>("id_factor") == 100);
  }

  TEST_CASE("a mutation with a condition is refused, also inside a table and in pb2") {
    PbtOptions options = usual();
    const Space conditional{{"optimizer", choice({"sgd", "adam"})}, {"momentum", uniform(0, 1), when("optimizer", "sgd")}};
    for (const Space& space : {conditional, Space{{"block", conditional}}}) {
      options.hyperparam_mutations = space;
      CHECK_THROWS_WITH_AS(pbt(options).make({.metric = "loss", .seed = 1}), doctest::Contains("has a condition"), InvalidArgument);
    }
    Pb2Options bounds;
    bounds.hyperparam_bounds = {{"layers", randint(1, 5)}, {"dropout", uniform(0, 0.5), when_at_least("layers", 2)}};
    CHECK_THROWS_WITH_AS(pb2(bounds).make({.metric = "loss", .seed = 1}), doctest::Contains("condition"), InvalidArgument);
  }

  TEST_CASE("testSynchPass: with synch all end at the best's score, also with fewer workers than trials") {
    for (const std::size_t workers : {1u, 2u, 3u}) {
      const Simulation done = synch_pass(true, workers, 3);
      for (const TrialResult& trial : done.grid.trials()) CHECK(trial.metrics.get("score") == 43);
    }
  }

  TEST_CASE("testSynchPassLast: so do they when the best is the first trial and the last to be done") {
    const Simulation done = synch_pass(true, 3, 3, 1, {30, 20, 10});
    for (const TrialResult& trial : done.grid.trials()) CHECK(trial.metrics.get("score") == 33);
  }

  TEST_CASE("with synch what is changed at the very end shows in the configuration alone") {
    const Simulation done = synch_pass(true, 3, 3, 3);
    std::multiset<double> scores;
    for (const TrialResult& trial : done.grid.trials()) scores.insert(*trial.metrics.get("score"));
    CHECK(scores == std::multiset<double>{13, 23, 43});
  }

  TEST_CASE("testAsyncFail: without synch not all end at the best's score") {
    const Simulation done = synch_pass(false, 3, 3);
    std::set<double> scores;
    for (const TrialResult& trial : done.grid.trials()) scores.insert(*trial.metrics.get("score"));
    CHECK(scores.size() > 1);
  }

  TEST_CASE("in a synchronous population one that fails holds up nobody") {
    Driven driven = five(usual(0, true));
    for (TrialIndex i = 0; i < 4; ++i) driven.report(i, 10, i);
    CHECK_FALSE(driven.next());
    driven.fail(4);
    driven.idle();
    CHECK(driven.exploits.size() == 1);
    CHECK(driven.next() == 1);  // 0 is a copy now, and lines up behind those of the same age
  }

  TEST_CASE("PBT finds a schedule: a rate that is good early and bad late") {
    const auto best = [](SchedulerSpec scheduler) {
      TuneOptions options{.metric = "loss", .num_samples = 8, .space = {{"lr", loguniform(1e-3, 1)}}, .scheduler = std::move(scheduler), .max_iterations = 60, .seed = 9};
      return *simulate(options, {.step = [](SimulatedStep& step) {
                step.state.resize(1, 1.0);
                const double lr = step.config.get<double>("lr"), x = step.state[0];
                step.state[0] = x * (1 - std::min(lr, 1.0)) + 0.05 * lr;  // fast with a large rate, noisy at the end
                return SimulatedResult{{{"loss", step.state[0]}}};
              }}, {.workers = 8}).grid.best().metrics.get("loss");
    };
    const double fixed = best(fifo());
    const double scheduled = best(pbt({.time_attr = "training_iteration", .perturbation_interval = 5, .hyperparam_mutations = {{"lr", loguniform(1e-3, 1)}}}));
    CHECK(scheduled <= fixed);
  }

  TEST_CASE("a saved PBT goes on with the same decisions") {
    for (const bool synch : {false, true}) {
      PbtOptions options = usual(0.3, synch);
      Driven kept = five(options), reloaded = five(options);
      double score = 0;
      for (int t = 2; t < 30; ++t) {
        if (kept.running.empty()) kept.idle(), reloaded.idle();
        while (const auto chosen = kept.next()) {
          REQUIRE(reloaded.next() == chosen);
          kept.start(*chosen), reloaded.start(*chosen);
        }
        for (TrialIndex i = 0; i < 5; ++i) {
          score = std::fmod(score + 0.618, 1.0);
          if (i == 2) reloaded.reload();
          REQUIRE(kept.running == reloaded.running);
          if (!kept.running.contains(i)) continue;
          REQUIRE(kept.report(i, 10 * t, score) == reloaded.report(i, 10 * t, score));
          REQUIRE(kept.configs == reloaded.configs);
        }
      }
      CHECK(kept.as<PbtScheduler>().num_perturbations() > 5);
      CHECK_THROWS_AS(kept.scheduler().restore("9 9 9"), StorageCorruption);
    }
  }

  TEST_CASE("options of PBT that make no sense are refused") {
    const auto make = [](PbtOptions options) { return [=] { pbt(options).make({"loss", Mode::kMin, 0}); }; };
    PbtOptions options = usual();
    options.quantile_fraction = 0.6;
    CHECK(has(error_of(make(options)), "quantile_fraction is 0.6"));
    options = usual();
    options.perturbation_interval = 0;
    CHECK(has(error_of(make(options)), "perturbation_interval is 0"));
    CHECK(has(error_of(make({})), "would try nothing new"));
  }

  TEST_CASE("a mutation that would multiply what is no number in the search space is refused, not found out at the first exploit") {
    const Space space{{"opt", choice({"sgd", "adam"})}, {"on", ordinal({false, true})}, {"width", choice({16, 32.5})}, {"k", 3},
                      {"net", Space{{"act", choice({"relu", "tanh"})}, {"lr", loguniform(1e-4, 1)}}}, {"f", sample_from([] { return "text"; })}};
    const auto refused = [&](Space mutations, double resample = 0.25) {
      return error_of([&] {
        pbt({.hyperparam_mutations = std::move(mutations), .resample_probability = resample}).make({.metric = "loss", .space = space});
      });
    };
    CHECK(has(refused({{"opt", uniform(0, 1)}}), "the mutation of 'opt' is uniform(0, 1), but the search space has choice"));
    CHECK(has(refused({{"opt", sample_from([] { return 1; })}}), "'opt'"));
    CHECK(has(refused({{"on", randint(0, 2)}}), "'on'"));
    CHECK(has(refused({{"net", uniform(0, 1)}}), "'net'"));
    CHECK(has(refused({{"net", Space{{"act", randn()}}}}), "'net/act'"));
    const Space numbers{{"net", Space{{"lr", uniform(0, 1)}, {"new", uniform(0, 1)}}}, {"width", uniform(0, 1)}, {"k", randint(0, 9)}, {"f", uniform(0, 1)}};
    CHECK(refused(numbers).empty());
    CHECK(refused({{"opt", choice({"sgd", "adam"})}, {"on", choice({true, false})}}).empty());
    CHECK(refused({{"opt", sample_from([] { return "sgd"; })}}, 1).empty());  // always drawn anew
    CHECK(has(error_of([&] { pb2({.hyperparam_bounds = {{"opt", uniform(0, 1)}}}).make({.metric = "loss", .space = space}); }), "'opt'"));
  }

  TEST_CASE("a searcher that learns is refused beside PBT: it would take a copy's results for its own suggestion's") {
    const SimulatedTrainable trainable{.iterations = 4, .step = [](SimulatedStep&) { return SimulatedResult{{{"loss", 1}}, 1}; }};
    const auto refused = [&](SchedulerSpec scheduler, SearcherSpec searcher) {
      return error_of([&] {
        (void)simulate({.metric = "loss", .num_samples = 4, .space = {{"lr", uniform(0, 1)}}, .searcher = std::move(searcher),
                        .scheduler = std::move(scheduler), .seed = 1}, trainable);
      });
    };
    const Space lr{{"lr", uniform(0, 1)}};
    const SchedulerSpec population = pbt({.hyperparam_mutations = lr});
    CHECK(has(refused(population, tpe()), "the searcher 'tpe'"));
    CHECK(has(refused(pb2({.hyperparam_bounds = lr}), bohb_search()), "PB2"));
    CHECK(has(refused(resource_changing({.scheduler = population}), tpe()), "random_search"));
    for (const SearcherSpec& searcher : {gp(), cmaes(), evolution(), nsga2(), dehb(), limit_concurrency(tpe(), 2), repeat(tpe(), 2)})
      CHECK(has(refused(population, searcher), "would take their results"));
    for (const SearcherSpec& searcher : {random_search(), random_search({.points_to_evaluate = {{{"lr", 0.5}}}}), sobol(), limit_concurrency(sobol(), 2)})
      CHECK(refused(population, searcher).empty());
    CHECK(refused(asha(), tpe()).empty());
    CHECK(pbt_replay("policy.txt").changes_configs);
  }

  TEST_CASE("an integer near the largest stays one when it is multiplied") {
    Random random(1);
    const PbtOptions options{.hyperparam_mutations = {{"v", randint(0, INT64_MAX)}}, .resample_probability = 0, .perturbation_factors = {1.2}};
    Config config;
    config.set("v", INT64_MAX - 5);
    CHECK(explore(config, options, random).get<std::int64_t>("v") == INT64_MAX);
  }
}
