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

  TEST_CASE("grid axes are sorted name by name and items by number, as Ray sorts them") {
    // A story: by their whole paths "opt-name" came before "opt/lr", and item 10 of a list before item 2.
    VariantSearcher searcher(Space{{"opt-name", grid_search({1, 2})}, {"opt", Space{{"lr", grid_search({1, 2})}}}}, 1, 0);
    CHECK(searcher.suggest(1).config.get<int>("opt/lr") == 2);
    CHECK(searcher.suggest(1).config.get<int>("opt-name") == 1);
    std::vector<Domain> items(11, Domain(0));
    items[10] = items[2] = grid_search({1, 2});
    VariantSearcher numbered(Space{{"layers", list(items)}}, 1, 0);
    CHECK(numbered.suggest(1).config.get<int>("layers/2") == 2);
    CHECK(numbered.suggest(1).config.get<int>("layers/10") == 1);
    VariantSearcher named(Space{{"t", Space{{"2", grid_search({1, 2})}, {"10", grid_search({1, 2})}}}}, 1, 0);  // names, no numbers
    CHECK(named.suggest(1).config.get<int>("t/10") == 2);
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

  TEST_CASE("a function that reads another one with get_or waits for its value, and has the fallback only where there is none") {
    const Space space{{"a", sample_from([](const Config& c) { return c.get_or<int>("b", 1) * 2 + c.get_or<int>("nobody", 100); })},
                      {"b", sample_from([] { return 5; })}};
    CHECK(VariantSearcher(space, 1, 0).suggest(0).config.get<int>("a") == 110);
    CHECK(VariantSearcher(space, 1, 0).suggest(0).config.get_or<int>("c", 7) == 7);
  }

  TEST_CASE("functions that wait for each other, or for nothing, are a clear error") {
    const Space cycle{{"a", sample_from([](const Config& c) { return c.get<int>("b"); })},
                      {"b", sample_from([](const Config& c) { return c.get<int>("a"); })}};
    CHECK_THROWS_AS(VariantSearcher(cycle, 1, 0).suggest(0), InvalidArgument);
    const Space absent{{"a", sample_from([](const Config& c) { return c.get<int>("nobody"); })}};
    CHECK(has(error_of([&] { VariantSearcher(absent, 1, 0).suggest(0); }), "nobody"));
  }

  TEST_CASE("a function that draws between bounds with nothing in between is a clear error") {
    // A story: randint(0, 0) divided by zero, which ended the whole program.
    const auto error = [](auto draw) { return error_of([&] { VariantSearcher(Space{{"n", 0}, {"f", sample_from(draw)}}, 1, 0).suggest(0); }); };
    CHECK(has(error([](Random& r, const Config& c) { return r.randint(0, c.get<int>("n")); }), "Random::randint(0, 0): the lower bound"));
    CHECK(has(error([](Random& r) { return r.randint(5, 2); }), "randint(5, 2)"));
    CHECK(has(error([](Random& r) { return r.uniform(1, 1); }), "uniform(1, 1)"));
    CHECK(has(error([](Random& r) { return r.loguniform(0, 1); }), "above 0"));
    CHECK(error([](Random& r) { return r.randint(INT64_MIN, INT64_MAX); }).empty());
  }

  TEST_CASE("the tag holds what was drawn, floats with four decimals, constants left out") {
    const Space space{{"bar", grid_search({true})}, {"foo", choice({1})}, {"lr", uniform(0.5, 0.50001)}, {"k", 3}};
    CHECK(VariantSearcher(space, 1, 0).suggest(0).tag == "bar=true,foo=1,lr=0.5000");
  }

  TEST_CASE("an inactive parameter is absent, and so is what depends on it") {
    const Space space{{"depth", randint(1, 4), when("net", "deep")},  // declared before what it depends on
                      {"net", choice({"deep", "flat"})},
                      {"width3", randint(8, 65), when_at_least("depth", 3)},
                      {"deep", Space{{"dropout", uniform(0, 1)}, {"kind", "residual"}}, when("net", "deep")}};
    space.check();
    VariantSearcher searcher(space, 200, 1);
    int deep = 0, third = 0;
    for (TrialIndex i = 0; i < 200; ++i) {
      const Suggestion made = searcher.suggest(i);
      const Config& config = made.config;
      const bool is_deep = config.get<std::string>("net") == "deep";
      deep += is_deep, third += config.contains("width3");
      REQUIRE(config.contains("depth") == is_deep);
      REQUIRE(config.contains("deep/dropout") == is_deep);
      REQUIRE(config.contains("deep") == is_deep);
      REQUIRE(config.contains("width3") == (is_deep && config.get<int>("depth") == 3));
      if (!is_deep) REQUIRE(made.tag == "net=flat");
    }
    CHECK(deep > 70);
    CHECK(deep < 130);
    CHECK(third > 15);
  }

  TEST_CASE("forbidden configurations are drawn again, and when nothing is left it says so") {
    const Space space{{"a", choice({1, 2, 3})}, {"b", choice({"x", "y"})}, forbid({{"a", {1, 2}}, {"b", "y"}})};
    VariantSearcher searcher(space, 100, 2);
    int y = 0;
    for (TrialIndex i = 0; i < 100; ++i) {
      const Config config = searcher.suggest(i).config;
      const bool is_y = config.get<std::string>("b") == "y";
      y += is_y;
      if (is_y) REQUIRE(config.get<int>("a") == 3);
    }
    CHECK(y > 10);
    Space none = space;
    none.add(forbid({{"b", "x"}}));
    none.add(forbid({{"b", "y"}}));
    CHECK(has(error_of([&] { VariantSearcher(none, 1, 0).suggest(0); }), "all were forbidden"));
  }

  TEST_CASE("grid points that are forbidden, or alike because an axis is inactive, are left out") {
    const Space space{{"optimizer", grid_search({"adam", "sgd"})},
                      {"momentum", grid_search({0.5, 0.9}), when("optimizer", "sgd")},
                      {"width", grid_search({1, 2})},
                      forbid({{"optimizer", "adam"}, {"width", 2}})};
    VariantSearcher searcher(space, 2, 0);
    REQUIRE(*searcher.total() == 2 * 5);  // adam with 1; sgd with 0.5 and 0.9, each with 1 and 2
    std::set<std::string> seen;
    for (TrialIndex i = 0; i < 5; ++i) seen.insert(searcher.suggest(i).config.describe());
    CHECK(seen.size() == 5);
    CHECK(searcher.suggest(5).config == searcher.suggest(0).config);
    const Space all{{"a", grid_search({1, 2})}, forbid({{"a", {1, 2}}})};
    CHECK(has(error_of([&] { VariantSearcher(all, 1, 0); }), "nothing is left"));
  }

  TEST_CASE("lists hold domains, tables and plain values, and functions read their items by path") {
    const Space space{{"layers", list({randint(1, 3), Space{{"k", grid_search({3, 5})}}, "last"})},
                      {"sum", sample_from([](const Config& c) { return c.get<int>("layers/0") + c.get<int>("layers/1/k"); })}};
    const Config config = VariantSearcher(space, 1, 0).suggest(1).config;
    CHECK(config.get<int>("layers/1/k") == 5);
    CHECK(config.get<std::string>("layers/2") == "last");
    CHECK(config.get<int>("sum") == 5 + config.get<int>("layers/0"));
    REQUIRE(config.find("layers")->as<Value::List>());
    CHECK(config.find("layers")->as<Value::List>()->size() == 3);
    CHECK_FALSE(config.contains("layers/3"));
  }

  TEST_CASE("an empty table or list is there where its condition holds, and makes nothing else active") {
    const Space space{{"net", grid_search({"plain", "deep"})},
                      {"model", Space{}},
                      {"extra", Space{}, when("net", "deep")},
                      {"sizes", list({}), when("net", "deep")},
                      {"deep", Space{{"none", Space{}}, {"steps", list({})}}, when("net", "deep")}};
    space.check();
    VariantSearcher searcher(space, 1, 0);
    const Config plain = searcher.suggest(0).config, deep = searcher.suggest(1).config;
    for (const Config& config : {plain, deep}) {
      REQUIRE(config.contains("model"));
      CHECK(config.find("model")->as<Value::Dict>()->empty());
    }
    for (const char* path : {"extra", "sizes", "deep", "deep/none", "deep/steps"}) {
      CAPTURE(path);
      CHECK_FALSE(plain.contains(path));
      CHECK(deep.contains(path));
    }
    CHECK(searcher.suggest(0).tag == "net=plain");
  }

  TEST_CASE("the size of a grid does not wrap") {
    Space space;
    std::vector<int> values(16);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<int>(i);
    for (int axis = 10; axis < 26; ++axis) space.add("g" + std::to_string(axis), grid_search(values));
    VariantSearcher searcher(space, 2, 0);  // 2^64 points
    CHECK(*searcher.total() == UINT64_MAX);
    CHECK(searcher.suggest(17).config.get<int>("g10") == 1);
    CHECK(searcher.suggest(17).config.get<int>("g11") == 1);
    CHECK(searcher.suggest(17).config.get<int>("g25") == 0);
  }

  TEST_CASE("of a grid of more than a million points, too, those that are forbidden or repeat others are left out") {
    std::vector<int> values(1100);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<int>(i);
    VariantSearcher corner(Space{{"a", grid_search(values)}, {"b", grid_search(values)}, forbid({{"a", 1}, {"b", 0}})}, 2, 0);
    CHECK(corner.suggest(0).config.get<int>("a") == 0);
    CHECK(corner.suggest(1).config.get<int>("a") == 2);
    CHECK(corner.suggest(1099).config.get<int>("b") == 1);
    CHECK(*corner.total() == 2 * 1100 * 1100);  // no more than that
    // Nearly all of it is forbidden: what is left is found at once, and then the grid begins again.
    const std::vector<Value> but_first(values.begin() + 1, values.end()), but_last(values.begin(), values.end() - 1);
    VariantSearcher edge(Space{{"a", grid_search(values)}, {"b", grid_search(values)}, {"c", grid_search(values)}, {"d", grid_search(values)},
                               forbid({Clause::from("d", but_first)}), forbid({Clause::from("c", but_last)}), forbid({Clause::from("b", but_first)})}, 2, 0);
    CHECK(edge.suggest(0).config.get<int>("c") == 1099);
    CHECK(edge.suggest(1099).config.get<int>("a") == 1099);
    CHECK(edge.suggest(1100).config.get<int>("a") == 0);
    CHECK(edge.suggest(2199).kind == Suggestion::Kind::kConfig);
    CHECK(edge.suggest(2200).kind == Suggestion::Kind::kDone);
    CHECK(*edge.total() == 2200);
    VariantSearcher flat(Space{{"a", grid_search(values), when("net", "deep")}, {"b", grid_search(values), when("net", "deep")},
                               {"net", grid_search({"flat", "deep"})}}, 1, 0);
    CHECK(flat.suggest(0).config.get<std::string>("net") == "flat");
    CHECK(flat.suggest(1).config.get<std::string>("net") == "deep");
    CHECK(flat.suggest(2).config.get<int>("a") == 1);
    VariantSearcher none(Space{{"a", grid_search(values)}, {"b", grid_search(values)}, {"k", 1}, forbid({{"k", 1}})}, 1, 0);
    CHECK(has(error_of([&] { none.suggest(0); }), "nothing is left"));
  }

  TEST_CASE("what skips points of a grid leaves out the same as a look at each would") {
    const Space space{{"a", grid_search({1, 2, 3}), when("m", {2, 3})}, {"b", grid_search({1, 2}), when("a", 2)}, {"m", grid_search({1, 2, 3})},
                      {"z", grid_search({1, 2, 3}), when_at_least("b", 2)}, forbid({{"a", 3}, {"m", 2}}), forbid({{"z", {2, 3}}, {"m", 3}})};
    std::set<std::string> wanted;
    for (int m = 1; m <= 3; ++m)
      for (int a = 1; a <= 3; ++a)
        for (int b = 1; b <= 2; ++b)
          for (int z = 1; z <= 3; ++z) {
            const bool has_a = m >= 2, has_b = has_a && a == 2, has_z = has_b && b == 2;
            if ((has_a && a == 3 && m == 2) || (has_z && z >= 2 && m == 3)) continue;
            const auto part = [](const char* name, int value, bool there) { return there ? name + std::to_string(value) : std::string(); };
            wanted.insert(part("a", a, has_a) + part("b", b, has_b) + part("m", m, true) + part("z", z, has_z));
          }
    VariantSearcher searcher(space, 1, 0);
    CHECK(*searcher.total() == wanted.size());
    std::set<std::string> seen;
    for (TrialIndex i = 0; i < *searcher.total(); ++i) {
      std::string text;
      for (const auto& [path, value] : searcher.suggest(i).config.flat()) text += path + value.to_text();
      seen.insert(text);
    }
    CHECK(seen == wanted);
  }

  TEST_CASE("a parameter of one value decides about grid points as a constant does") {
    VariantSearcher searcher(Space{{"a", grid_search({1, 2})}, {"b", choice({"x"})}, {"c", randint(5, 6)}, forbid({{"a", 1}, {"b", "x"}, {"c", 5}})}, 1, 0);
    CHECK(*searcher.total() == 1);
    CHECK(searcher.suggest(0).config.get<int>("a") == 2);
  }
}
