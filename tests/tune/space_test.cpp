#include "tune/search_space.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <map>

#include "runtime/errors.hpp"
#include "support.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;

namespace {
std::string refusal(Domain domain) {
  return error_of([&] { Space{{"model", Space{{"p", domain}}}}.check(); });
}
}  // namespace

TEST_SUITE("tune/space") {
  TEST_CASE("every bad domain is refused with the parameter's path") {
    for (const Domain& bad : {choice({}), grid_search({}), choice(std::vector<int>{}), uniform(1, 1), uniform(2, 1),
                              loguniform(0, 1), loguniform(-1, 1), uniform(0, INFINITY), uniform(NAN, 1), randint(3, 3),
                              quniform(0.1, 1, 0.25), quniform(0, 0.9, 0.25), quniform(0, 1, -1), qloguniform(0, 1, 0.5),
                              lograndint(0, 5), qrandint(6, 9, 5), qrandint(9, 6, 1), qlograndint(-5, 5, 5), randn(0, 0),
                              randn(NAN, 1), qrandn(0, 1, INFINITY), quniform(0, 1, 0), qloguniform(1, 2, 0),
                              qrandint(0, 10, 0), qrandint(0, 10, -2), qlograndint(1, 10, 0), qrandn(0, 1, 0), qrandn(0, 1, NAN), ordinal({}), list({1, uniform(2, 1)})}) {
      CAPTURE(bad.describe());
      CHECK(has(refusal(bad), bad.kind() == Domain::Kind::kList ? "'model/p/1'" : "'model/p'"));
      CHECK_THROWS_AS((Space{{"p", bad}}.check()), InvalidArgument);
    }
    CHECK(refusal(loguniform(1e-4, 1e-1)).empty());
    CHECK(refusal(randint(0, 1)).empty());
    CHECK(refusal(quniform(0.1, 0.7, 0.1)).empty());  // 0.7 is no exact multiple of 0.1 in binary
    CHECK(refusal(qrandint(3, 12, 5)).empty());       // Ray asks this of floats only
    CHECK(has(refusal(quniform(0, 0.9, 0.25)), "not a multiple of q = 0.25"));
    CHECK(has(refusal(qrandint(0, 10, 0)), "is qrandint(0, 10, 0), but q must be a number above 0"));
    CHECK(has(refusal(qrandn(0, 1, 0)), "is qrandn(0, 1, 0), but q must be a number above 0"));
    CHECK(has(refusal(qrandint(INT64_MAX - 1, INT64_MAX, 10)), "no multiple of q"));  // the next one is beyond 63 bits
    CHECK(has(refusal(qrandint(INT64_MIN, INT64_MIN + 1, 10)), "no multiple of q"));
    CHECK(refusal(qrandint(0, INT64_MAX, INT64_MAX)).empty());
    CHECK(refusal(qrandint(INT64_MIN, 0, INT64_MAX)).empty());
  }

  TEST_CASE("a condition that names nothing, never holds or depends on itself is refused") {
    const auto error = [](const Space& space) { return error_of([&] { space.check(); }); };
    CHECK(has(error({{"m", 1, when("optimiser", "sgd")}, {"optimizer", choice({"sgd"})}}), "There are: m, optimizer"));
    CHECK(has(error({{"o", choice({"sgd"})}, {"m", 1, when("o", "sdg")}}), "'o = sdg', which never is: 'o' is choice([\"sgd\"])"));
    CHECK(has(error({{"n", randint(1, 4)}, {"m", 1, when("n", 4)}}), "never is"));
    CHECK(has(error({{"n", randint(1, 4)}, {"m", 1, when_at_least("n", 4)}}), "never is"));
    CHECK(has(error({{"x", uniform(0, 1)}, {"m", 1, when("x", 0.5)}}), "continuous"));
    CHECK(has(error({{"a", choice({1}), when("b", 1)}, {"b", choice({1}), when("a", 1)}}), "depends on itself"));
    CHECK(has(error({{"f", sample_from([] { return 1; })}, {"m", 1, when("f", 1)}}), "sample_from"));
    CHECK(has(error({{"a", choice({1})}, forbid({{"b", 1}})}), "forbid(b = 1) names the parameter 'b'"));
    CHECK(has(error({{"a", choice({1})}, forbid({{"a", 3}})}), "never is"));
    CHECK(error({{"m", 1, when("t/o", 2)}, {"t", Space{{"o", choice({1, 2})}, {"p", 1, when("m", 1) && when("o", 2.0)}}}}).empty());
  }

  TEST_CASE("a forbidden combination without a clause, which would forbid everything, is refused") {
    Space added{{"a", choice({1, 2})}};
    added.add(forbid({}));
    for (const Space& space : {added, Space{{"a", choice({1, 2})}, forbid({})}})
      CHECK(has(error_of([&] { space.check(); }), "a forbid without a clause forbids everything"));
    CHECK(has(error_of([] { Space{{"m", Space{{"a", 1}, forbid({})}}}.check(); }), "a forbid in 'm' without a clause"));
  }

  TEST_CASE("names that cannot be paths are refused") {
    CHECK(has(error_of([] { Space{{"a", 1}, {"a", 2}}.check(); }), "'a' is there twice"));
    CHECK(has(error_of([] { Space{{"a/b", 1}}.check(); }), "'a/b' has a '/'"));
    CHECK(has(error_of([] { Space{{"", 1}}.check(); }), "no name"));
  }

  TEST_CASE("draws lie in their ranges and use all of them") {
    Random random(1);
    std::map<std::int64_t, int> seen;
    double smallest = 1, largest = 0;
    for (int i = 0; i < 2000; ++i) {
      ++seen[*randint(2, 5).sample(random, {}).as<std::int64_t>()];
      const double lr = *loguniform(1e-4, 1e-1).sample(random, {}).as<double>();
      smallest = std::min(smallest, lr), largest = std::max(largest, lr);
    }
    REQUIRE(seen.size() == 3);
    CHECK(seen.begin()->first == 2);
    for (auto [value, count] : seen) CHECK(std::abs(count - 667) < 120);
    CHECK(smallest >= 1e-4);
    CHECK(smallest < 1.1e-4);
    CHECK(largest < 1e-1);
    CHECK(largest > 0.9e-1);
  }

  TEST_CASE("randint covers the widest range there is") {
    Random random(3);
    const auto wide = randint(INT64_MIN, INT64_MAX);
    int negative = 0;
    for (int i = 0; i < 1000; ++i) negative += *wide.sample(random, {}).as<std::int64_t>() < 0;
    CHECK(negative > 400);
    CHECK(negative < 600);
  }

  TEST_CASE("the generator gives the published sequence of its algorithm") {
    Random random(0);  // xoshiro256++ on SplitMix64(0)
    CHECK(random() == 0x53175d61490b23dfULL);
    CHECK(random() == 0x61da6f3dc380d507ULL);
  }

  TEST_CASE("two spaces that differ have different descriptions") {
    CHECK(Space{{"a", uniform(0, 1)}}.describe() != Space{{"a", uniform(0, 1.0000000001)}}.describe());
    CHECK(Space{{"a", choice({1, 2})}}.describe() != Space{{"a", grid_search({1, 2})}}.describe());
    CHECK(Space{{"a", 1}}.describe() != Space{{"a", 1.0}}.describe());
    CHECK(Space{{"a", 1}, {"b", 1, when("a", 1)}}.describe() != Space{{"a", 1}, {"b", 1}}.describe());
    CHECK(Space{{"a", 1}, forbid({{"a", 1}})}.describe() != Space{{"a", 1}}.describe());
    CHECK(Space{{"a", choice({1})}}.describe() != Space{{"a", ordinal({1})}}.describe());
    CHECK(Space{{"a", choice({1})}}.describe() != Space{{"a", choice({"1"})}}.describe());
    CHECK(Space{{"a", choice({1})}}.describe() != Space{{"a", choice({1.0})}}.describe());
    CHECK(Space{{"a", choice({"x,y"})}}.describe() != Space{{"a", choice({"x", "y"})}}.describe());
    CHECK(Space{{"a", choice({"x", "y"})}}.describe() != Space{{"a", choice({"x\",\"y"})}}.describe());
    CHECK(Space{{"a", choice({"x\\", "y"})}}.describe() != Space{{"a", choice({"x\\\",\"y"})}}.describe());
    const auto in_table = [](Value value) { return Space{{"a", choice({Value(Value::Dict{{"b", std::move(value)}})})}}.describe(); };
    CHECK(in_table(1) != in_table(1.0));
    CHECK(in_table(1) != in_table("1"));
    CHECK(in_table(true) != in_table("true"));
    CHECK(in_table("x,c=y") != Space{{"a", choice({Value(Value::Dict{{"b", "x"}, {"c", "y"}})})}}.describe());
    CHECK(in_table(Value::List{"x,y"}) != in_table(Value::List{"x", "y"}));
    CHECK(Space{{"a", quniform(0, 1, 0.5)}}.describe() == "{a: quniform(0, 1, 0.5)}");
    CHECK(Space{{"a", true}}.describe() != Space{{"a", "true"}}.describe());
  }

  TEST_CASE("the description of an ordinary space stays as it is: an experiment is resumed by it") {
    CHECK(Space{{"a", choice({"x,y", "it's"})}}.describe() == "{a: choice([\"x,y\",\"it's\"])}");
    const Value table(Value::Dict{{"kind", "adam-w"}, {"lr", 0.1}, {"sizes", Value::List{1, 2}}, {"parts", Value::List{"x", "y"}}});
    CHECK(Space{{"a", choice({table, 1.0})}}.describe() == "{a: choice([{kind=adam-w,lr=0.10000000000000001,sizes=[1,2],parts=[x,y]},1.0])}");
  }

  TEST_CASE("a range so wide that no double is its width is refused") {
    CHECK(has(refusal(uniform(-1e308, 1e308)), "no finite number"));
    CHECK(refusal(uniform(-8e307, 8e307)).empty());
  }

  TEST_CASE("a condition that never holds is refused at an exclusive bound and where two clauses exclude each other") {
    const auto condition = [](Domain domain, Condition one) {
      return error_of([&] { Space{{"a", domain}, {"b", 1, one}}.check(); });
    };
    CHECK(has(condition(uniform(0, 1), when_at_least("a", 1)), "never is"));
    CHECK(condition(uniform(0, 1), when_at_least("a", 0.99)).empty());
    CHECK(condition(quniform(0, 1, 0.5), when_at_least("a", 1)).empty());
    CHECK(has(condition(choice({1, 2}), when("a", 1) && when("a", 2)), "never are together"));
    CHECK(has(condition(randint(0, 9), when("a", {1, 2}) && when_at_least("a", 3)), "never are together"));
    CHECK(condition(randint(0, 9), when("a", {1, 2}) && when_at_least("a", 2)).empty());
    CHECK(condition(randint(0, 9), when("a", {1, 2}) && when("a", {2, 3})).empty());
    const Space nested{{"a", choice({1, 2})}, {"t", Space{{"b", 1, when("a", 2)}}, when("a", 1)}};  // and so is what stands in a table
    CHECK(has(error_of([&] { nested.check(); }), "'t/b'"));
  }

  TEST_CASE("an integer beyond 63 bits is no value, and none becomes another") {
    CHECK(has(error_of([] { (void)choice({~std::uint64_t{0}}); }), "18446744073709551615 does not fit"));
    CHECK(*Value(std::uint64_t{INT64_MAX}).as<std::int64_t>() == INT64_MAX);
  }
}
