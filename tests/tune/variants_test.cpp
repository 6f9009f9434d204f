#include "tune/searchers/variants.hpp"

#include <doctest/doctest.h>

#include <set>

#include "runtime/errors.hpp"
#include "support.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;

TEST_SUITE("tune/searchers") {
  TEST_CASE("grid axes are sorted by path and the first varies fastest, samples repeat the grid") {
    VariantSearcher searcher(Space{{"z", grid_search({10, 20})}, {"a", Space{{"b", grid_search({1, 2, 3})}}}}, 2, 0);
    REQUIRE(*searcher.total() == 12);
    std::vector<std::pair<int, int>> seen;
    for (TrialIndex i = 0; i < 12; ++i) {
      const Config config = searcher.suggest(i).config;
      seen.emplace_back(config.get<int>("a/b"), config.get<int>("z"));
    }
    const std::vector<std::pair<int, int>> grid{{1, 10}, {2, 10}, {3, 10}, {1, 20}, {2, 20}, {3, 20}};
    CHECK(std::equal(grid.begin(), grid.end(), seen.begin()));
    CHECK(std::equal(grid.begin(), grid.end(), seen.begin() + 6));
    CHECK(searcher.suggest(12).kind == Suggestion::Kind::kDone);
  }

  TEST_CASE("one seed gives the same configurations, whatever the order in which they are asked for") {
    const Space space{{"l1", sample_from([](Random& r) { return 1 << r.randint(2, 9); })}, {"lr", loguniform(1e-4, 1e-1)}};
    VariantSearcher forward(space, 50, 7), backward(space, 50, 7), other(space, 50, 8);
    std::vector<Config> configs;
    for (TrialIndex i = 0; i < 50; ++i) configs.push_back(forward.suggest(i).config);
    int equal_to_other = 0;
    for (TrialIndex i = 50; i-- > 0;) {
      CHECK(backward.suggest(i).config == configs[i]);
      equal_to_other += other.suggest(i).config == configs[i];
      const int l1 = configs[i].get<int>("l1");
      CHECK((l1 >= 4 && l1 <= 256 && (l1 & (l1 - 1)) == 0));
    }
    CHECK(equal_to_other == 0);
  }

  TEST_CASE("adding a parameter changes no other") {
    VariantSearcher small(Space{{"lr", uniform(0, 1)}}, 5, 3);
    VariantSearcher large(Space{{"extra", uniform(0, 1)}, {"lr", uniform(0, 1)}}, 5, 3);
    for (TrialIndex i = 0; i < 5; ++i)
      CHECK(small.suggest(i).config.get<double>("lr") == large.suggest(i).config.get<double>("lr"));
  }

  TEST_CASE("sample_from may read parameters that come later, also other functions") {
    const Space space{{"c", sample_from([](const Config& c) { return c.get<int>("b") + 1; })},
                      {"b", sample_from([](Random&, const Config& c) { return c.get<int>("a") * 10; })},
                      {"a", 4}};
    const Config config = VariantSearcher(space, 1, 0).suggest(0).config;
    CHECK(config.get<int>("c") == 41);
    CHECK(config.entries()[0].name == "c");
  }

  TEST_CASE("functions that wait for each other, or for nothing, are a clear error") {
    const Space cycle{{"a", sample_from([](const Config& c) { return c.get<int>("b"); })},
                      {"b", sample_from([](const Config& c) { return c.get<int>("a"); })}};
    CHECK_THROWS_AS(VariantSearcher(cycle, 1, 0).suggest(0), InvalidArgument);
    const Space absent{{"a", sample_from([](const Config& c) { return c.get<int>("nobody"); })}};
    CHECK(has(error_of([&] { VariantSearcher(absent, 1, 0).suggest(0); }), "nobody"));
  }

  TEST_CASE("the tag holds what was drawn, floats with four decimals, constants left out") {
    const Space space{{"bar", grid_search({true})}, {"foo", choice({1})}, {"lr", uniform(0.5, 0.50001)}, {"k", 3}};
    CHECK(VariantSearcher(space, 1, 0).suggest(0).tag == "bar=true,foo=1,lr=0.5000");
  }
}
