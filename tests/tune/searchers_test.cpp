// What every searcher that fits a model must do, whatever its model; then what each is for.
#include <doctest/doctest.h>

#include <cmath>
#include <deque>
#include <functional>
#include <map>

#include "runtime/errors.hpp"
#include "support.hpp"
#include "tune/schedulers/budget.hpp"
#include "tune/searchers/bohb.hpp"
#include "tune/searchers/cmaes.hpp"
#include "tune/searchers/dehb.hpp"
#include "tune/searchers/evolution.hpp"
#include "tune/searchers/gp.hpp"
#include "tune/searchers/nsga2.hpp"
#include "tune/searchers/pareto.hpp"
#include "tune/searchers/random.hpp"
#include "tune/searchers/sobol.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;

namespace {

/// Small enough that every searcher is past its start-up within fifty trials, and quick.
std::vector<SearcherSpec> all_searchers() {
  return {gp({.common = {.startup_trials = 6}, .preliminary_samples = 128, .local_searches = 3}),
          cmaes(),
          bohb_search(),
          dehb({.schedule = {.min_budget = 1, .max_budget = 9}}),
          evolution({.population = 12, .sample = 4}),
          nsga2({.population = 10})};
}

Space mixed_space() {
  return {{"lr", loguniform(1e-4, 1)},
          {"layers", randint(1, 6)},
          {"optimizer", choice({"sgd", "adam", "rms"})},
          {"width", ordinal({16, 32, 64, 128})},
          {"momentum", uniform(0, 0.99), when("optimizer", "sgd")},
          {"note", "constant"},
          forbid({{"optimizer", "adam"}, {"width", 128}})};
}

double mixed_loss(const Config& config) {
  double loss = std::pow(std::log10(config.get<double>("lr")) + 2, 2) + 0.3 * std::abs(config.get<double>("layers") - 3);
  loss += config.get<double>("width") == 64 ? 0 : 0.5;
  if (config.get<std::string>("optimizer") == "sgd") return loss + std::abs(config.get<double>("momentum") - 0.9);
  return loss + (config.get<std::string>("optimizer") == "adam" ? 0.4 : 1);
}

SearcherContext context_of(Space space, std::uint64_t seed = 1, std::uint64_t samples = 100000) {
  return {.space = std::move(space), .objectives = {{"loss", Mode::kMin}}, .num_samples = samples, .seed = seed, .concurrency = 4};
}

using Measure = std::function<std::optional<Metrics>(const Config&)>;

Measure loss_of(std::function<double(const Config&)> f) {
  return [f = std::move(f)](const Config& config) { return Metrics{{"loss", f(config)}}; };
}

/// A run of trials, `workers` at a time, that end in a random order. What measures nothing fails.
class Run {
 public:
  Run(Searcher& searcher, Measure measure, std::size_t workers = 1, std::uint64_t seed = 7)
      : searcher_(searcher), measure_(std::move(measure)), workers_(workers), order_(seed) {}

  void until(TrialIndex trials) {
    while (next_ < trials) {
      bool waits = false;
      while (running_.size() < workers_ && next_ < trials && !waits) {
        Suggestion suggestion = searcher_.suggest(next_);
        waits = suggestion.kind == Suggestion::Kind::kWait;
        REQUIRE((waits || suggestion.kind == Suggestion::Kind::kConfig));
        if (waits) break;
        configs.push_back(suggestion.config);
        running_.push_back(next_++);
      }
      REQUIRE_FALSE(running_.empty());
      end_one();
    }
  }
  void end_one() {
    const auto which = static_cast<std::size_t>(order_.randint(0, static_cast<std::int64_t>(running_.size())));
    const TrialIndex trial = running_[which];
    running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(which));
    const auto metrics = measure_(configs[trial]);
    if (!metrics) return searcher_.on_complete(trial, nullptr, 0);
    const ResultView result{.iteration = 1, .time_total_s = 1, .metrics = *metrics};
    searcher_.on_complete(trial, &result, 0);
  }
  void drain() {
    while (!running_.empty()) end_one();
  }
  double best(const std::function<double(const Config&)>& loss) const {
    double least = INFINITY;
    for (const Config& config : configs) least = std::min(least, loss(config));
    return least;
  }

