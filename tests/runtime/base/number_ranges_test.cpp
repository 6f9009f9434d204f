#include "runtime/base/number_ranges.hpp"

#include <doctest/doctest.h>

#include <random>
#include <set>

namespace manta {

TEST_SUITE("runtime/base") {
  TEST_CASE("numbers in a row are one range, in whatever order they come") {
    NumberRanges numbers;
    for (const std::uint64_t each : {5, 3, 4, 1, 2}) CHECK(numbers.insert(each));
    CHECK(numbers.ranges() == 1);
    for (std::uint64_t each = 1; each <= 5; ++each) {
      CHECK(numbers.contains(each));
      CHECK_FALSE(numbers.insert(each));
    }
    CHECK_FALSE(numbers.contains(0));
    CHECK_FALSE(numbers.contains(6));
    CHECK(numbers.insert(0));
    CHECK(numbers.insert(~std::uint64_t{0}));
    CHECK(numbers.contains(~std::uint64_t{0}));
    CHECK(numbers.ranges() == 2);
  }

  TEST_CASE("it says of each number what a set says") {
    std::mt19937 random(3);
    NumberRanges ranges;
    std::set<std::uint64_t> set;
    for (int i = 0; i < 2000; ++i) {
      const std::uint64_t number = random() % 1500;
      CHECK(ranges.insert(number) == set.insert(number).second);
      const std::uint64_t other = random() % 1500;
      CHECK(ranges.contains(other) == set.contains(other));
    }
    std::size_t runs = 0;
    for (const auto each : set) runs += !set.contains(each - 1);
    CHECK(ranges.ranges() == runs);
  }
}

}  // namespace manta
