#include "runtime/core/spare_table.hpp"

#include <doctest/doctest.h>

namespace manta::core {
namespace {

const SpareTable::Kind kPlain{.environment = {{"OMP_NUM_THREADS", "1"}}, .cpus = Amount(1)};
const SpareTable::Kind kWide{.environment = {{"OMP_NUM_THREADS", "4"}}, .cpus = Amount(4)};

/// Two actors, one of which has just taken the place of another.
void follow(SpareTable& table, std::int64_t now_ms) {
  table.begin(kPlain, now_ms);
  table.begin(kPlain, now_ms);
  table.end(kPlain, now_ms + 10);
  table.begin(kPlain, now_ms + 20);
}

/// A spare for each that is to be made, ready.
std::vector<ProcessId> make(SpareTable& table, const SpareTable::Look& look, ProcessId first) {
  std::vector<ProcessId> made;
  for (const auto& kind : look.make) {
    table.launching(kind, first);
    table.ready(first);
    made.push_back(first++);
  }
  return made;
}

}  // namespace

TEST_SUITE("runtime/core/spare_table") {
  TEST_CASE("no spare is made for actors that only begin, nor when the next one comes much later") {
    SpareTable table(4);
    for (int i = 0; i < 8; ++i) CHECK_FALSE(table.begin(kPlain, i));
    CHECK(table.look(100).make.empty());
    table.end(kPlain, 1000);
    table.begin(kPlain, 1000 + SpareTable::kSoonMs + 1);
    CHECK(table.look(2100).make.empty());
  }

  TEST_CASE("an actor that begins just before the former one has left follows it, one that began long before does not") {
    SpareTable table(4);
    table.begin(kPlain, 0);
    table.begin(kPlain, 5000);
    table.end(kPlain, 5000 + SpareTable::kHandoverMs + 1);
    CHECK(table.look(5400).make.empty());
    table.begin(kPlain, 9000);
    CHECK(table.look(9100).make.empty());
    table.end(kPlain, 9000 + SpareTable::kHandoverMs);
    CHECK(table.look(9400).make.size() == 1);
  }

  TEST_CASE("actors that follow each other have as many spares as there are of them, up to the limit") {
    SpareTable two(4), one(1);
    follow(two, 0);
    follow(one, 0);
    CHECK(two.look(100).make.size() == 2);
    CHECK(one.look(100).make.size() == 1);
  }

  TEST_CASE("a spare is taken once, when it is ready, by an actor of its kind, and then another one is made") {
    SpareTable table(1);
    follow(table, 0);
    const auto look = table.look(100);
    REQUIRE(look.make == std::vector{kPlain});
    table.launching(kPlain, 7);
    CHECK(table.look(150).make.empty());
    CHECK_FALSE(table.begin(kPlain, 160));
    table.ready(7);
    CHECK_FALSE(table.begin(kWide, 170));
    CHECK(table.begin(kPlain, 180) == ProcessId{7});
    CHECK_FALSE(table.begin(kPlain, 190));
    CHECK(table.look(200).make == std::vector{kPlain});
  }

  TEST_CASE("a spare that has ended is not given, and is made again") {
    SpareTable table(1);
    follow(table, 0);
    make(table, table.look(100), 7);
    table.gone(7);
    CHECK_FALSE(table.begin(kPlain, 150));
    CHECK(table.look(200).make.size() == 1);
  }

  TEST_CASE("after two spares in a row that died none are made until actors follow each other again") {
    SpareTable table(1);
    follow(table, 0);
    make(table, table.look(100), 7);
    CHECK(table.gone(7));
    CHECK_FALSE(table.gone(7));
    make(table, table.look(200), 8);
    CHECK(table.gone(8));
    CHECK(table.look(300).make.empty());
    table.end(kPlain, 400);
    table.begin(kPlain, 420);
    CHECK(table.look(500).make.size() == 1);
  }

  TEST_CASE("none is made while memory is short, and those beyond the actors that live end when that lasts") {
    SpareTable table(4);
    follow(table, 0);
    CHECK(table.look(100, true).make.empty());
    make(table, table.look(100), 7);
    table.end(kPlain, 200);
    CHECK(table.look(300).drop.empty());  // the next may be on its way
    CHECK(table.look(1300).drop.size() == 1);
    CHECK(table.look(1400).drop.empty());
  }

  TEST_CASE("spares outlive the gap between two actors, and not the last one for long") {
    SpareTable table(1);
    table.begin(kPlain, 0);
    table.end(kPlain, 10);
    table.begin(kPlain, 20);
    make(table, table.look(100), 7);
    table.end(kPlain, 500);
    CHECK(table.look(600).drop.empty());
    const auto late = table.look(500 + SpareTable::kSoonMs + 1);
    CHECK(late.drop == std::vector<ProcessId>{7});
    CHECK(late.make.empty());
    CHECK_FALSE(table.begin(kPlain, 1600));
    table.end(kPlain, 1700);
    CHECK_FALSE(table.look(3000).again);
  }

  TEST_CASE("beside actors that run for long a spare does not stay") {
    SpareTable table(4);
    follow(table, 0);
    make(table, table.look(100), 7);
    CHECK(table.look(SpareTable::kUnusedMs).drop.empty());
    const auto late = table.look(SpareTable::kUnusedMs + 21);
    CHECK(late.drop == std::vector<ProcessId>{7, 8});
    CHECK_FALSE(late.again);
    CHECK(table.look(SpareTable::kUnusedMs + 1000).make.empty());
  }

  TEST_CASE("where memory runs short all spares go, until actors follow each other again") {
    SpareTable table(4);
    follow(table, 0);
    make(table, table.look(100), 7);
    CHECK(table.drop_all() == std::vector<ProcessId>{7, 8});
    CHECK(table.look(200).make.empty());
    table.end(kPlain, 210);
    table.begin(kPlain, 220);
    CHECK(table.look(300).make.size() == 2);
  }

  TEST_CASE("with a limit of none there are none") {
    SpareTable table(0);
    follow(table, 0);
    CHECK(table.look(100).make.empty());
    CHECK_FALSE(table.look(100).again);
  }
}

}  // namespace manta::core