  std::vector<Config> configs;

 private:
  Searcher& searcher_;
  Measure measure_;
  std::size_t workers_;
  Random order_;
  TrialIndex next_{0};
  std::vector<TrialIndex> running_;
};

void check_config(const Config& config) {
  CAPTURE(config.describe());
  const double lr = config.get<double>("lr");
  CHECK((lr >= 1e-4 && lr <= 1));
  const auto layers = config.get<int>("layers");
  CHECK((layers >= 1 && layers < 6));
  const auto optimizer = config.get<std::string>("optimizer");
  CHECK((optimizer == "sgd" || optimizer == "adam" || optimizer == "rms"));
  const auto width = config.get<int>("width");
  CHECK((width == 16 || width == 32 || width == 64 || width == 128));
  CHECK(config.contains("momentum") == (optimizer == "sgd"));
  if (optimizer == "sgd") CHECK((config.get<double>("momentum") >= 0 && config.get<double>("momentum") <= 0.99));
  CHECK_FALSE((optimizer == "adam" && width == 128));
  CHECK(config.get<std::string>("note") == "constant");
}

Space plain_space() { return {{"x", uniform(-5, 5)}, {"y", uniform(-5, 5)}}; }
double bowl(const Config& config) {
  return std::pow(config.get<double>("x") - 1, 2) + std::pow(config.get<double>("y") + 2, 2);
}

}  // namespace

