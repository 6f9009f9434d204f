#include "tune/searchers/pareto.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "runtime/errors.hpp"
#include "tune/random.hpp"

using namespace manta::tune;

namespace {

std::vector<Losses> random_points(std::size_t count, std::size_t objectives, std::uint64_t seed) {
  Random random(seed);
  std::vector<Losses> points(count, Losses(objectives));
  for (Losses& point : points)
    for (double& loss : point) loss = std::floor(10 * random.uniform()) / 10;  // with ties
  return points;
}

/// The share of a fine grid of cells that some point dominates: exact, since every loss is a tenth.
double counted_volume(const std::vector<Losses>& points, std::size_t objectives) {
  std::size_t cells = 1, dominated = 0;
  for (std::size_t k = 0; k < objectives; ++k) cells *= 10;
  for (std::size_t cell = 0; cell < cells; ++cell) {
    bool found = false;
    for (const Losses& point : points) {
      std::size_t rest = cell;
      bool below = true;
      for (std::size_t k = 0; k < objectives; ++k, rest /= 10) below &= point[k] <= static_cast<double>(rest % 10) / 10 + 1e-9;
      found |= below;
    }
    dominated += found;
  }
  return static_cast<double>(dominated) / static_cast<double>(cells);
}

}  // namespace

TEST_SUITE("tune/searchers") {
  TEST_CASE("a point dominates where it is nowhere larger and somewhere smaller; NaN never does") {
    CHECK(dominates({1, 2}, {1, 3}));
    CHECK_FALSE(dominates({1, 2}, {1, 2}));
    CHECK_FALSE(dominates({1, 4}, {2, 3}));
    CHECK(dominates({1, 1}, {NAN, 0}));
    CHECK_FALSE(dominates({NAN, 0}, {1, 1}));
    CHECK(dominates({-INFINITY, 1}, {0, 1}));
  }

  TEST_CASE("the front is what none dominates, by definition, with equal points and NaN among them") {
    for (std::uint64_t seed = 0; seed < 20; ++seed)
      for (std::size_t objectives : {1, 2, 3, 4}) {
        auto points = random_points(30, objectives, seed);
        points[7][0] = NAN;
        std::vector<std::size_t> expected;
        for (std::size_t i = 0; i < points.size(); ++i) {
          bool free = true;
          for (const Losses& other : points) free &= !dominates(other, points[i]);
          if (free) expected.push_back(i);
        }
        REQUIRE(pareto_front(points) == expected);
        const auto ranks = nondominated_ranks(points);
        for (std::size_t i = 0; i < points.size(); ++i)
          for (std::size_t j = 0; j < points.size(); ++j)
            if (dominates(points[i], points[j])) REQUIRE(ranks[i] < ranks[j]);
      }
    CHECK(pareto_front({}).empty());
    CHECK(pareto_front({{NAN}, {NAN}}) == std::vector<std::size_t>{0, 1});
    std::vector<Losses> traded;  // by the definition these would be five billion comparisons
    for (int i = 0; i < 100'000; ++i) traded.push_back({static_cast<double>(i), static_cast<double>(-i)});
    CHECK(pareto_front(traded).size() == traded.size());
  }

  TEST_CASE("crowding distances are the paper's: infinite at the ends, else the neighbours' distance in ranges") {
    const auto d = crowding_distances({{0, 10}, {1, 6}, {2, 5}, {10, 0}});
    CHECK(std::isinf(d[0]));
    CHECK(d[1] == doctest::Approx(.2 + .5));
    CHECK(d[2] == doctest::Approx(.9 + .6));
    CHECK(std::isinf(d[3]));
    CHECK(crowding_distances({{1, 1}, {1, 1}}) == std::vector<double>{0, 0});
    for (double distance : crowding_distances({{0, INFINITY}, {1, NAN}, {2, INFINITY}, {3, 0}})) CHECK_FALSE(std::isnan(distance));
  }

  TEST_CASE("the hypervolume is the counted one for two, three, four and five objectives") {
    for (std::size_t objectives : {1, 2, 3, 4, 5})
      for (std::uint64_t seed = 0; seed < 4; ++seed) {
        const auto points = random_points(12, objectives, 100 + seed);
        CAPTURE(objectives);
        CHECK(hypervolume(points, Losses(objectives, 1.0)) == doctest::Approx(counted_volume(points, objectives)).epsilon(1e-9));
      }
    CHECK(hypervolume({{1, 2}, {2, 1}}, {3, 3}) == doctest::Approx(3));
    CHECK(hypervolume({{4, 0}, {NAN, 0}, {3, 0}}, {3, 3}) == 0);
    CHECK(hypervolume({}, {1, 1}) == 0);
    CHECK(std::isinf(hypervolume({{-INFINITY, 0}}, {1, 1})));
  }

  TEST_CASE("points of unequal length are refused") {
    // Behaviour: they were read past their end.
    CHECK_THROWS_AS(hypervolume({{1, 2, 3}}, {5, 5}), manta::InvalidArgument);
    CHECK_THROWS_AS(hypervolume({{1}}, {5, 5}), manta::InvalidArgument);
    CHECK_THROWS_AS(hypervolume({{1, 2}}, {}), manta::InvalidArgument);
    CHECK_THROWS_AS(pareto_front({{1, 2}, {1}}), manta::InvalidArgument);
    CHECK_THROWS_AS(nondominated_ranks({{1}, {1, 2}}), manta::InvalidArgument);
    CHECK_THROWS_AS(crowding_distances({{1, 2}, {1}}), manta::InvalidArgument);
    CHECK_THROWS_AS(dominates({1, 2}, {1}), manta::InvalidArgument);
  }

  TEST_CASE("a front of a hundred points in three dimensions takes no time") {
    Random random(3);
    std::vector<Losses> points;
    for (int i = 0; i < 100; ++i) {
      const double a = random.uniform(), b = random.uniform();
      points.push_back({a, b, 2 - a - b});
    }
    const double volume = hypervolume(points, {1, 1, 2});
    CHECK(volume > 0.5);
    CHECK(volume < 2);
  }
}
