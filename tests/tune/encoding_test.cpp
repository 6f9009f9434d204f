#include "tune/searchers/encoding.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <set>

#include "runtime/errors.hpp"
#include "support.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;

namespace {

Space every_kind() {
  return {{"lr", loguniform(1e-5, 1)},
          {"optimizer", choice({"sgd", "adam", "rmsprop"})},
          {"momentum", uniform(0.5, 1), when("optimizer", {"sgd", "rmsprop"})},
          {"nesterov", choice({false, true}), when("optimizer", "sgd") && when_at_least("momentum", 0.75)},
          {"q", quniform(-1, 1, 0.1)},
          {"ql", qloguniform(0.5, 16, 0.5)},
          {"n", randint(-3, 4)},
          {"ln", lograndint(1, 1000)},
          {"qn", qrandint(3, 21, 5)},
          {"qln", qlograndint(8, 256, 8)},
          {"g", randn(3, 2)},
          {"qg", qrandn(0, 10, 2)},
          {"width", ordinal({16, 32, 64, 128})},
          {"seed", 7},
          {"single", choice({"only"})},
          {"model", Space{{"layers", list({randint(1, 5), Space{{"k", choice({1, 3})}, {"pad", true}}, "last"})},
                          {"sgd", Space{{"decay", uniform(0, 1)}}, when("optimizer", "sgd")}}}};
}

/// Equal, but for the last bits of what went through a logarithm or a distribution function.
bool alike(const Config& a, const Config& b) {
  const auto x = a.flat(), y = b.flat();
  return std::equal(x.begin(), x.end(), y.begin(), y.end(), [](const auto& left, const auto& right) {
    const auto* number = left.second.template as<double>();
    const auto* other = right.second.template as<double>();
    const bool close = number && other && std::abs(*number - *other) <= 1e-9 * std::max(1.0, std::abs(*number));
    return left.first == right.first && (close || left.second == right.second);
  });
}

}  // namespace

