#include "tune/config.hpp"

#include <doctest/doctest.h>

#include "runtime/errors.hpp"
#include "support.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;

TEST_SUITE("tune/config") {
  TEST_CASE("a wrong name says what there is") {
    Config config;
    config.set("lr", 0.01);
    config.set("l1", 64);
    CHECK_THROWS_AS((void)config.get<double>("learning_rate"), NotFound);
    const std::string text = error_of([&] { (void)config.get<double>("learning_rate"); });
    CHECK(has(text, "learning_rate"));
    CHECK(has(text, "lr = 0.01 (double), l1 = 64 (int)"));
    CHECK(has(error_of([] { (void)Config().get<int>("x"); }), "nothing"));
  }

  TEST_CASE("a wrong type says which it is") {
    Config config;
    config.set("lr", 0.01);
    config.set("name", "sgd");
    config.set("n", 3);
    CHECK_THROWS_AS((void)config.get<int>("lr"), InvalidArgument);
    CHECK(has(error_of([&] { (void)config.get<int>("lr"); }), "'lr' is of type double (0.01), not int"));
    CHECK(has(error_of([&] { (void)config.get<double>("name"); }), "string (sgd), not double"));
    CHECK(has(error_of([&] { (void)config.get<bool>("n"); }), "int (3), not bool"));
    CHECK(has(error_of([&] { (void)config.get<std::vector<int>>("n"); }), "not list"));
    CHECK(config.get<double>("n") == 3.0);
    config.set("layers", Value::List{Value("a"), Value(1)});
    config.set("grid", Value::List{Value(Value::List{Value("a")}), Value(Value::List{Value(1)})});
    CHECK(has(error_of([&] { (void)config.get<std::vector<std::string>>("layers"); }), "'layers/1' is of type int (1), not string"));
    CHECK(has(error_of([&] { (void)config.get<std::vector<std::vector<std::string>>>("grid"); }), "'grid/1/0' is of type int (1)"));
  }

  TEST_CASE("an integer that does not fit is refused, not cut") {
    Config config;
    config.set("n", 300);
    config.set("negative", -1);
    CHECK(has(error_of([&] { (void)config.get<std::uint8_t>("n"); }), "does not fit into 8 bits"));
    CHECK_THROWS_AS((void)config.get<unsigned>("negative"), InvalidArgument);
    CHECK(config.get<std::int16_t>("n") == 300);
  }

  TEST_CASE("paths reach nested tables, and a table is a Config") {
    Config config;
    config.set("model/width", 8);
    config.set("model/layers", std::vector<int>{1, 2});
    CHECK(config.get<int>("model/width") == 8);
    CHECK(config.get<Config>("model").get<std::vector<int>>("layers") == std::vector<int>{1, 2});
    CHECK_FALSE(config.contains("model/depth"));
    CHECK_FALSE(config.contains("model/width/x"));
    CHECK(config.flat().size() == 2);
    CHECK(config.flat()[0].first == "model/width");
  }

  TEST_CASE("get_or falls back on absence, never on a wrong type") {
    Config config;
    config.set("n", "text");
    CHECK(config.get_or<int>("m", 7) == 7);
    CHECK_THROWS_AS(config.get_or<int>("n", 7), InvalidArgument);
  }

  TEST_CASE("an item that a list does not have is refused, and the list stays") {
    Config config{{"layers", std::vector<int>{8, 16}}};
    CHECK(has(error_of([&] { config.set("layers/2", 32); }), "a list of 2 items"));
    CHECK(has(error_of([&] { config.set("layers/first", 32); }), "'first'"));
    CHECK(config.get<std::vector<int>>("layers") == std::vector<int>{8, 16});
    config.set("layers/1", 32);
    CHECK(config.get<int>("layers/1") == 32);
  }
}
