#include "tune/searchers/tpe.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "runtime/errors.hpp"
#include "search_support.hpp"
#include "support.hpp"
#include "tune/searchers/parzen.hpp"
#include "tune/searchers/normal.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;

namespace {

/// The logarithm of the density that TPE makes of these observations, at these points.
std::vector<double> log_density(const Space& space, const std::vector<Config>& observed, const std::vector<Config>& points) {
  const ParameterEncoding encoding(space);
  std::vector<const Dimension*> dimensions;
  std::vector<std::vector<double>> columns(encoding.size()), at(encoding.size());
  for (const Dimension& dimension : encoding.dimensions()) dimensions.push_back(&dimension);
  for (std::size_t d = 0; d < encoding.size(); ++d) {
    for (const Config& config : observed) columns[d].push_back(encoding.encode(config)[d]);
    for (const Config& config : points) at[d].push_back(encoding.encode(config)[d]);
  }
  return ParzenEstimator(dimensions, columns, tpe_weights(observed.size())).log_density(at);
}

std::vector<Config> each(const std::string& name, const std::vector<Value>& values) {
  std::vector<Config> configs;
  for (const Value& value : values) configs.push_back({{name, value}});
  return configs;
}

void check_close(const std::vector<double>& got, std::vector<double> wanted, double jacobian = 0) {
  REQUIRE(got.size() == wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i] == doctest::Approx(wanted[i] + jacobian).epsilon(1e-9));
}

Observation seen(Observation::State state, double loss, double step = 0) {
  return {.point = {0.5}, .losses = {loss}, .state = state, .step = step};
}

}  // namespace

