// What all searchers that learn share, by the example of TPE.
#include "tune/searchers/model_searcher.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "runtime/errors.hpp"
#include "search_support.hpp"
#include "support.hpp"
#include "tune/schedulers/asha.hpp"
#include "tune/schedulers/hyperband.hpp"
#include "tune/searchers.hpp"
#include "tune/simulation.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;

namespace {

Space conditional() {
  return {{"x", uniform(-10, 10)},
          {"y", uniform(-10, 10)},
          {"kind", choice({"a", "b"})},
          {"depth", randint(1, 5), when("kind", "a")},
          {"twice", sample_from([](Random& r, const Config& c) { return 2 * c.get<double>("x") + r.uniform(); })}};
}

using State = Observation::State;

/// What a searcher is told, and how often it was asked for more than a random point.
struct Seen {
  std::vector<Observation> history{};  ///< when it ended
  int informed{0};
  std::vector<std::string> calls{};
};

class Probe final : public ModelSearcher {
 public:
  Probe(const SearcherContext& context, SearchOptions options, Seen& seen) : ModelSearcher("probe", context, std::move(options)), seen_(seen) {}
  ~Probe() override { seen_.history = history(); }

  const Observation& at(TrialIndex trial) const { return history().at(trial); }
  std::size_t results() const { return num_results(); }

 private:
  std::vector<double> propose(TrialIndex, Random& random) override { return ++seen_.informed, encoding().sample(random); }
  void learn(const Observation& told) override { note("learn", told); }
  void forget(const Observation& told) override { note("forget", told); }
  void note(const std::string& what, const Observation& told) { seen_.calls.push_back(what + " " + std::to_string(&told - history().data())); }

  Seen& seen_;
};

SearcherSpec probe(Seen& seen) {
  return {"probe", "probe", [&seen](const SearcherContext& context) { return std::make_unique<Probe>(context, SearchOptions{}, seen); }};
}

/// A result with which the trial pauses at that rung.
void pause(Searcher& searcher, TrialIndex trial, double loss, std::uint64_t iteration) {
  const Metrics metrics{{"loss", loss}};
  searcher.on_result(trial, {.iteration = iteration, .time_total_s = 1, .metrics = metrics}, static_cast<double>(iteration));
  searcher.on_pause(trial);
}

}  // namespace

