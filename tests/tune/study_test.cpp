#include "tune/study.hpp"

#include <doctest/doctest.h>

#include <cmath>

#include "runtime/errors.hpp"
#include "search_support.hpp"
#include "support.hpp"
#include "tune/core/value_json.hpp"
#include "tune/searchers.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;

TEST_SUITE("tune/study") {
  TEST_CASE("ask and tell find the minimum without a runtime") {
    Study study({.space = square(), .seed = 1});
    for (int i = 0; i < 100; ++i) {
      auto trial = study.ask();
      study.tell(trial, {{"loss", bowl(trial.config)}});
    }
    CHECK(study.trials().size() == 100);
    CHECK(*study.best().metrics.get("loss") < 0.5);
    CHECK(bowl(study.best().config) == *study.best().metrics.get("loss"));
  }

  TEST_CASE("the best is the largest when the metric is maximised; failed, pruned and infinite ones never are") {
    Study study({.space = square(), .metric = "acc", .mode = Mode::kMax, .seed = 1});
    CHECK(has(error_of([&] { (void)study.best(); }), "none of the 0 trials"));
    for (const double value : {0.5, 0.75, double(INFINITY), double(NAN)}) study.tell(study.ask(), {{"acc", value}});
    study.tell_failed(study.ask());
    study.tell_pruned(study.ask(), 3, {{"acc", 0.99}});
    CHECK(study.best().number == 1);
    CHECK(study.trials()[5].state == StudyTrial::State::kPruned);
    CHECK(study.trials()[5].step == 3);
  }

  TEST_CASE("SaveRestore of a study: a saved study goes on with the same suggestions, trials that run included") {
    const StudyOptions options{.space = {{"x", uniform(-10, 10)}, {"y", uniform(-10, 10)}, {"n", 3}}, .seed = 4};
    Study study(options);
    for (int i = 0; i < 30; ++i) {
      auto trial = study.ask();
      study.tell(trial, {{"loss", i == 7 ? NAN : bowl(trial.config)}});
    }
    const StudyTrial running = study.ask();
    study.tell_pruned(study.ask(), 2, {{"loss", 1.0}});
    StudyOptions other_seed = options;
    other_seed.seed = 99;
    Study again(other_seed);
    again.restore(study.save());
    CHECK(again.save() == study.save());
    REQUIRE(again.trials().size() == 32);
    CHECK(again.trials()[30].config == running.config);
    CHECK(again.best().number == study.best().number);
    again.tell(running, {{"loss", 0.25}}), study.tell(running, {{"loss", 0.25}});
    for (int i = 0; i < 10; ++i) CHECK(again.ask().config == study.ask().config);
  }

  TEST_CASE("texts that are no UTF-8 survive a save, exactly; a table that only looks like one of them stays a table") {
    // Behaviour: save threw.
    const StudyOptions options{.space = {{"name", choice({"caf\xe9", "\xff"})}, {"x", uniform(-10, 10)}}, .searcher = random_search(), .seed = 4};
    Study study(options), again(options);
    for (int i = 0; i < 4; ++i) study.tell(study.ask(), {{"loss", i}, {"lo\xfess", i}});
    again.restore(study.save());
    CHECK(again.save() == study.save());
    for (std::size_t i = 0; i < 4; ++i) CHECK(again.trials()[i].config == study.trials()[i].config);
    CHECK(json_value(value_json("caf\xe9")) == Value("caf\xe9"));
    const Value table = Value::Dict{{"na\xffme", 1}, {"b", Value::List{"x"}}};
    CHECK(json_value(parse_json(value_json(table).dump())) == table);
    for (const char* text : {R"({"$bytes":"6162"})", R"({"$bytes":"f"})", R"({"$bytes":"FF"})", R"({"$bytes":7})", R"({"$table":[["a",1]]})", R"({"$table":[1]})"}) {
      CAPTURE(text);
      const Value value = json_value(parse_json(text));
      CHECK(value.as<Value::Dict>());
      CHECK(value_json(value).dump() == text);
    }
  }

  TEST_CASE("what cannot be restored leaves the study as it was") {
    Study study({.space = square(), .seed = 1});
    (void)study.ask();
    const std::string before = study.save();
    Study other({.space = square(), .metric = "time", .seed = 1});
    for (const std::string& text : {std::string("{"), std::string("{}"), other.save(), before.substr(0, before.size() / 2)})
      CHECK_THROWS_AS(study.restore(text), InvalidArgument);
    CHECK(study.save() == before);
    CHECK(has(error_of([&] { study.restore(other.save()); }), "other options"));
  }

  TEST_CASE("telling what is wrong is refused with what is right") {
    Study study({.space = square(), .seed = 1});
    const StudyTrial trial = study.ask();
    CHECK(has(error_of([&] { study.tell(trial, {{"los", 1.0}}); }), "without the metric 'loss'. Told were: los"));
    CHECK_THROWS_AS(study.tell({.number = 5}, {{"loss", 1.0}}), NotFound);
    study.tell(trial, {{"loss", 1.0}});
    CHECK(has(error_of([&] { study.tell(trial, {{"loss", 1.0}}); }), "told already"));
    CHECK_THROWS_AS(Study({.space = square(), .metric = ""}), InvalidArgument);
    CHECK_THROWS_AS(Study({.space = {{"x", uniform(1, 0)}}}), InvalidArgument);
  }

  TEST_CASE("what is enqueued is asked for first, what is added is learned from, and both outlive a save") {
    for (const SearcherSpec& spec : {tpe({.common = {.startup_trials = 3}}), cmaes(), gp({.common = {.startup_trials = 3}}), nsga2({.population = 4}),
                                     evolution({.population = 3, .sample = 2}), random_search(SearchOptions{}), limit_concurrency(tpe(), 4)}) {
      CAPTURE(spec.description);
      const StudyOptions options{.space = square(), .searcher = spec, .seed = 3};
      Study study(options);
      study.tell(study.ask(), {{"loss", 9}});
      study.enqueue({{"x", 3.0}, {"y", -1.0}});
      study.enqueue({{"x", 2}});
      CHECK(study.add({{"x", 1.0}, {"y", 1.0}}, {{"loss", 8}}).number == 1);
      Study again(options);
      again.restore(study.save());
      for (Study* each : {&study, &again}) {
        const StudyTrial first = each->ask(), second = each->ask();
        CHECK(first.number == 2);
        CHECK(bowl(first.config) == 0);
        CHECK(second.config.get<double>("x") == 2.0);
        CHECK(second.config.contains("y"));
        each->tell(first, {{"loss", 0}}), each->tell(second, {{"loss", 1}});
        CHECK(each->best().number == 2);
      }
      for (int i = 0; i < 8; ++i) {
        const StudyTrial one = study.ask(), other = again.ask();
        CHECK(one.config == other.config);
        study.tell(one, {{"loss", bowl(one.config)}}), again.tell(other, {{"loss", bowl(other.config)}});
      }
    }
  }

  TEST_CASE("what was added makes a search an informed one") {
    Study study({.space = square(), .searcher = tpe({.common = {.startup_trials = 20}}), .seed = 5});
    for (int i = 0; i < 40; ++i) {
      const double x = 3 + 0.1 * (i % 7 - 3), y = -1 + 0.1 * (i % 5 - 2);
      study.add({{"x", i % 2 ? x : -x}, {"y", i % 2 ? y : 9.0}}, {{"loss", i % 2 ? 0.1 : 100}});
    }
    int near = 0;
    for (int i = 0; i < 10; ++i) near += bowl(study.ask().config) < 20;
    CHECK(near >= 5);  // of random ones 16 %
  }

  TEST_CASE("what cannot be enqueued or added is refused, and the study stays as it was") {
    Study study({.space = {{"x", uniform(0, 1)}, {"n", randint(0, 3)}, forbid({{"n", 2}})}, .seed = 3});
    const std::string before = study.save();
    CHECK(has(error_of([&] { study.enqueue({{"z", 1}}); }), "'z'"));
    CHECK(has(error_of([&] { study.enqueue({{"x", 2.0}}); }), "not of uniform(0, 1)"));
    CHECK(has(error_of([&] { study.enqueue({{"n", 2}}); }), "forbidden by"));
    CHECK(has(error_of([&] { study.add({{"x", 0.5}}, {{"loss", 1}}); }), "lacks the parameter 'n'"));
    CHECK(has(error_of([&] { study.add({{"x", 0.5}, {"n", 1}}, {{"los", 1}}); }), "without the metric 'loss'"));
    CHECK(study.save() == before);
    Study grid({.space = {{"x", uniform(0, 1)}}, .searcher = random_search(), .seed = 3});
    CHECK(has(error_of([&] { grid.enqueue({{"x", 0.5}}); }), "takes no configurations"));
    Study limited({.space = square(), .searcher = limit_concurrency(tpe(), 1), .seed = 3});
    const StudyTrial runs = limited.ask();
    limited.enqueue({{"x", 1.0}});
    CHECK_FALSE(limited.try_ask());
    CHECK_THROWS_AS(limited.add({{"x", 1.0}, {"y", 1.0}}, {{"loss", 1}}), ResourceExhausted);
    limited.tell_failed(runs);
    CHECK(limited.ask().config.get<double>("x") == 1.0);
  }

  TEST_CASE("asking beyond a limit says that results are due") {
    Study study({.space = square(), .searcher = limit_concurrency(tpe(), 2), .seed = 1});
    const StudyTrial first = study.ask();
    (void)study.ask();
    CHECK_FALSE(study.try_ask());
    CHECK(has(error_of([&] { (void)study.ask(); }), "Tell that of trial 0"));
    study.tell_failed(first);
    CHECK(study.try_ask());
  }

  TEST_CASE("of several objectives there is a front of trials that none beats in all") {
    Study study({.space = {{"x", uniform(0, 1)}},
                 .objectives = {{"cost", Mode::kMin}, {"gain", Mode::kMax}},
                 .searcher = random_search(),
                 .seed = 1});
    const std::pair<double, double> told[] = {{1, 1}, {2, 3}, {2, 2}, {NAN, 9}, {3, 3}, {0.5, 0.5}};
    for (const auto& [cost, gain] : told) study.tell(study.ask(), {{"cost", cost}, {"gain", gain}});
    study.tell_failed(study.ask());
    CHECK(study.pareto_front() == std::vector<TrialIndex>{0, 1, 5});
    CHECK(study.best().number == 5);
    CHECK(has(error_of([&] { study.tell(study.ask(), {{"cost", 1}}); }), "without the metric 'gain'"));
    CHECK_THROWS_AS(Study({.space = square(), .objectives = {{"a", Mode::kMin}, {"b", Mode::kMin}}}), InvalidArgument);  // TPE
    Study nsga({.space = {{"x", uniform(-1, 2)}, {"y", uniform(-1, 1)}},
                .objectives = {{"x", Mode::kMin}, {"y", Mode::kMin}},
                .searcher = nsga2(),
                .seed = 1});
    for (int i = 0; i < 100; ++i) {
      const StudyTrial trial = nsga.ask();
      const double x = trial.config.get<double>("x"), y = trial.config.get<double>("y");
      nsga.tell(trial, {{"x", x * x + y * y}, {"y", (x - 1) * (x - 1) + y * y}});
    }
    CHECK(nsga.pareto_front().size() > 3);
  }

  TEST_CASE("a random study goes round its grid") {
    Study study({.space = {{"g", grid_search({1, 2, 3})}}, .searcher = random_search(), .seed = 1});
    for (int i = 0; i < 7; ++i) CHECK(study.ask().config.get<int>("g") == i % 3 + 1);
  }

  TEST_CASE("a saved study that was damaged is refused, with every searcher, and never ends the program") {
    // A story: a loss that had lost its fraction, or a trial that was cut away, ended the program in the next ask.
    for (const SearcherSpec& spec : {tpe({.common = {.startup_trials = 2}}), repeat(tpe({.common = {.startup_trials = 2}}), 2),
                                     limit_concurrency(evolution({.population = 3, .sample = 2}), 8, {.batch = true}), nsga2({.population = 4}), random_search()}) {
      CAPTURE(spec.description);
      const StudyOptions options{.space = {{"x", uniform(0, 1)}}, .searcher = spec, .seed = 4};
      Study study(options);
      for (int i = 0; i < 7; ++i) {
        const StudyTrial trial = study.ask();
        if (i % 3 != 2) study.tell(trial, {{"loss", 0.5}});
      }
      const std::string saved = study.save();
      Study(options).restore(saved);
      const std::size_t last = saved.rfind(",[{\"x\""), end = saved.rfind("]}");
      REQUIRE((last != std::string::npos && end > last));
      const std::string cut = saved.substr(0, last) + saved.substr(end);
      Study other(options);
      if (spec.description == "random")
        other.restore(cut);  // which keeps nothing of trials
      else
        CHECK(has(error_of([&] { other.restore(cut); }), "cannot be restored"));
      std::size_t refused = 0;
      for (std::size_t at = 0; at < saved.size(); at += 7) {  // every such character becomes another
        for (const char other_one : {'9', '[', 'z'}) {
          std::string damaged = saved;
          damaged[at] = other_one;
          Study fresh(options);
          try {
            fresh.restore(damaged);
            while (fresh.trials().size() < 12) {
              const auto trial = fresh.try_ask();
              if (!trial) break;
              fresh.tell(*trial, {{"loss", 0.25}});
            }
          } catch (const InvalidArgument&) {
            ++refused;
          }
        }
      }
      CHECK(refused > 0);
    }
    Study study({.space = {{"x", uniform(0, 1)}}, .searcher = random_search(), .seed = 4});
    study.tell(study.ask(), {{"loss", 0.5}});
    std::string renamed = study.save();
    renamed.replace(renamed.rfind("loss"), 4, "lost");
    CHECK(has(error_of([&] { study.restore(renamed); }), "trial 0 has no metric 'loss'"));
  }

  TEST_CASE("a saved text that nests without end is refused") {
    // Behaviour: who walked it needed more than the stack.
    const std::string deep(200'000, '['), close(200'000, ']');
    Study study({.space = square(), .searcher = repeat(tpe(), 2), .seed = 1});
    (void)study.ask();
    const std::string saved = study.save();
    const std::size_t trials = saved.find("\"trials\"");
    REQUIRE(trials != std::string::npos);
    CHECK(has(error_of([&] { study.restore(saved.substr(0, trials) + "\"trials\":[[" + deep + close + ",0,0,[]]]}"); }), "nested"));
    const auto repeater = repeat(tpe(), 2).make({.space = square(), .objectives = {{"loss", Mode::kMin}}});
    CHECK(has(error_of([&] { repeater->restore(R"({"inner": "", "groups": )" + deep + close + "}"); }), "nested"));
    CHECK(study.save() == saved);
  }

  TEST_CASE("a grid with more points than there can be trials goes round for ever") {
    Space space;
    for (int axis = 0; axis < 8; ++axis) {
      std::vector<int> values(16);
      for (int i = 0; i < 16; ++i) values[static_cast<std::size_t>(i)] = i;
      space.add("g" + std::to_string(axis), grid_search(values));
    }
    Study study({.space = space, .searcher = random_search(), .seed = 1});  // 2^32 points, and as many repetitions
    for (int i = 0; i < 20; ++i) CHECK(study.ask().config.get<int>("g0") == i % 16);
  }

  TEST_CASE("a study whose searcher is none is refused by its name") {
    StudyOptions options{.space = {{"x", uniform(0, 1)}}};
    options.searcher = {"mine", "mine", [](const SearcherContext&) { return std::unique_ptr<Searcher>(); }};
    CHECK(has(error_of([&] { Study study(options); }), "the searcher 'mine' makes none: its make returned null"));
    options.searcher = {};
    CHECK(has(error_of([&] { Study study(options); }), "there is no searcher"));
  }
}