TEST_SUITE("tune/searchers/tpe") {
  // The numbers are those of optuna 5.0.0, samplers/_tpe/parzen_estimator.py, for the same observations; a density over the
  // unit interval is larger by the width of the range.
  TEST_CASE("the density is Optuna's, for every kind of parameter") {
    const double width = std::log(15.0), log_width = std::log(std::log(1e4));
    check_close(log_density({{"x", uniform(-5, 10)}}, each("x", {-3.0, 1.5, 1.6, 9.0}), each("x", {-4.9, 1.55, 8.0})),
                {-2.8485592494970864, -2.5557283203162537, -2.947274586664984}, width);
    check_close(log_density({{"x", uniform(-5, 10)}}, each("x", {2.5}), each("x", {-4.9, 1.55, 8.0})),
                {-2.9060218820832615, -2.6131308258597743, -2.776715194605006}, width);
    check_close(log_density({{"x", uniform(-5, 10)}}, {}, each("x", {-4.9, 1.55, 8.0})),
                {-2.7887612895001492, -2.669077956166816, -2.734294622833483}, width);
    check_close(log_density({{"lr", loguniform(1e-4, 1)}}, each("lr", {1e-3, 2e-3, 0.5, 0.01}), each("lr", {1e-4, 1e-2, 0.9})),
                {-2.749838433470617, -2.11344450334693, -2.6556881210942187}, log_width);
    check_close(log_density({{"n", randint(1, 10)}}, each("n", {1, 2, 2, 9}), each("n", {1, 5, 9})),
                {-1.6419166470322168, -2.5063338915123587, -2.7497253736766876});
    check_close(log_density({{"ln", lograndint(1, 101)}}, each("ln", {1, 10, 3, 80}), each("ln", {1, 7, 100})),
                {-1.4980058787067472, -3.556757471523122, -6.621698851918255});
    check_close(log_density({{"q", quniform(0, 1, 0.25)}}, each("q", {0.0, 0.25, 0.25, 1.0}), each("q", {0.0, 0.5, 1.0})),
                {-1.3207271789196247, -1.622210954853418, -2.111246870247386});
    check_close(log_density({{"c", choice({"a", "b", "c"})}}, each("c", {"a", "a", "c", "b"}), each("c", {"a", "b", "c"})),
                {-0.8754687373538996, -1.2321436812926323, -1.2321436812926323});
  }

  TEST_CASE("a kernel's least width falls with the number of observations, by the exponent, to a hundredth") {
    const std::vector<double> alike(2, 0.5), many(200, 0.5);
    CHECK(parzen_deviations(alike).front() == doctest::Approx(1.0 / 4));  // Optuna's
    CHECK(parzen_deviations(alike, 1.5).front() == doctest::Approx(1.0 / 8));
    CHECK(parzen_deviations(many).front() == doctest::Approx(0.01));
    CHECK(parzen_deviations(many, 1.5).front() == doctest::Approx(0.01));
    CHECK(parzen_deviations(std::vector<double>{0.2, 0.6, 0.7}, 1.5)[1] == doctest::Approx(0.4));  // the gap, which is wider
    const Space space{{"x", uniform(0, 1)}};
    CHECK_THROWS_AS(tpe({.bandwidth_exponent = 0}).make({.space = space, .objectives = {{"loss"}}}), InvalidArgument);
  }

  TEST_CASE("the default bandwidth closes in on the largest value of a maximised metric as on the smallest of a minimised one") {
    // The medians over the seeds of how far the best of 80 trials is from the top of a hill, and from the bottom of a bowl.
    const auto median_distance = [](const TpeOptions& options, Mode mode) {
      std::vector<double> distances;
      for (std::uint64_t seed = 0; seed < 11; ++seed) {
        SearcherContext context = context_of(square(), seed);
        context.objectives = {{"loss", mode}};
        double least = INFINITY;
        search(*tpe(options).make(context), [&](const Config& config) {
          least = std::min(least, bowl(config));
          return mode == Mode::kMax ? -bowl(config) : bowl(config);
        }, 80);
        distances.push_back(least);
      }
      std::sort(distances.begin(), distances.end());
      return distances[5];
    };
    const double up = median_distance({}, Mode::kMax);
    CHECK(up == median_distance({}, Mode::kMin));
    CHECK(up < 0.3 * median_distance({.bandwidth_exponent = 1}, Mode::kMax));
  }

  TEST_CASE("the joint density is Optuna's, and so are the weights of old observations") {
    const Space space{{"x", uniform(-5, 10)},      {"lr", loguniform(1e-4, 1)},  {"n", randint(1, 10)},
                      {"ln", lograndint(1, 101)}, {"q", quniform(0, 1, 0.25)}, {"c", choice({"a", "b", "c"})}};
    const std::vector<Config> observed{
        {{"x", -3.0}, {"lr", 1e-3}, {"n", 1}, {"ln", 1}, {"q", 0.0}, {"c", "a"}},
        {{"x", 1.5}, {"lr", 2e-3}, {"n", 2}, {"ln", 10}, {"q", 0.25}, {"c", "a"}},
        {{"x", 1.6}, {"lr", 0.5}, {"n", 2}, {"ln", 3}, {"q", 0.25}, {"c", "c"}},
        {{"x", 9.0}, {"lr", 0.01}, {"n", 9}, {"ln", 80}, {"q", 1.0}, {"c", "b"}}};
    const std::vector<Config> points{{{"x", -4.9}, {"lr", 1e-4}, {"n", 1}, {"ln", 1}, {"q", 0.0}, {"c", "a"}},
                                     {{"x", 1.55}, {"lr", 1e-2}, {"n", 5}, {"ln", 7}, {"q", 0.5}, {"c", "b"}},
                                     {{"x", 8.0}, {"lr", 0.9}, {"n", 9}, {"ln", 100}, {"q", 1.0}, {"c", "c"}}};
    check_close(log_density(space, observed, points), {-8.525544322345654, -13.3920423037247, -17.06662676712791},
                std::log(15.0) + std::log(std::log(1e4)));
    std::vector<Value> forty;
    for (int i = 0; i < 40; ++i) forty.emplace_back(-5 + 15.0 * i / 39);
    check_close(log_density({{"x", uniform(-5, 10)}}, each("x", forty), each("x", {-4.9, 1.55, 8.0})),
                {-4.9247238810976, -2.5353127658400942, -2.5368269791357774}, std::log(15.0));
    const std::vector<double> weights = tpe_weights(30);
    CHECK(weights[0] == doctest::Approx(1.0 / 30));
    CHECK(weights[1] == doctest::Approx(0.275));
    CHECK(std::count(weights.begin(), weights.end(), 1.0) == 26);
  }

  TEST_CASE("draws follow the density") {
    const ParameterEncoding encoding(Space{{"x", uniform(0, 1)}, {"n", randint(0, 5)}, {"c", choice({"a", "b", "c"})}});
    std::vector<const Dimension*> dimensions;
    for (const Dimension& d : encoding.dimensions()) dimensions.push_back(&d);
    const ParzenEstimator density(dimensions, {{0.1, 0.15}, {0.3, 0.9}, {0.5, 0.9}}, {1, 1});
    Random random(4);
    const auto drawn = density.sample(random, 20000);
    std::vector<int> cells(60);
    for (std::size_t i = 0; i < 20000; ++i)
      ++cells[static_cast<std::size_t>(drawn[0][i] * 3.999999) * 15 + static_cast<std::size_t>(drawn[1][i] * 5) * 3 +
              static_cast<std::size_t>(drawn[2][i] * 3)];
    double worst = 0;
    for (std::size_t cell = 0; cell < 60; ++cell) {
      double expected = 0;  // the integral over a quarter of x, by its midpoints
      for (int step = 0; step < 50; ++step) {
        const double x = (static_cast<double>(cell / 15) + (step + 0.5) / 50) / 4;
        expected += std::exp(density.log_density({{x}, {(static_cast<double>(cell / 3 % 5) + 0.5) / 5},
                                                  {(static_cast<double>(cell % 3) + 0.5) / 3}})[0]) / 200;
      }
      worst = std::max(worst, std::abs(cells[cell] - 20000 * expected) / std::sqrt(20000 * expected + 1));
    }
    CHECK(worst < 4);
  }

  TEST_CASE("the mass of a normal is right in both tails") {
    CHECK(log_normal_mass(8, 9) == doctest::Approx(-35.0134).epsilon(1e-4));
    CHECK(log_normal_mass(-9, -8) == log_normal_mass(8, 9));
    CHECK(log_normal_mass(-1, 1) == doctest::Approx(std::log(0.6826894921370859)));
    CHECK(truncated_normal_quantile(0.5, 0.5, 0.2, 0, 1) == doctest::Approx(0.5));
    CHECK(truncated_normal_quantile(0.999999, -3, 0.1, 0, 1) < 0.1);
    CHECK(truncated_normal_quantile(0, 0.5, 0.01, 0, 1) >= 0);
    CHECK(truncated_normal_quantile(1, 0.5, 0.01, 0, 1) <= 1);
  }

  TEST_CASE("test_split_trials of Optuna: complete, then pruned by step, then infeasible; running trials enter with the liar only") {
    using State = Observation::State;
    const std::vector<Observation> history{seen(State::kPruned, 0.0, 1), seen(State::kFailed, INFINITY), seen(State::kComplete, 5),
                                           seen(State::kRunning, 0),     seen(State::kPruned, 9, 4),     seen(State::kPruned, 8, 4),
                                           seen(State::kComplete, -INFINITY)};
    using Numbers = std::vector<std::size_t>;
    CHECK(tpe_split(history, 1, true).below == Numbers{6});
    CHECK(tpe_split(history, 2, true).below == Numbers{2, 6});
    CHECK(tpe_split(history, 3, true).below == Numbers{2, 5, 6});
    CHECK(tpe_split(history, 4, true).below == Numbers{2, 4, 5, 6});
    CHECK(tpe_split(history, 5, true).below == Numbers{0, 2, 4, 5, 6});
    CHECK(tpe_split(history, 5, true).above == Numbers{1, 3});
    CHECK(tpe_split(history, 5, false).above == Numbers{1});
    CHECK(tpe_split(history, 9, true).above == Numbers{3});
  }

  TEST_CASE("default_gamma of Optuna: γ(n): 1→1, 10→1, 11→2, 100→10, 251→25") {
    const std::pair<std::size_t, std::size_t> wanted[] = {{1, 1}, {10, 1}, {11, 2}, {100, 10}, {251, 25}};
    for (const auto& [n, below] : wanted) CHECK(tpe_num_below(TpeGamma::kOptuna, n) == below);
    CHECK(tpe_num_below(TpeGamma::kHyperopt, 100) == 3);
  }

  TEST_CASE("InvalidValuesTest of TPE: NaN and infinite results do not break the search") {
    for (const double bad : {double(NAN), double(INFINITY), -double(INFINITY)}) {
      CAPTURE(bad);
      const auto searcher = tpe().make(context_of(square()));
      int calls = 0;
      const double best = search(*searcher, [&](const Config& c) { return calls++ % 5 == 2 ? bad : bowl(c); }, 80);
      CHECK(best <= 2.0);
    }
    const auto failing = tpe({.common = {.startup_trials = 2}}).make(context_of(square()));
    for (TrialIndex i = 0; i < 30; ++i) {
      REQUIRE(failing->suggest(i).kind == Suggestion::Kind::kConfig);
      failing->on_complete(i, nullptr, 0);
    }
  }

  TEST_CASE("a batch of suggestions without results spreads, with the liar only") {
    const auto spread = [](bool liar) {
      const auto searcher = tpe({.constant_liar = liar}).make(context_of(Space{{"x", uniform(-10, 10)}}, 3));
      search(*searcher, [](const Config& c) { return std::pow(c.get<double>("x") - 3, 2); }, 60);
      std::vector<double> batch;
      for (TrialIndex i = 60; i < 70; ++i) batch.push_back(searcher->suggest(i).config.get<double>("x"));
      std::sort(batch.begin(), batch.end());
      double gap = 20;
      for (std::size_t i = 1; i < batch.size(); ++i) gap = std::min(gap, batch[i] - batch[i - 1]);
      return std::pair(gap, batch.back() - batch.front());
    };
    CHECK(spread(true).first > 0.01);
    CHECK(spread(true).second > 2);
    CHECK(spread(false).second < spread(true).second);
  }

  TEST_CASE("conditional parameters are learned where they are active") {
    const Space space{{"kind", choice({"a", "b"})},
                      {"x", uniform(0, 1), when("kind", "a")},
                      {"y", uniform(0, 1), when("kind", "b")},
                      {"z", uniform(0, 1)}};
    const auto loss = [](const Config& c) {
      const double z = std::pow(c.get<double>("z") - 0.2, 2);
      if (c.get<std::string>("kind") == "a") return 1 + std::abs(c.get<double>("x") - 0.9) + z;
      return std::abs(c.get<double>("y") - 0.1) + z;
    };
    for (const bool group : {true, false}) {
      const auto searcher = tpe({.group = group}).make(context_of(space, 7));
      CHECK(search(*searcher, loss, 100) < 0.05);
      int b = 0;
      for (TrialIndex i = 100; i < 130; ++i) {
        const Config config = searcher->suggest(i).config;
        b += config.get<std::string>("kind") == "b";
        REQUIRE(config.contains("x") == (config.get<std::string>("kind") == "a"));
        REQUIRE(config.contains("y") == (config.get<std::string>("kind") == "b"));
        finish(*searcher, i, loss(config));
      }
      CHECK(b > 15);
    }
  }

  TEST_CASE("forbidden combinations are not suggested") {
    const Space space{{"a", ordinal({1, 2, 3, 4})}, {"b", choice({1, 2})}, forbid({{"a", {3, 4}}, {"b", 2}})};
    const auto searcher = tpe().make(context_of(space));
    search(*searcher, [](const Config& c) {
      REQUIRE_FALSE((c.get<int>("a") > 2 && c.get<int>("b") == 2));
      return -c.get<double>("a") - c.get<double>("b");  // which draws the search to the forbidden corner
    }, 100);
  }

  TEST_CASE("several metrics are refused, and none too") {
    SearcherContext context = context_of(square());
    context.objectives.push_back({"time", Mode::kMin});
    CHECK(has(error_of([&] { tpe().make(context); }), "one metric"));
    context.objectives.clear();
    CHECK(has(error_of([&] { tpe().make(context); }), "TuneOptions::metric"));
  }

  TEST_CASE("the number of good trials is γ of those with a result: failed ones make no room for others") {
    // Ten results have one good one, at 0.1. Of a hundred, the nine at 0.9 are good too.
    const auto near_the_nine = [](double rest) {
      std::vector<EvaluatedPoint> evaluated;
      for (int i = 0; i < 100; ++i)
        evaluated.push_back({{{"x", i == 0 ? 0.1 : i < 10 ? 0.9 : 0.5}}, {{"loss", i == 0 ? 1 : i < 10 ? 2 : rest}}});
      int near = 0;
      for (std::uint64_t seed = 0; seed < 40; ++seed)
        near += tpe({.common = {.evaluated = evaluated}}).make(context_of({{"x", uniform(0, 1)}}, seed))->suggest(0).config.get<double>("x") > 0.8;
      return near;
    };
    CHECK(near_the_nine(NAN) < 8);
    CHECK(near_the_nine(3) > 25);
  }
}
