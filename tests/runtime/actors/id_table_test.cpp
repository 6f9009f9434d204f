#include "runtime/actors/id_table.hpp"

#include <doctest/doctest.h>

#include <map>
#include <random>

#include "runtime/base/ids.hpp"

namespace manta::detail {

TEST_SUITE("runtime/actors/id_table") {
  TEST_CASE("it holds what a map holds, whatever comes and goes") {
    std::mt19937 random(7);
    IdTable<TaskId, int> table;
    std::map<std::uint64_t, int> model;
    std::uint64_t next = (std::uint64_t{3} << 40) + 1;
    for (int step = 0; step < 19000; ++step) {
      const auto what = random() % 3;
      if (what < 2 && (step / 2000) % 2 == 0) {
        table.emplace(TaskId{next}, std::make_shared<int>(step));
        model.emplace(next++, step);
      } else if (what == 2) {
        REQUIRE(table.erase(TaskId{next + 5}) == 0);
      } else if (!model.empty()) {
        auto victim = std::next(model.begin(), static_cast<std::ptrdiff_t>(random() % std::min<std::size_t>(model.size(), 100)));
        const auto found = table.find(TaskId{victim->first});
        REQUIRE(found != table.end());
        REQUIRE(*found->second == victim->second);
        if (random() % 2)
          table.erase(found);
        else
          REQUIRE(table.erase(TaskId{victim->first}) == 1);
        REQUIRE_FALSE(table.contains(TaskId{victim->first}));
        model.erase(victim);
      }
      REQUIRE(table.size() == model.size());
    }
    REQUIRE_FALSE(model.empty());
    std::map<std::uint64_t, int> seen;
    for (const auto& [id, value] : table) seen.emplace(id.value, *value);
    CHECK(seen == model);
  }

  TEST_CASE("an id that is there keeps its value, and an erased value is let go at once") {
    IdTable<TaskId, int> table;
    const auto value = std::make_shared<int>(1);
    table.emplace(TaskId{64}, value);
    table.emplace(TaskId{64}, std::make_shared<int>(2));
    CHECK(table.size() == 1);
    CHECK(*table.find(TaskId{64})->second == 1);
    table.erase(TaskId{64});
    CHECK(value.use_count() == 1);
    CHECK(table.empty());
    CHECK(table.begin() == table.end());
  }
}

}  // namespace manta::detail