TEST_SUITE("tune/searchers") {
  TEST_CASE("SaveRestore: save and restore gives the same next suggestions, with trials still running") {
    const auto first = tpe().make(context_of(conditional(), 11));
    search(*first, bowl, 30);
    for (TrialIndex i = 30; i < 34; ++i) (void)first->suggest(i);
    finish(*first, 31, NAN);
    first->on_complete(32, nullptr, 0);
    finish(*first, 33, 0.5, 4, 4);
    const auto second = tpe().make(context_of(conditional(), 11));
    second->restore(first->save());
    CHECK(second->save() == first->save());
    for (TrialIndex i = 34; i < 60; ++i) {
      const Config config = first->suggest(i).config;
      REQUIRE(second->suggest(i).config == config);
      finish(*first, i, bowl(config));
      finish(*second, i, bowl(config));
    }
    CHECK_THROWS_AS(tpe().make(context_of(square()))->restore(first->save()), InvalidArgument);
    CHECK_THROWS_AS(tpe().make(context_of(square()))->restore("{}"), InvalidArgument);
  }

  TEST_CASE("one seed gives the same suggestions for the same order of results, another seed others") {
    const auto run = [](std::uint64_t seed) {
      const auto searcher = tpe().make(context_of(conditional(), seed));
      std::string all;
      search(*searcher, [&](const Config& c) { return all += c.describe(), bowl(c); }, 40);
      return all;
    };
    CHECK(run(5) == run(5));
    CHECK(run(5) != run(6));
  }

  TEST_CASE("points to evaluate come first, exactly as given, and what they leave out is drawn") {
    const SearchOptions common{.points_to_evaluate = {{{"x", 1.1}, {"kind", "a"}, {"depth", 3}},
                                                      {{"x", 2.2}, {"y", 0.1}, {"kind", "b"}, {"depth", 2}, {"twice", 0.0}}}};
    const auto searcher = tpe({.common = common}).make(context_of(conditional()));
    const Config first = searcher->suggest(0).config, second = searcher->suggest(1).config;
    CHECK(first.get<double>("x") == 1.1);
    CHECK(first.get<int>("depth") == 3);
    CHECK(first.contains("y"));
    CHECK(first.get<double>("twice") >= 2.2);
    CHECK(second.get<double>("y") == 0.1);
    CHECK(second.get<double>("twice") == 0);
    CHECK_FALSE(second.contains("depth"));  // inactive where kind is b
    CHECK(searcher->suggest(2).config.get<double>("x") != 1.1);
    const auto error = [](const Config& point) {
      return error_of([&] { tpe({.common = {.points_to_evaluate = {point}}}).make(context_of(conditional())); });
    };
    CHECK(has(error({{"z", 1}}), "'z'"));
    CHECK(has(error({{"x", 11}}), "not of uniform(-10, 10)"));
  }

  TEST_CASE("what completes a given point, and what functions draw, keeps to what is allowed") {
    const Space space{{"optimizer", choice({"sgd", "adam"})}, {"width", choice({64, 128})}, {"x", uniform(0, 1)},
                      forbid({{"optimizer", "adam"}, {"width", 128}})};
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
      const auto searcher = tpe({.common = {.points_to_evaluate = {{{"optimizer", "adam"}}}}}).make(context_of(space, seed));
      const Config config = searcher->suggest(0).config;
      CHECK(config.get<std::string>("optimizer") == "adam");
      CHECK(config.get<int>("width") == 64);
    }
    // A function gets its value last: it is drawn again, and where it can give nothing else, so is the rest.
    const auto either = sample_from([](Random& random, const Config&) { return random.uniform() < 0.5 ? "a" : "b"; });
    const Space drawn{{"x", uniform(0, 1)}, {"kind", choice({"p", "q"})}, {"f", either},
                      {"g", sample_from([](const Config& c) { return c.get<std::string>("kind") == "p" ? 1 : 2; })},
                      forbid({{"f", "b"}}), forbid({{"g", 2}})};
    for (const SearcherSpec& spec : {tpe(), random_search({.points_to_evaluate = {{{"x", 0.5}}}})}) {
      const auto searcher = spec.make(context_of(drawn));
      for (TrialIndex i = 0; i < 40; ++i) {
        const Config config = searcher->suggest(i).config;
        REQUIRE(config.get<std::string>("f") == "a");
        REQUIRE(config.get<int>("g") == 1);
        REQUIRE(config.get<std::string>("kind") == "p");
        finish(*searcher, i, config.get<double>("x"));
      }
    }
    const Space nothing{{"x", uniform(0, 1)}, {"f", sample_from([] { return 1; })}, forbid({{"f", 1}})};
    CHECK(has(error_of([&] { tpe().make(context_of(nothing))->suggest(0); }), "all were forbidden"));
  }

  TEST_CASE("random search tries the points that it is given, then random ones, and needs no metric") {
    SearcherContext context = context_of(conditional());
    context.objectives.clear();
    const auto searcher = random_search({.points_to_evaluate = {{{"x", 1.25}}}}).make(context);
    CHECK(searcher->suggest(0).config.get<double>("x") == 1.25);
    double smallest = 10, largest = -10;
    for (TrialIndex i = 1; i < 60; ++i) {
      const double x = searcher->suggest(i).config.get<double>("x");
      smallest = std::min(smallest, x), largest = std::max(largest, x);
      searcher->on_complete(i, nullptr, 0);
    }
    CHECK(smallest < -8);
    CHECK(largest > 8);
  }

  TEST_CASE("AddEvaluatedPoint: what was evaluated beforehand is learned from, and no start-up trial is needed for it") {
    std::vector<EvaluatedPoint> evaluated;
    for (int i = -9; i < 10; ++i)
      for (int j = -9; j < 10; j += 3) {
        const Config config{{"x", static_cast<double>(i)}, {"y", static_cast<double>(j)}};
        evaluated.push_back({config, {{"loss", bowl(config)}}});
      }
    const auto searcher = tpe({.common = {.evaluated = evaluated}}).make(context_of(square()));
    double mean = 0;
    for (TrialIndex i = 0; i < 10; ++i) mean += bowl(searcher->suggest(i).config) / 10;
    CHECK(mean < 30);  // the mean over the square is 76
    const auto error = [](const EvaluatedPoint& point) {
      return error_of([&] { tpe({.common = {.evaluated = {point}}}).make(context_of(square())); });
    };
    CHECK(has(error({{{"x", 1}}, {{"loss", 1}}}), "lacks the parameter 'y'"));
    CHECK(has(error({{{"x", 1}, {"y", 1}}, {{"los", 1}}}), "no metric 'loss'. It has: los"));
  }

  TEST_CASE("a maximised metric is searched upwards") {
    SearcherContext context = context_of(square());
    context.objectives = {{"loss", Mode::kMax}};
    // With narrower kernels it has closed in by then, and looks elsewhere.
    const auto searcher = tpe({.bandwidth_exponent = 1}).make(context);
    CHECK(search(*searcher, [](const Config& c) { return -bowl(c); }, 100) <= 0);
    double mean = 0;
    for (TrialIndex i = 100; i < 110; ++i) mean += bowl(searcher->suggest(i).config) / 10;
    CHECK(mean < 30);
  }

  TEST_CASE("start-up results are waited for when told so, but never for ever (ray #52535)") {
    const auto waits = tpe({.common = {.startup_trials = 3, .wait_for_startup = true}}).make(context_of(square()));
    const auto goes_on = tpe({.common = {.startup_trials = 3}}).make(context_of(square()));
    for (TrialIndex i = 0; i < 3; ++i) (void)waits->suggest(i), (void)goes_on->suggest(i);
    CHECK(goes_on->suggest(3).kind == Suggestion::Kind::kConfig);
    const std::string before = waits->save();
    CHECK(waits->suggest(3).kind == Suggestion::Kind::kWait);
    CHECK(waits->save() == before);  // waiting changes nothing
    finish(*waits, 0, 1), finish(*waits, 1, 2);
    CHECK(waits->suggest(3).kind == Suggestion::Kind::kWait);
    waits->on_complete(2, nullptr, 0);  // fails: nothing runs any more that could wake the search
    CHECK(waits->suggest(3).kind == Suggestion::Kind::kConfig);
  }

  TEST_CASE("a paused start-up trial is not waited for: its scheduler may wait for more trials") {
    const auto waits = tpe({.common = {.startup_trials = 2, .wait_for_startup = true}}).make(context_of(square()));
    (void)waits->suggest(0), (void)waits->suggest(1);
    waits->on_pause(0);
    CHECK(waits->suggest(2).kind == Suggestion::Kind::kWait);
    waits->on_pause(1);
    const auto restored = tpe({.common = {.startup_trials = 2, .wait_for_startup = true}}).make(context_of(square()));
    restored->restore(waits->save());
    for (Searcher* searcher : {waits.get(), restored.get()}) {
      CHECK(searcher->suggest(2).kind == Suggestion::Kind::kConfig);
      searcher->on_complete(0, nullptr, 0);  // ends while it is paused
      CHECK(searcher->suggest(3).kind == Suggestion::Kind::kWait);
      searcher->on_resume(1);
      finish(*searcher, 2, 1);
      CHECK(searcher->suggest(3).kind == Suggestion::Kind::kWait);
    }
  }

  TEST_CASE("a trial that ends while it is paused at a rung was pruned there: it ranks behind those that came further") {
    Seen seen;
    Probe searcher(context_of(square()), {}, seen);
    for (TrialIndex i = 0; i < 4; ++i) (void)searcher.suggest(i);
    pause(searcher, 0, 5, 1);
    finish(searcher, 0, 5, 1);         // halved away by another one's result: no rung, for its last result is not new
    finish(searcher, 1, 0.1, 9, 9);    // that one
    finish(searcher, 2, 7, 3);         // ended by itself
    pause(searcher, 3, 6, 1);
    searcher.on_resume(3);
    finish(searcher, 3, 6, 1);         // by itself too: it had nothing more to do
    CHECK(searcher.at(0).state == State::kPruned);
    CHECK(searcher.at(0).step == 1);
    CHECK(searcher.at(1).state == State::kPruned);
    CHECK(searcher.at(2).state == State::kComplete);
    CHECK(searcher.at(3).state == State::kComplete);
    for (TrialIndex i = 0; i < 4; ++i) CHECK(searcher.at(i).ended());

    const SimulatedTrainable trainable{.step = [](SimulatedStep& step) { return SimulatedResult{{{"loss", step.config.get<double>("x")}}, 1}; }};
    (void)simulate({.metric = "loss", .num_samples = 17, .space = square(), .searcher = probe(seen), .scheduler = hyperband({.max_t = 9}), .seed = 3},
                   trainable, {.workers = 3});
    REQUIRE(seen.history.size() == 17);
    for (const Observation& each : seen.history) CHECK(each.state == State::kPruned);
    CHECK(std::any_of(seen.history.begin(), seen.history.end(), [](const Observation& each) { return each.step == 9; }));
    CHECK(std::any_of(seen.history.begin(), seen.history.end(), [](const Observation& each) { return each.step < 9; }));
  }

  TEST_CASE("the result at which a trial pauses is learned from: behind promotion-type ASHA nearly all would be start-up trials") {
    Seen seen;
    const SimulatedTrainable trainable{.step = [](SimulatedStep& step) { return SimulatedResult{{{"loss", step.config.get<double>("x")}}, 1}; }};
    (void)simulate({.metric = "loss", .num_samples = 100, .space = square(), .searcher = probe(seen),
                    .scheduler = asha({.type = AshaType::kPromotion, .max_t = 64, .reduction_factor = 4}), .seed = 3},
                   trainable, {.workers = 4});
    CHECK(seen.informed >= 80);  // of all but ten, and the few that were made before these had come to their rung
  }

  TEST_CASE("what is known of a paused trial is replaced when it has come further, and forgotten when it fails") {
    Seen seen;
    Probe searcher(context_of(square()), {}, seen);
    for (TrialIndex i = 0; i < 4; ++i) (void)searcher.suggest(i);
    const Metrics metrics{{"loss", 8}};
    searcher.on_result(3, {.iteration = 1, .time_total_s = 1, .metrics = metrics}, 1);
    CHECK_FALSE(searcher.at(3).told());  // it goes on past the rung: it runs
    pause(searcher, 0, 5, 1), pause(searcher, 1, 6, 1), pause(searcher, 2, NAN, 1);
    CHECK(searcher.results() == 2);
    CHECK(searcher.at(0).state == State::kPruned);
    CHECK(searcher.at(2).state == State::kFailed);
    CHECK_FALSE(searcher.at(0).ended());
    searcher.on_resume(0), searcher.on_resume(1);
    CHECK(searcher.at(0).loss() == 5);  // and while it goes on

    Seen other;
    Probe restored(context_of(square()), {}, other);
    restored.restore(searcher.save());
    CHECK(restored.save() == searcher.save());
    CHECK_NOTHROW(restored.check_restored(4, 4));
    for (Probe* each : {&searcher, &restored}) {
      CHECK(each->results() == 2);
      pause(*each, 0, 2, 4);
      CHECK(each->at(0).loss() == 2);
      CHECK(each->at(0).step == 4);
      each->on_complete(1, nullptr, 0);
      CHECK(each->results() == 1);
      finish(*each, 0, 2, 4);
      finish(*each, 2, NAN, 1);
      CHECK(each->results() == 1);
      CHECK(each->at(0).state == State::kPruned);
      CHECK_NOTHROW(each->check_restored(4, 1));
    }
    CHECK(seen.calls == std::vector<std::string>{"learn 0", "learn 1", "forget 1", "learn 2"});
    CHECK(other.calls == std::vector<std::string>{"forget 1", "learn 2"});
    CHECK(restored.save() == searcher.save());
  }

  TEST_CASE("there are num_samples trials") {
    const auto searcher = tpe().make(context_of(square(), 1, 2));
    CHECK(*searcher->total() == 2);
    (void)searcher->suggest(0), (void)searcher->suggest(1);
    CHECK(searcher->suggest(2).kind == Suggestion::Kind::kDone);
  }

  TEST_CASE("two searchers that differ in an option have different descriptions") {
    CHECK(tpe().description != tpe({.candidates = 25}).description);
    CHECK(tpe().description != tpe({.common = {.startup_trials = 9}}).description);
    CHECK(tpe({.common = {.points_to_evaluate = {{{"x", 1}}}}}).description !=
          tpe({.common = {.points_to_evaluate = {{{"x", 1.5}}}}}).description);
    CHECK(tpe({.common = {.evaluated = {{{{"x", 1}}, {{"loss", 1}}}}}}).description !=
          tpe({.common = {.evaluated = {{{{"x", 1}}, {{"loss", 2}}}}}}).description);
  }

  TEST_CASE("a searcher that does not learn waits for nothing") {
    for (const SearcherSpec& spec : {random_search({.startup_trials = 4, .wait_for_startup = true}),
                                     sobol({.common = {.startup_trials = 4, .wait_for_startup = true}})}) {
      const auto searcher = spec.make(context_of(square()));
      for (TrialIndex i = 0; i < 8; ++i) CHECK(searcher->suggest(i).kind == Suggestion::Kind::kConfig);
    }
  }

  TEST_CASE("what points to evaluate say has the type that the space gives it, and what is inactive stays absent") {
    const Space space{{"on", choice({true, false})}, {"n", randint(1, 5)}, {"rate", uniform(0, 10)}, {"width", ordinal({16, 32})},
                      {"l", list({randint(0, 9), Space{{"z", uniform(0, 1), when("on", true)}}})}, {"k", 7}};
    const auto first = [&](const Config& point) {
      return tpe({.common = {.points_to_evaluate = {point}}}).make(context_of(space))->suggest(0).config;
    };
    const auto table = [](double z) { return Value(Value::Dict{{"z", z}}); };
    const Config given = first({{"on", false}, {"n", 2.0}, {"rate", 1}, {"width", 32.0}, {"l", Value::List{Value(3), table(0.5)}}, {"k", 7.0}});
    CHECK(given.get<int>("n") == 2);
    CHECK(given.find("rate")->as<double>());
    CHECK(given.get<int>("width") == 32);
    CHECK(given.get<int>("l/0") == 3);
    CHECK_FALSE(given.contains("l/1/z"));
    CHECK(given.get<int>("k") == 7);
    CHECK(first({{"on", true}, {"l", Value::List{Value(3), table(0.5)}}}).get<double>("l/1/z") == 0.5);
    CHECK(first({{"on", true}, {"l/1/z", 0.25}}).get<double>("l/1/z") == 0.25);
    const Config shorter = first({{"l", Value::List{Value(4)}}});  // the rest is drawn, as always
    CHECK(shorter.get<int>("l/0") == 4);
    CHECK(shorter.find("l")->as<Value::List>()->size() == 2);
  }

  TEST_CASE("points to evaluate and evaluated ones have nothing that the space has not") {
    const Space space{{"layers", list({randint(1, 5), randint(1, 5)})}, {"model", Space{{"depth", randint(1, 9)}}}, {"k", 7}, {"one", choice({"only"})},
                      {"on", choice({true, false})}, {"deep", list({Space{{"z", uniform(0, 1)}}}), when("on", true)}};
    const auto error = [&](const char* path, const Value& value) {
      Config point{{"layers", std::vector<int>{1, 1}}, {"model/depth", 1}, {"on", false}};
      Config changed;
      for (const Entry& entry : point.entries())
        if (entry.name != path) changed.set(entry.name, entry.value);
      changed.set(path, value);
      const std::string refusal = error_of([&] { tpe({.common = {.points_to_evaluate = {changed}}}).make(context_of(space)); });
      CHECK(refusal == error_of([&] { tpe({.common = {.evaluated = {{changed, {{"loss", 1}}}}}}).make(context_of(space)); }));
      return refusal;
    };
    CHECK(has(error("layers", std::vector<int>{1, 2, 99}), "'layers/2', but the search space has a list of 2"));
    CHECK(has(error("layers", 5), "'layers' is 5 (int)"));
    CHECK(has(error("layers", "relu"), "'layers' is relu"));
    CHECK(has(error("model", 5), "'model' is 5 (int)"));
    CHECK(has(error("k", "hello"), "'k' is hello (string) in a configuration, which is not of int 7"));
    CHECK(has(error("one", "other"), "'one' is other"));
    CHECK(has(error("deep", Value::List{Value(Value::Dict{{"z", 0.5}, {"typo", 7}})}), "'deep/0/typo', which the search space does not have. It has: z in 'deep/0'"));
    CHECK(has(error("layer", 5), "'layer', which the search space does not have. It has: layers, model, k, one, on, deep."));
  }

  TEST_CASE("a saved state that is damaged is refused, whatever is wrong in it") {
    const auto restore = [](const std::string& trials, const SearcherSpec& spec) {
      const std::string state = R"({"searcher": ")" + spec.name + R"(", "trials": )" + trials + R"(, "paused": [], "model": ""})";
      return error_of([&] { spec.make(context_of({{"x", uniform(0, 1)}}))->restore(state); });
    };
    CHECK(restore("[[[0.5], [5], 1, 1.0]]", tpe()).empty());  // a whole number is one too
    for (const char* trials : {"[[[0.5], [], 1, 1.0]]", "[[[0.5], [1.0, 2.0], 1, 1.0]]", "[[[0.5], [\"a\"], 1, 1.0]]", "[[[null], [0.5], 1, 1.0]]",
                               "[[[0.5], [{\"$double\": \"nan\"}], 1, 1.0]]", "[[[0.5], [0.5], 9, 1.0]]", "[[[0.5], [0.5], 1, null]]",
                               "[[[{\"$double\": \"nan\"}], [0.5], 1, 1.0]]", "[[[0.5], [0.5], 0, 1.0]]", "[[[], [0.5], 1, 1.0]]",
                               "[[[0.5], [0.5], 1, 1.0, true]]", "[[[0.5], [], 0, 0.0, true]]", "[[[0.5], [0.5], 2, 1.0, 7]]"}) {
      CAPTURE(trials);
      CHECK(has(restore(trials, tpe()), "cannot be restored"));
    }
  }

  TEST_CASE("a saved model that goes with no such search is refused") {
    // Behaviour: what it said was taken as it was; the next suggestion read beyond the end of something, or took all memory.
    const auto restore = [](const SearcherSpec& spec, const std::string& trials, const std::string& model) {
      const std::string name = spec.name == "bohb_search" ? "bohb" : spec.name;
      const std::string state = R"({"searcher": ")" + name + R"(", "trials": )" + trials + R"(, "paused": [], "model": ")" + model + "\"}";
      return error_of([&] { spec.make(context_of({{"x", uniform(0, 1)}}))->restore(state); });
    };
    const std::string ended = "[[[0.5], [0.5], 1, 1.0]]", running = "[[[0.5], [], 0, 0.0]]", nan = "7ff8000000000000", one = "3ff0000000000000";
    const std::string start = " 0 0 0 " + one + " 1 0 1 " + one + " 1 0 1 0 0 0";  // of CMA-ES in one dimension, but for its population
    const SearcherSpec plain = cmaes({.surrogate = false});
    struct Case {
      SearcherSpec spec;
      std::string good, bad, trials;
    };
    for (const Case& each : {Case{evolution({.population = 2, .sample = 2}), "1 0", "1 0", running},
                             Case{nsga2({.population = 2}), "1 0 0", "1 0 0", running},
                             Case{gp(), "1 " + one + " " + one + " " + one + " 0", "1 " + nan + " " + one + " " + one + " 0", ended},
                             Case{gp(), "0 " + one + " " + one + " 1", "0 " + one + " " + one + " 2", ended},
                             Case{bohb_search(), "0 1 0 1 0 " + one + " 0", "0 1 0 1 0 " + nan + " 0", ended},
                             Case{plain, "4" + start, "1099511627776" + start, ended},
                             Case{plain, "4" + start, "0" + start, ended}}) {
      CAPTURE(each.spec.name);
      CAPTURE(each.bad);
      CHECK(restore(each.spec, ended, each.good).empty());
      CHECK(has(restore(each.spec, each.trials, each.bad), "cannot be restored"));
    }
  }
}
