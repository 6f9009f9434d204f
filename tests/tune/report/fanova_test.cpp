#include "tune/report/fanova.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <numbers>

#include "tune/random.hpp"
#include "tune/report/regression_tree.hpp"

using namespace manta::tune;

namespace {

struct Sample {
  std::vector<FanovaColumn> columns;
  std::vector<double> targets;
};

/// `rows` random points of the unit cube; a column with levels gets whole numbers.
Sample sample(const std::vector<std::size_t>& levels, std::size_t rows, auto&& function) {
  Sample made;
  Random random(7);
  for (std::size_t count : levels) made.columns.push_back({count, {}});
  for (std::size_t row = 0; row < rows; ++row) {
    std::vector<double> point;
    for (FanovaColumn& column : made.columns) {
      point.push_back(column.levels ? std::floor(random.uniform() * static_cast<double>(column.levels)) : random.uniform());
      column.values.push_back(point.back());
    }
    made.targets.push_back(function(point));
  }
  return made;
}

double share(const std::vector<Importance>& list, std::size_t first, std::optional<std::size_t> second = {}) {
  for (const Importance& item : list)
    if (item.first == first && item.second == second) return item.share;
  return -1;
}

}  // namespace

TEST_SUITE("tune/report/fanova") {
  TEST_CASE("a sum's variance is shared out by the squares of its factors") {
    const Sample s = sample({0, 0, 0}, 600, [](auto& x) { return 3 * x[0] + 4 * x[1]; });  // 9 : 16 : 0 of 25
    const auto found = fanova(s.columns, s.targets);
    CHECK(share(found, 0) == doctest::Approx(0.36).epsilon(0.1));
    CHECK(share(found, 1) == doctest::Approx(0.64).epsilon(0.1));
    CHECK(share(found, 2) < 0.01);
    CHECK(share(found, 0, 1) < 0.02);
    CHECK(found.front().first == 1);
  }

  TEST_CASE("the Ishigami function has the importances that its integrals give") {
    // Sobol' indices of sin a + 7 sin² b + 0.1 c⁴ sin a: S1 = 0.3139, S2 = 0.4424, S3 = 0, S13 = 0.2437. Trees blur what is
    // symmetric, b's part, since no first split gains by it: scikit-learn's do so too.
    const Sample s = sample({0, 0, 0}, 1500, [](auto& x) {
      const auto angle = [](double u) { return std::numbers::pi * (2 * u - 1); };
      return std::sin(angle(x[0])) + 7 * std::pow(std::sin(angle(x[1])), 2) +
             0.1 * std::pow(angle(x[2]), 4) * std::sin(angle(x[0]));
    });
    const auto found = fanova(s.columns, s.targets, {.trees = 16});
    CHECK(std::abs(share(found, 0) - 0.3139) < 0.05);
    CHECK(std::abs(share(found, 1) - 0.4424) < 0.11);
    CHECK(share(found, 2) < 0.03);
    CHECK(std::abs(share(found, 0, 2) - 0.2437) < 0.06);
    CHECK(share(found, 0, 1) < 0.05);
  }

  TEST_CASE("categories count as numbers do, whatever their order, and an exclusive or is all interaction") {
    const double effect[] = {5, 0, 5, 0};
    const Sample one = sample({4, 0}, 400, [&](auto& x) { return effect[static_cast<int>(x[0])] + 0.01 * x[1]; });
    CHECK(share(fanova(one.columns, one.targets), 0) > 0.98);
    const Sample both = sample({2, 2}, 400, [](auto& x) { return x[0] == x[1] ? 1.0 : 0.0; });
    const auto found = fanova(both.columns, both.targets);
    CHECK(share(found, 0, 1) > 0.9);
    CHECK(share(found, 0) < 0.05);
  }

  TEST_CASE("targets that do not vary, one row and no rows give shares of nothing") {
    const Sample flat = sample({0, 3}, 50, [](auto&) { return 2.5; });
    CHECK(share(fanova(flat.columns, flat.targets), 0) == 0);
    const Sample single = sample({0}, 1, [](auto& x) { return x[0]; });
    CHECK(share(fanova(single.columns, single.targets), 0) == 0);
    CHECK(share(fanova({{0, {}}}, {}), 0) == 0);
  }

  TEST_CASE("a tree's leaves cover the space once and hold the mean of their rows") {
    const Sample s = sample({0, 64}, 300, [](auto& x) { return std::floor(4 * x[0]) + (x[1] < 32 ? 0 : 10); });
    std::vector<std::size_t> rows(300);
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = i;
    const auto leaves = grow_tree(s.columns, s.targets, rows, 64);
    for (std::size_t row = 0; row < rows.size(); ++row) {
      int inside = 0;
      for (const Leaf& leaf : leaves) {
        const double x = s.columns[0].values[row];
        if (x < leaf.sides[0].low || x >= leaf.sides[0].high) continue;
        if (!(leaf.sides[1].levels >> static_cast<int>(s.columns[1].values[row]) & 1)) continue;
        ++inside;
        CHECK(leaf.value == doctest::Approx(s.targets[row]));
      }
      CHECK(inside == 1);
    }
    CHECK(grow_tree(s.columns, s.targets, rows, 0).size() == 1);
  }
}