TEST_SUITE("tune/searchers/encoding") {
  TEST_CASE("a point decodes to a configuration that encodes to the same point, for every kind of domain") {
    const Space space = every_kind();
    space.check();
    const ParameterEncoding encoding(space);
    Random random(5);
    std::set<std::string> optimizers;
    for (int i = 0; i < 300; ++i) {
      std::vector<double> point = encoding.sample(random);
      const Config config = encoding.decode(point);
      CAPTURE(config.describe());
      const std::vector<double> again = encoding.encode(config);
      CHECK(alike(encoding.decode(again), config));
      for (std::size_t d = 0; d < point.size(); ++d) {
        CAPTURE(encoding.dimensions()[d].path);
        REQUIRE(std::isnan(point[d]) == std::isnan(again[d]));
        if (!std::isnan(point[d])) CHECK(std::abs(encoding.dimensions()[d].snapped(point[d]) - again[d]) < 1e-9);
      }
      optimizers.insert(config.get<std::string>("optimizer"));
      CHECK(config.contains("momentum") == (config.get<std::string>("optimizer") != "adam"));
      CHECK(config.contains("nesterov") ==
            (config.get<std::string>("optimizer") == "sgd" && config.get<double>("momentum") >= 0.75));
      CHECK(config.contains("model/sgd") == (config.get<std::string>("optimizer") == "sgd"));
      CHECK(config.get<int>("seed") == 7);
      CHECK(config.get<std::string>("model/layers/2") == "last");
      CHECK(config.get<bool>("model/layers/1/pad"));
    }
    CHECK(optimizers.size() == 3);
  }

  TEST_CASE("a uniform coordinate gives each domain its values, all of them and no others") {
    const auto values_of = [](const Domain& domain) {
      std::map<double, int> seen;
      for (int i = 0; i < 10000; ++i) {
        const Value value = domain.at((i + 0.5) / 10000);
        ++seen[value.as<double>() ? std::round(*value.as<double>() * 1e6) / 1e6 : static_cast<double>(*value.as<std::int64_t>())];
      }
      return seen;
    };
    CHECK(values_of(qrandint(3, 21, 5)) == std::map<double, int>{{5, 2500}, {10, 2500}, {15, 2500}, {20, 2500}});
    CHECK(values_of(randint(-1, 3)) == std::map<double, int>{{-1, 2500}, {0, 2500}, {1, 2500}, {2, 2500}});
    CHECK(values_of(quniform(0, 0.3, 0.1)) == std::map<double, int>{{0, 2500}, {0.1, 2500}, {0.2, 2500}, {0.3, 2500}});
    const auto logs = values_of(lograndint(1, 9));
    CHECK(logs.size() == 8);
    CHECK(logs.at(1) > 3 * logs.at(8));
    CHECK(values_of(qlograndint(8, 32, 8)).size() == 4);
    const auto normal = values_of(qrandn(0, 1, 1));
    CHECK(std::abs(normal.at(0) - 3829) < 5);  // the mass of a normal between -0.5 and 0.5
    CHECK(normal.at(-2) == normal.at(2));
  }

  TEST_CASE("the ends of the cube decode to values of the domain") {
    for (const Domain& domain : {uniform(0, 1), loguniform(1e-3, 1), quniform(0, 1, 0.25), randint(0, 5), lograndint(1, 5),
                                 qlograndint(2, 9, 2), randn(0, 1), choice({1, 2}), ordinal({1, 2}), qrandint(0, 10, 3)}) {
      CAPTURE(domain.describe());
      for (const double unit : {0.0, 1.0, std::nextafter(1.0, 0.0), -1e-17}) {
        const Value value = domain.at(unit);
        REQUIRE(domain.unit_of(value).has_value());
        const auto [left, right] = domain.cell_of(*domain.unit_of(value));
        CHECK(left <= *domain.unit_of(value) + 1e-12);
        CHECK(right >= *domain.unit_of(value) - 1e-12);
      }
    }
    CHECK(*uniform(0, 1).at(1).as<double>() < 1);
    CHECK(*randint(INT64_MIN, INT64_MAX).at(0).as<std::int64_t>() == INT64_MIN);
    CHECK(*randint(INT64_MIN, INT64_MAX).at(1).as<std::int64_t>() == INT64_MAX - 1);
    // A story: as a double the last of so many was one more than there are, and the sum wrapped to a negative one.
    for (const std::int64_t low : {1, 13, 43, 62, 78, 96}) {
      const Domain wide = lograndint(low, INT64_MAX);
      CAPTURE(low);
      CHECK(*wide.at(0).as<std::int64_t>() == low);
      CHECK(*wide.at(1).as<std::int64_t>() >= INT64_MAX - 100'000);  // which the logarithm of a double may miss by that
      CHECK(*wide.at(1).as<std::int64_t>() < INT64_MAX);
      CHECK(wide.unit_of(wide.at(1)).has_value());
    }
    const Domain two = qrandint(0, INT64_MAX, INT64_MAX);
    CHECK(two.num_values() == 2);
    CHECK(*two.at(0.25).as<std::int64_t>() == 0);
    CHECK(*two.at(0.75).as<std::int64_t>() == INT64_MAX);
    CHECK(two.unit_of(INT64_MAX).has_value());
    CHECK_FALSE(two.unit_of(INT64_MAX - 1).has_value());
    constexpr std::int64_t kOdd = (std::int64_t{1} << 53) + 1;  // no double is it
    CHECK(*qrandint(kOdd, 3 * kOdd, kOdd).at(0).as<std::int64_t>() == kOdd);
    CHECK(*qrandint(kOdd, 3 * kOdd, kOdd).at(1).as<std::int64_t>() == 3 * kOdd);
  }

  TEST_CASE("the cells of a domain tile the unit interval") {
    for (const Domain& domain : {quniform(-1, 1, 0.5), randint(0, 7), lograndint(1, 12), qloguniform(0.5, 4, 0.5), choice({1, 2, 3})}) {
      CAPTURE(domain.describe());
      double edge = 0;
      for (std::uint64_t i = 0; i < domain.num_values(); ++i) {
        const auto [left, right] = domain.cell_of(edge + 1e-9);
        CHECK(std::abs(left - edge) < 1e-9);
        CHECK(right > left);
        edge = right;
      }
      CHECK(std::abs(edge - 1) < 1e-9);
    }
  }

  TEST_CASE("options are reached by their number") {
    const ParameterEncoding encoding(Space{{"c", choice({"x", "y", "z"})}, {"o", ordinal({1, 2})}});
    const Dimension& c = encoding.dimensions()[0];
    CHECK(c.kind == Dimension::Kind::kCategorical);
    CHECK(encoding.dimensions()[1].kind == Dimension::Kind::kOrdinal);
    REQUIRE(c.levels == 3);
    for (std::size_t level = 0; level < 3; ++level) {
      CHECK(c.level_of(c.unit_of_level(level)) == level);
      CHECK(c.domain.at(c.unit_of_level(level)) == c.domain.values()[level]);
    }
    CHECK(c.level_of(1.0) == 2);
  }

  TEST_CASE("forbidden combinations are never sampled, and a space of nothing else is a clear error") {
    Space space{{"a", choice({1, 2})}, {"b", choice({1, 2})}, forbid({{"a", 1}, {"b", 2}})};
    const ParameterEncoding encoding(space);
    Random random(1);
    std::set<std::pair<int, int>> seen;
    for (int i = 0; i < 200; ++i) {
      const Config config = encoding.decode(encoding.sample(random));
      CHECK_FALSE(encoding.is_forbidden(config));
      seen.emplace(config.get<int>("a"), config.get<int>("b"));
    }
    CHECK(seen == std::set<std::pair<int, int>>{{1, 1}, {2, 1}, {2, 2}});
    space.add(forbid({{"a", {1, 2}}}));
    CHECK(has(error_of([&] { ParameterEncoding(space).sample(random); }), "all were forbidden"));
  }

  TEST_CASE("a part of a configuration is completed, and what the space does not have is refused") {
    const ParameterEncoding encoding(every_kind());
    Random random(2);
    Config part;
    part.set("optimizer", "sgd");
    part.set("momentum", 0.9);
    part.set("n", 2);
    std::vector<double> point = encoding.encode(part);
    encoding.complete(point, random);
    const Config whole = encoding.decode(point);
    CHECK(whole.get<double>("momentum") == doctest::Approx(0.9));
    CHECK(whole.get<int>("n") == 2);
    CHECK(whole.contains("nesterov"));
    CHECK(whole.contains("model/sgd/decay"));
    part.set("moment", 1);
    CHECK(has(error_of([&] { encoding.encode(part); }), "'moment'"));
    Config outside;
    outside.set("n", 4);
    CHECK(has(error_of([&] { encoding.encode(outside); }), "not of randint(-3, 4)"));
  }

  TEST_CASE("grid_search is refused by searchers that learn, functions are drawn after the rest") {
    const std::string refused = error_of([] { ParameterEncoding(Space{{"g", grid_search({1, 2})}}); });
    CHECK(has(refused, "'g' is grid_search"));
    CHECK(has(refused, "which only random_search() without options goes through"));
    CHECK(has(refused, "points_to_evaluate, random_search too"));  // who did choose random_search must not be told to
    const ParameterEncoding encoding(
        Space{{"twice", sample_from([](const Config& c) { return 2 * c.get<int>("n"); })}, {"n", randint(1, 9)}});
    REQUIRE(encoding.size() == 1);
    Random random(3);
    Config config = encoding.decode(encoding.sample(random));
    CHECK(config.find("twice")->is_none());
    encoding.run_functions(config, random);
    CHECK(config.get<int>("twice") == 2 * config.get<int>("n"));
    CHECK(config.entries()[0].name == "twice");
  }
}