TEST_SUITE("tune/searchers") {
  TEST_CASE("no suggestion leaves its bounds, has an inactive parameter or a forbidden combination") {
    for (const SearcherSpec& spec : all_searchers()) {
      CAPTURE(spec.name);
      auto searcher = spec.make(context_of(mixed_space()));
      Run run(*searcher, loss_of(mixed_loss), 3);
      run.until(60);
      for (const Config& config : run.configs) check_config(config);
    }
  }

  TEST_CASE("the same seed gives the same suggestions, another seed others") {
    for (const SearcherSpec& spec : all_searchers()) {
      CAPTURE(spec.name);
      std::vector<std::vector<Config>> configs;
      for (std::uint64_t seed : {1, 1, 2}) {
        auto searcher = spec.make(context_of(mixed_space(), seed));
        Run run(*searcher, loss_of(mixed_loss), 2);
        run.until(40);
        configs.push_back(run.configs);
      }
      CHECK(configs[0] == configs[1]);
      CHECK_FALSE(configs[0] == configs[2]);
    }
  }

  TEST_CASE("SaveRestore: a restored searcher makes the same next suggestions, with trials running and after they end") {
    for (const SearcherSpec& spec : all_searchers()) {
      CAPTURE(spec.name);
      auto searcher = spec.make(context_of(mixed_space()));
      Run run(*searcher, loss_of(mixed_loss), 4);
      run.until(37);
      auto restored = spec.make(context_of(mixed_space()));
      restored->restore(searcher->save());
      CHECK(restored->save() == searcher->save());
      for (TrialIndex i = 37; i < 50; ++i) {
        const Suggestion a = searcher->suggest(i), b = restored->suggest(i);
        REQUIRE(a.kind == Suggestion::Kind::kConfig);
        CHECK(a.config == b.config);
        const Metrics metrics{{"loss", mixed_loss(a.config)}};
        const ResultView result{.iteration = 1, .time_total_s = 1, .metrics = metrics};
        searcher->on_complete(i, &result, 0);
        restored->on_complete(i, &result, 0);
      }
      CHECK_THROWS_AS(restored->restore("nothing of the kind"), Error);
    }
  }

  TEST_CASE("InvalidValuesTest: NaN, infinities, huge numbers and failures do not break a searcher") {
    std::vector<std::pair<SearcherSpec, TrialIndex>> cases{{random_search(), 200}, {random_search(SearchOptions{}), 200}, {sobol(), 200}};
    for (SearcherSpec& spec : all_searchers()) cases.emplace_back(std::move(spec), 70);  // and TPE in tpe_test.cpp
    for (const auto& [spec, trials] : cases) {
      CAPTURE(spec.name);
      for (double odd : {double(NAN), double(INFINITY), double(-INFINITY), 1e308, -1e308}) {
        CAPTURE(odd);
        auto searcher = spec.make(context_of(plain_space()));
        int count = 0;
        Run run(*searcher, [&](const Config& config) -> std::optional<Metrics> {
          ++count;
          if (count % 12 == 4) return std::nullopt;
          if (count % 12 == 8) return Metrics{{"something else", 1}};
          return Metrics{{"loss", count % 6 == 0 ? odd : bowl(config)}};
        }, 2);
        run.until(trials);
        CHECK(run.best(bowl) <= 2.0);
      }
      auto hopeless = spec.make(context_of(plain_space()));
      Run run(*hopeless, [](const Config&) { return std::nullopt; }, 2);
      run.until(30);
    }
  }

  TEST_CASE("AddEvaluatedPoint: points to evaluate come first, evaluated ones are learned from without a trial") {
    Config first;
    first.set("x", 1.5);
    first.set("y", -2.5);
    for (SearchOptions common : {SearchOptions{.points_to_evaluate = {first}, .startup_trials = 3},
                                 SearchOptions{.evaluated = {{first, {{"loss", 0.5}}}}, .startup_trials = 3}}) {
      for (const SearcherSpec& spec :
           {gp({.common = common, .preliminary_samples = 64, .local_searches = 2}), cmaes({.common = common}), bohb_search({.common = common}),
            dehb({.common = common}), evolution({.common = common, .population = 5, .sample = 2}), nsga2({.common = common, .population = 5})}) {
        CAPTURE(spec.name);
        auto searcher = spec.make(context_of(plain_space()));
        Run run(*searcher, loss_of(bowl));
        run.until(25);
        CHECK((run.configs[0].get<double>("x") == 1.5) == common.evaluated.empty());
      }
    }
  }

  TEST_CASE("one of maximised and minimised metrics leads to the same suggestions as the other negated") {
    for (const SearcherSpec& spec : all_searchers()) {
      CAPTURE(spec.name);
      auto down = spec.make(context_of(plain_space()));
      SearcherContext negated = context_of(plain_space());
      negated.objectives = {{"loss", Mode::kMax}};
      auto up = spec.make(negated);
      Run a(*down, loss_of(bowl)), b(*up, loss_of([](const Config& config) { return -bowl(config); }));
      a.until(30);
      b.until(30);
      CHECK(a.configs == b.configs);
    }
  }

  TEST_CASE("each searcher finds a better point of a mixed space than as many random draws") {
    const auto median_best = [](const SearcherSpec& spec, TrialIndex trials) {
      std::vector<double> best;
      for (std::uint64_t seed = 0; seed < 9; ++seed) {
        auto searcher = spec.make(context_of(mixed_space(), seed));
        Run run(*searcher, loss_of(mixed_loss), 1, seed);
        run.until(trials);
        best.push_back(run.best(mixed_loss));
      }
      std::sort(best.begin(), best.end());
      return best[4];
    };
    const SearcherSpec chance = evolution({.population = 100000, .sample = 1});
    CHECK(median_best(gp({.preliminary_samples = 256, .local_searches = 4}), 40) < 0.7 * median_best(chance, 40));
    for (const SearcherSpec& spec : {cmaes(), bohb_search(), dehb({.schedule = {.min_budget = 1, .max_budget = 1}}),
                                     evolution({.population = 20, .sample = 5}), nsga2({.population = 16})}) {
      CAPTURE(spec.name);
      CHECK(median_best(spec, 160) < median_best(chance, 160));
    }
  }

  TEST_CASE("gp: ten suggestions without a result in between spread") {
    auto searcher = gp({.common = {.startup_trials = 5}}).make(context_of(plain_space()));
    Run run(*searcher, loss_of([](const Config& config) {  // with many hollows: there is more to learn than one place
      return bowl(config) + 10 * std::sin(3 * config.get<double>("x")) * std::sin(2 * config.get<double>("y"));
    }));
    run.until(8);
    std::vector<Config> batch;
    for (TrialIndex i = 8; i < 18; ++i) batch.push_back(searcher->suggest(i).config);
    for (std::size_t i = 0; i < batch.size(); ++i)
      for (std::size_t j = 0; j < i; ++j)
        CHECK(std::hypot(batch[i].get<double>("x") - batch[j].get<double>("x"), batch[i].get<double>("y") - batch[j].get<double>("y")) > 0.02);
  }

  TEST_CASE("gp: results beyond the limit are thinned and the search goes on") {
    auto searcher = gp({.preliminary_samples = 64, .local_searches = 2, .max_results = 20}).make(context_of(plain_space()));
    Run run(*searcher, loss_of(bowl));
    run.until(45);
    CHECK(run.best(bowl) < 0.01);
  }

  TEST_CASE("evolution goes on where a parameter has but one value that is ever drawn") {
    const Space space{{"x", uniform(0, 1)}, {"n", qrandn(64, 2, 64)}};
    const auto searcher = evolution({.population = 4, .sample = 2}).make(context_of(space));
    for (TrialIndex i = 0; i < 60; ++i) {
      const Config config = searcher->suggest(i).config;
      REQUIRE(config.get<double>("n") == 64);
      const Metrics metrics{{"loss", config.get<double>("x")}};
      const ResultView result{1, 1, metrics};
      searcher->on_complete(i, &result, 0);
    }
  }

  TEST_CASE("options and spaces that make no sense are refused with what to do") {
    SearcherContext two = context_of(plain_space());
    two.objectives.push_back({"time", Mode::kMin});
    for (const SearcherSpec& spec : all_searchers())
      if (spec.name != "nsga2") CHECK(has(error_of([&] { spec.make(two); }), "nsga2"));
    const SearcherContext options = context_of({{"a", choice({1, 2})}});
    CHECK(has(error_of([&] { cmaes().make(options); }), "evolution"));
    CHECK(has(error_of([&] { dehb().make(context_of({{"budget", uniform(0, 1)}})); }), "budget_parameter"));
    CHECK(has(error_of([&] { dehb({.schedule = {.eta = 1}}).make(options); }), "eta"));
    // Millions of budgets, or a rung of 10^11 trials, took all memory.
    CHECK(has(error_of([&] { dehb({.schedule = {.eta = 1.000001}}).make(options); }), "an eta of 1.000001 makes more than 60 budgets from 1 to 27"));
    CHECK(has(error_of([&] { dehb({.schedule = {.min_budget = 5e-324}}).make(options); }), "more than 60 budgets"));
    CHECK(has(error_of([&] { dehb({.schedule = {.max_budget = 1e12}}).make(options); }), "more than a million trials"));
    CHECK(has(error_of([&] { evolution({.population = 2, .sample = 3}).make(options); }), "sample"));
    CHECK(has(error_of([&] { nsga2({.population = 1}).make(options); }), "population"));
    CHECK(has(error_of([&] { bohb_search({.random_fraction = 2}).make(options); }), "random_fraction"));
    CHECK(has(error_of([&] { gp({.local_searches = 1}).make(options); }), "local_searches"));
  }

  TEST_CASE("nsga2: with two metrics that pull apart the front is spread and covers more than random draws") {
    const Space space{{"x", uniform(0, 1)}, {"y", uniform(0, 1)}, {"z", uniform(0, 1)}};
    const auto losses = [](const Config& c) {  // ZDT1 of three parameters
      const double g = 1 + 4.5 * (c.get<double>("y") + c.get<double>("z")), x = c.get<double>("x");
      return Losses{x, g * (1 - std::sqrt(x / g))};
    };
    std::vector<double> volumes;
    for (const SearcherSpec& spec : {nsga2({.population = 20}), nsga2({.population = 100000})}) {  // the second stays random
      SearcherContext context = context_of(space);
      context.objectives = {{"f1", Mode::kMin}, {"f2", Mode::kMax}};  // one of them negated
      auto searcher = spec.make(context);
      Run run(*searcher, [&](const Config& c) { return Metrics{{"f1", losses(c)[0]}, {"f2", -losses(c)[1]}}; }, 3);
      run.until(300);
      std::vector<Losses> found;
      for (const Config& config : run.configs) found.push_back(losses(config));
      volumes.push_back(hypervolume(found, {1, 3}));
    }
    CHECK(volumes[0] > volumes[1] + 0.2);
    CHECK(volumes[0] > 2.2);  // the best possible is 2 + 2/3
  }
}
