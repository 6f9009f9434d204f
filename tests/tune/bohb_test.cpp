#include "tune/searchers/bohb.hpp"

#include <doctest/doctest.h>

#include <cmath>

using namespace manta;
using namespace manta::tune;

namespace {

SearcherContext context_of(Space space) {
  return {.space = std::move(space), .objectives = {{"loss", Mode::kMin}}, .num_samples = 100000, .seed = 3, .concurrency = 1};
}

void report(Searcher& searcher, TrialIndex trial, double loss, double rung) {
  const Metrics metrics{{"loss", loss}};
  searcher.on_result(trial, {.iteration = static_cast<std::uint64_t>(rung), .time_total_s = 1, .metrics = metrics}, rung);
}
void complete(Searcher& searcher, TrialIndex trial, double loss, double rung = 0) {
  const Metrics metrics{{"loss", loss}};
  const ResultView result{.iteration = 1, .time_total_s = 1, .metrics = metrics};
  searcher.on_complete(trial, &result, rung);
}

}  // namespace

TEST_SUITE("tune/searchers") {
  TEST_CASE("test_config_generators: three levels with a child each, 128 results: then 64 of 64 suggestions are model-based") {
    const Space space{{"parent", choice({"a", "b", "c"})},
                      {"child_a", uniform(0, 1), when("parent", "a")},
                      {"child_b", choice({1, 2, 3, 4}), when("parent", "b")},
                      {"child_c", randint(0, 10), when("parent", "c")}};
    BohbSearcher searcher(context_of(space), {.random_fraction = 0});
    Random random(1);
    for (TrialIndex i = 0; i < 128; ++i) {
      REQUIRE(searcher.suggest(i).kind == Suggestion::Kind::kConfig);
      complete(searcher, i, random.uniform());
    }
    const std::uint64_t before = searcher.model_based();
    for (TrialIndex i = 128; i < 192; ++i) {
      const Config config = searcher.suggest(i).config;
      const auto parent = config.get<std::string>("parent");
      CHECK(config.contains("child_" + parent));
      CHECK(config.entries().size() == 2);
    }
    CHECK(searcher.model_based() - before == 64);
  }

  TEST_CASE("the first model stands at twice the parameters and two more results; until then suggestions are random") {
    BohbSearcher searcher(context_of({{"x", uniform(0, 1)}, {"y", uniform(0, 1)}}), {.random_fraction = 0});
    for (TrialIndex i = 0; i < 6; ++i) {
      (void)searcher.suggest(i);
      CHECK(searcher.model_based() == 0);
      complete(searcher, i, i);
    }
    (void)searcher.suggest(6);
    CHECK(searcher.model_based() == 1);
  }

  TEST_CASE("the model is that of the largest budget that has enough results") {
    // At budget 1 small x is good, at budget 9 large x is.
    BohbSearcher searcher(context_of({{"x", uniform(0, 1)}}), {.random_fraction = 0});
    std::vector<double> xs;
    for (TrialIndex i = 0; i < 40; ++i) {
      xs.push_back(searcher.suggest(i).config.get<double>("x"));
      report(searcher, i, xs.back(), 1);
      if (i == 25) CHECK(xs.back() < 0.6);
    }
    for (TrialIndex i = 0; i < 40; ++i) complete(searcher, i, std::abs(xs[i] - 1), i < 20 ? 9 : 0);
    double sum = 0;
    for (TrialIndex i = 40; i < 60; ++i) sum += searcher.suggest(i).config.get<double>("x");
    double low = 0;
    for (TrialIndex i = 20; i < 40; ++i) low += xs[i];
    CHECK(sum > low);
  }

  TEST_CASE("a trial counts at each rung that it filled and not once more at its end; failures are the worst") {
    BohbSearcher searcher(context_of({{"x", uniform(0, 1)}}), {.random_fraction = 0});
    // Eight trials fill the rung at 1, three that at 3: without doubling, no model of the larger budget (four are needed).
    for (TrialIndex i = 0; i < 8; ++i) {
      (void)searcher.suggest(i);
      report(searcher, i, i, 1);
    }
    for (TrialIndex i = 0; i < 3; ++i) {
      report(searcher, i, i, 3);
      complete(searcher, i, i);
    }
    const std::string state = searcher.save();
    for (TrialIndex i = 3; i < 7; ++i) complete(searcher, i, i);
    searcher.on_complete(7, nullptr, 0);
    BohbSearcher other(context_of({{"x", uniform(0, 1)}}), {.random_fraction = 0});
    other.restore(state);
    for (TrialIndex i = 3; i < 7; ++i) complete(other, i, i);
    other.on_complete(7, nullptr, 0);
    CHECK(other.suggest(8).config == searcher.suggest(8).config);
    CHECK(searcher.model_based() > 0);
  }

  TEST_CASE("with the defaults about a third of the suggestions is random") {
    BohbSearcher searcher(context_of({{"x", uniform(0, 1)}}), {});
    for (TrialIndex i = 0; i < 4; ++i) {
      (void)searcher.suggest(i);
      complete(searcher, i, i);
    }
    const std::uint64_t before = searcher.model_based();
    for (TrialIndex i = 4; i < 604; ++i) (void)searcher.suggest(i);
    CHECK(static_cast<double>(searcher.model_based() - before) / 600 == doctest::Approx(2.0 / 3).epsilon(0.09));
  }
}
