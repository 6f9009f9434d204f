#include "tune/space_json.hpp"

#include <doctest/doctest.h>

#include <cmath>

#include "runtime/errors.hpp"
#include "support.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;

TEST_SUITE("tune/space_json") {
  TEST_CASE("a space of everything is the same after a round trip") {
    Space space{{"a", uniform(0, 1)},
                {"b", loguniform(1e-5, 0.1)},
                {"c", quniform(0, 1, 0.1)},
                {"d", qloguniform(0.5, 8, 0.5)},
                {"e", randint(INT64_MIN, INT64_MAX)},
                {"f", lograndint(1, 100)},
                {"g", qrandint(-10, 10, 5)},
                {"wide", qrandint(0, INT64_MAX, INT64_MAX)},
                {"h", qlograndint(8, 64, 8)},
                {"i", randn(0, 2)},
                {"j", qrandn(1, 2, 0.25)},
                {"optimizer", choice({"sgd", "adam", Value(Value::List{1, 2.0})})},
                {"width", ordinal({16, 32}), when("optimizer", {"sgd", "adam"}) && when_at_least("f", 3)},
                {"twice", 1, when("width", 16) && when_at_least("width", 16)},
                {"grid", grid_search({true, false})},
                {"tables", choice({Value(Value::Dict{{"uniform", 1}}), Value(Value::Dict{{"size", Value::List{1}}})})},
                {"nothing", Value()},
                {"text", "x\"y\n"},
                {"nan", std::nan("")},
                {"two", 2.0},
                {"table", Value(Value::Dict{{"uniform", 1}})},
                {"nested", Space{{"uniform", 3}}},
                {"empty", Space{}},
                {"near", Space{{"uniform", 3}, {"x", 1}}},
                {"beside", Space{{"x", 1}, {"when", 2}}},
                {"drawn", Space{{"sample_from", "x"}}},
                {"items", list({Space{{"when", 1}}, Space{{"choice", 1}, {"forbid", Space{{"optimizer", "adam"}}}}})},
                {"deep", Space{{"k", choice({1, 3})}, {"l", list({1, randint(0, 3), Space{{"m", uniform(0, 1)}}})}, forbid({{"k", 3}})},
                 when("optimizer", "sgd")},
                {"list", std::vector<int>{1, 2}},
                forbid({{"optimizer", "adam"}, {"f", {1, 2}}})};
    space.check();
    for (const int indent : {-1, 2}) {
      const std::string text = space_to_json(space, indent);
      CAPTURE(text);
      const Space again = space_from_json(text);
      CHECK(again.describe() == space.describe());
      CHECK(space_to_json(again, indent) == text);
    }
  }

  TEST_CASE("what a person writes is read: Ray's grids, single values in conditions, lists of domains") {
    const Space space = space_from_json(R"({
      "lr": {"loguniform": [1e-4, 0.1]}, "optimizer": {"grid_search": ["sgd", "adam"]},
      "momentum": {"uniform": [0, 1], "when": {"optimizer": "sgd"}},
      "layers": {"randint": [1, 4]}, "width2": {"randint": [8, 65], "when": {"layers": {"at_least": 2}}},
      "model": {"bias": true, "kernels": [{"ordinal": [3, 5]}, 1]}, "sizes": [1, 2, [3]],
      "forbid": [{"optimizer": "adam", "layers": [3]}]})");
    const Space wanted{{"lr", loguniform(1e-4, 0.1)},
                       {"optimizer", grid_search({"sgd", "adam"})},
                       {"momentum", uniform(0, 1), when("optimizer", "sgd")},
                       {"layers", randint(1, 4)},
                       {"width2", randint(8, 65), when_at_least("layers", 2)},
                       {"model", Space{{"bias", true}, {"kernels", list({ordinal({3, 5}), 1})}}},
                       {"sizes", Value(Value::List{1, 2, Value(Value::List{3})})},
                       forbid({{"optimizer", "adam"}, {"layers", 3}})};
    CHECK(space.describe() == wanted.describe());
  }

  TEST_CASE("a grid inside a grid's options stands for each of its values, as in Ray") {
    const auto values = [](const char* options) {
      return space_from_json("{\"x\": {\"grid_search\": " + std::string(options) + "}}").parameters().front().domain.describe();
    };
    CHECK(values(R"([{"a": {"grid_search": [1, 2]}}, 3])") ==
          grid_search({Value(Value::Dict{{"a", 1}}), Value(Value::Dict{{"a", 2}}), 3}).describe());
    CHECK(values(R"([{"grid_search": [1, {"grid_search": [2, 3]}]}, 4])") == grid_search({1, 2, 3, 4}).describe());
    CHECK(values(R"([{"a": {"grid_search": [1, 2]}, "b": 0, "c": [5, {"grid_search": [6, 7]}]}])") ==
          grid_search({Value(Value::Dict{{"a", 1}, {"b", 0}, {"c", Value::List{5, 6}}}), Value(Value::Dict{{"a", 2}, {"b", 0}, {"c", Value::List{5, 6}}}),
                       Value(Value::Dict{{"a", 1}, {"b", 0}, {"c", Value::List{5, 7}}}), Value(Value::Dict{{"a", 2}, {"b", 0}, {"c", Value::List{5, 7}}})})
              .describe());
    const auto error = [](const char* text) { return error_of([&] { space_from_json(text); }); };
    CHECK(has(error(R"({"x": {"grid_search": [{"lr": {"uniform": [0, 1]}}, 3]}})"), "condition"));
    CHECK(has(error(R"({"x": {"choice": [{"lr": {"grid_search": [0, 1]}}, 3]}})"), "Make it a grid_search too"));
    std::string crossed;  // Behaviour: a text of a few hundred bytes took all memory.
    for (int i = 0; i < 40; ++i) crossed += R"({"grid_search": [1, 2]}, )";
    CHECK(has(error((R"({"x": {"grid_search": [[)" + crossed + "0]]}}").c_str()), "more than 10000 combinations"));
    CHECK(has(error((R"({"x": {"grid_search": [[)" + crossed + R"({"grid_search": []}]]}})").c_str()), "more than 10000 combinations"));
  }

  TEST_CASE("a function cannot be written, and says whose it is") {
    const Space space{{"m", Space{{"f", sample_from([] { return 1; })}}}};
    CHECK(has(error_of([&] { space_to_json(space); }), "'m/f' is a sample_from function"));
  }

  TEST_CASE("what is wrong is refused with the parameter's name") {
    const auto error = [](const char* text) { return error_of([&] { space_from_json(text); }); };
    CHECK(has(error("{"), "no JSON"));
    CHECK(has(error("[1]"), "an object of names is due"));
    CHECK(has(error(R"({"m": {"x": {"uniform": [0]}}})"), "'m/x' is {\"uniform\": [0]}, but uniform takes 2 numbers"));
    CHECK(has(error(R"({"x": {"randint": [0, 1.5]}})"), "2 integers"));
    CHECK(has(error(R"({"x": {"qrandn": [0, 1]}})"), "3 numbers"));
    CHECK(has(error(R"({"x": {"choice": "a"}})"), "takes a list"));
    CHECK(has(error(R"({"x": {"uniform": [2, 1]}})"), "'x' has an empty range"));
    CHECK(has(error(R"({"x": {"uniform": [0, 1], "when": 3}})"), "condition"));
    CHECK(has(error(R"({"x": {"uniform": [0, 1], "when": {"y": 3}}})"), "'y'"));
    CHECK(has(error(R"({"x": 18446744073709551615})"), "64 bits"));
    CHECK(has(error(R"({"x": {"randint": [-5, 18446744073709551615]}})"), "'x' is {\"randint\": [-5,18446744073709551615]}, of which 18446744073709551615 does not fit"));
    CHECK(has(error(R"({"m": {"x": 1, "x": 2}})"), "the name 'x' twice"));
    CHECK(has(error(R"({"a": 1, "forbid": [{}]})"), "without a clause"));
    std::string deep;
    for (int i = 0; i < 50'000; ++i) deep += R"({"m": )";
    deep += "1" + std::string(50'000, '}');
    CHECK(has(error(deep.c_str()), "nested more than 100 deep"));
  }

  TEST_CASE("what nearly is a domain, a condition or a list of forbidden combinations is refused, and told how to be a table") {
    const auto error = [](const char* text) { return error_of([&] { space_from_json(text); }); };
    CHECK(has(error(R"({"b": 1, "a": {"x": 1, "when": {"b": 1}}})"), R"('a' is {"x":1,"when":{"b":1}}, of which "when" is a condition)"));
    CHECK(has(error(R"({"m": {"a": {"uniform": [0, 1], "x": 1}}})"), R"(parameter 'm/a' is {"uniform":[0,1],"x":1}, of which "uniform")"));
    CHECK(has(error(R"({"a": {"uniform": [0, 1], "randint": [0, 1]}})"), "A table with that name is {\"space\": {...}}"));
    CHECK(has(error(R"({"a": {"sample_from": "x"}})"), "is a function"));
    CHECK(has(error(R"({"a": [{"sample_from": "x"}]})"), "'a/0'"));
    CHECK(has(error(R"({"b": 1, "a": [{"uniform": [0, 1], "when": {"b": 1}}]})"), "'a/0' is an item of a list"));
    for (const char* forbid : {R"({"a": 1, "forbid": {"a": 1}})", R"({"a": 1, "forbid": true})", R"({"m": {"a": 1, "forbid": {"a": 1}}})"})
      CHECK(has(error(forbid), "kept for a list"));
    CHECK(space_from_json(R"({"a": {"unifrom": [0, 1]}, "m": {"space": {"when": 1, "uniform": 2}}, "forbid": {"uniform": [0, 1]}})").parameters().size() == 3);
  }

  TEST_CASE("a text that is not UTF-8 comes back, and as a name it is refused") {
    const Space space{{"c", choice({"\xff\xfe", "b"})}, {"k", "caf\xe9"}, {"g", grid_search({"\xff", "x"})}, {"x", uniform(0, 1), when("c", "\xff\xfe")}};
    CHECK(space_from_json(space_to_json(space)).describe() == space.describe());
    CHECK_THROWS_AS(space_to_json({{"\xff", choice({1, 2})}}), InvalidArgument);
  }
}
