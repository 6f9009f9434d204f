#include "tune/searchers/surrogate_cma_es.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <functional>
#include <set>

#include "runtime/errors.hpp"
#include "search_support.hpp"
#include "tune/searchers/cmaes.hpp"

using namespace manta::tune;
using namespace manta::tune::testing;
using Eigen::MatrixXd;
using Eigen::VectorXd;

namespace {

using Kind = QuadraticModel::Kind;

double valley(const VectorXd& x) {
  const double along = x[0] + x[1] - 1.1, across = x[0] - x[1] - 0.2;
  return along * along + 1e3 * across * across + std::pow(x[2] - .6, 2);
}

/// The best of `trials` evaluations, `workers` of them at a time, which end in random order.
template <class Strategy>
double best_of(Strategy& cma, const std::function<double(const VectorXd&)>& loss, int trials, std::size_t workers, std::uint64_t seed) {
  Random random(seed);
  std::deque<CmaEs::Draw> busy;
  double best = INFINITY;
  for (int i = 0; i < trials; ++i) {
    while (busy.size() < workers) busy.push_back(cma.ask(random));
    const auto which = static_cast<std::size_t>(random.randint(0, static_cast<std::int64_t>(workers)));
    const CmaEs::Draw draw = busy[which];
    busy.erase(busy.begin() + static_cast<std::ptrdiff_t>(which));
    REQUIRE((draw.x.minCoeff() >= 0 && draw.x.maxCoeff() <= 1));
    const double value = loss(draw.x);
    if (value < best) best = value;
    cma.tell(draw, value, random);
  }
  return best;
}

MatrixXd random_points(Eigen::Index dimensions, Eigen::Index count, Random& random) {
  MatrixXd points(dimensions, count);
  for (double& coordinate : points.reshaped()) coordinate = random.uniform() - 0.5;
  return points;
}

}  // namespace

TEST_SUITE("tune/searchers") {
  TEST_CASE("a full quadratic model finds the quadratic function that its points lie on, a lesser one what it can hold") {
    Random random(1);
    const MatrixXd points = random_points(3, 14, random);
    const auto turned = [](const VectorXd& x) { return 2 - x[0] + 3 * x[1] * x[1] - 2 * x[0] * x[2] + 0.5 * x[2] * x[2]; };
    VectorXd values(14);
    for (Eigen::Index i = 0; i < 14; ++i) values[i] = turned(points.col(i));
    const VectorXd weights = VectorXd::LinSpaced(14, 20, 1);
    const VectorXd elsewhere = VectorXd::LinSpaced(3, -2, 3);

    const QuadraticModel full = QuadraticModel::fit(Kind::kFull, points, values, weights);
    CHECK(full.value(elsewhere) == doctest::Approx(turned(elsewhere)));
    CHECK(full.curvature()(0, 2) == doctest::Approx(-2));
    CHECK(full.curvature()(2, 0) == doctest::Approx(-2));
    CHECK(full.gradient(elsewhere)[2] == doctest::Approx(-2 * elsewhere[0] + elsewhere[2]));

    for (Eigen::Index i = 0; i < 14; ++i) values[i] += 2 * points(0, i) * points(2, i);  // no product is left
    const QuadraticModel diagonal = QuadraticModel::fit(Kind::kDiagonal, points, values, weights);
    CHECK(diagonal.value(elsewhere) == doctest::Approx(turned(elsewhere) + 2 * elsewhere[0] * elsewhere[2]));
    CHECK(diagonal.curvature()(0, 1) == 0);

    const QuadraticModel linear = QuadraticModel::fit(Kind::kLinear, points, points.row(1).transpose() * 4, weights);
    CHECK(linear.value(elsewhere) == doctest::Approx(4 * elsewhere[1]));
    CHECK(linear.curvature().norm() == 0);
  }

  TEST_CASE("too few points, or all alike, give the model that needs the least slope") {
    MatrixXd points(2, 2);
    points << 0, 1,
              0, 0;
    const QuadraticModel two = QuadraticModel::fit(Kind::kLinear, points, VectorXd::LinSpaced(2, 5, 7), VectorXd::Ones(2));
    CHECK(two.value(points.col(0)) == doctest::Approx(5));
    CHECK(two.value(points.col(1)) == doctest::Approx(7));
    CHECK(two.gradient(points.col(0))[1] == doctest::Approx(0));  // nothing is known of it
    const QuadraticModel alike = QuadraticModel::fit(Kind::kFull, MatrixXd::Zero(2, 9), VectorXd::Constant(9, 3), VectorXd::Ones(9));
    CHECK(alike.value(VectorXd::Ones(2)) == doctest::Approx(3));
  }

  TEST_CASE("a quadratic valley takes CMA-ES with a model less than a third of the trials that it takes without") {
    double with = 0, without = 0;
    for (std::uint64_t seed = 1; seed <= 8; ++seed) {
      SurrogateCmaEs assisted(3);
      CmaEs plain(3);
      with += std::log(best_of(assisted, valley, 100, 1, seed)) / 8;
      without += std::log(best_of(plain, valley, 300, 1, seed)) / 8;
    }
    CHECK(with < without);
    CHECK(with < std::log(1e-8));
  }

  TEST_CASE("the model skips most of a generation where it fits, and next to nothing where it cannot") {
    SurrogateCmaEs fits(4);
    best_of(fits, [](const VectorXd& x) { return (x.array() - 0.4).square().sum(); }, 100, 1, 1);
    CHECK(fits.strategy().generation() > 40);  // two or three trials each, of eight points
    SurrogateCmaEs cannot(4);
    Random noise(5);
    best_of(cannot, [&](const VectorXd&) { return noise.uniform(); }, 400, 1, 1);
    CHECK(cannot.strategy().generation() < 1.25 * 400 / 8);
  }

  TEST_CASE("with more workers than a generation has points every result still counts, and the minimum is found") {
    for (const std::size_t workers : {4u, 12u, 40u}) {
      CAPTURE(workers);
      SurrogateCmaEs assisted(3);
      CmaEs plain(3);
      const double with = best_of(assisted, valley, 400, workers, 3), without = best_of(plain, valley, 400, workers, 3);
      CHECK(with < without);
    }
    // Nothing but noise: no generation ends before its time, and none needs more results than it has points.
    SurrogateCmaEs noisy(3);
    Random noise(7);
    best_of(noisy, [&](const VectorXd&) { return noise.uniform(); }, 700, 30, 3);
    CHECK(noisy.strategy().generation() >= 700 / noisy.strategy().population_size());
  }

  TEST_CASE("NaN and infinities, some or all, break neither the model nor the search") {
    int count = 0;
    double best = INFINITY;
    const auto broken = [&](const VectorXd& x) {
      ++count;
      if (count % 5 == 0) return double(NAN);
      if (count % 7 == 0) return double(INFINITY);
      best = std::min(best, valley(x));
      return valley(x);
    };
    SurrogateCmaEs cma(3);
    best_of(cma, broken, 400, 1, 4);
    CHECK(best < 1e-3);
    SurrogateCmaEs hopeless(2);
    Random random(4);
    for (int i = 0; i < 300; ++i) {
      const CmaEs::Draw draw = hopeless.ask(random);
      REQUIRE(draw.x.allFinite());
      hopeless.tell(draw, i % 2 ? NAN : -INFINITY, random);
    }
    SurrogateCmaEs vast(2);  // sums of squares would overflow
    CHECK(best_of(vast, [](const VectorXd& x) { return 1e300 * (x.array() - 0.4).square().sum(); }, 150, 1, 5) < 1e292);
  }

  TEST_CASE("what failed ranks last, also where the model ends the generation and thinks it the best") {
    const auto loss = [](const VectorXd& x) { return (x.array() - 0.6).square().sum(); };
    SurrogateCmaEs fails(3);
    Random random(9);
    const MatrixXd known = random_points(3, 19, random).array() + 0.5;
    for (Eigen::Index i = 0; i < known.cols(); ++i) fails.observe(known.col(i), loss(known.col(i)));
    const CmaEs::Draw best = fails.ask(random), second = fails.ask(random);
    SurrogateCmaEs works = fails;
    REQUIRE(loss(best.x) < loss(second.x));
    fails.tell(best, NAN, random);
    works.tell(best, loss(best.x), random);
    fails.tell(second, loss(second.x), random);
    works.tell(second, loss(second.x), random);
    REQUIRE(fails.strategy().generation() == 1);
    REQUIRE(works.strategy().generation() == 1);
    CHECK((fails.mean() - best.x).norm() > 1.2 * (works.mean() - best.x).norm());
  }

  TEST_CASE("after a restart the model knows nothing of the place before, and late draws from there do not count") {
    SurrogateCmaEs cma(2);
    Random random(6);
    const CmaEs::Draw early = cma.ask(random);
    best_of(cma, [](const VectorXd& x) { return (x.array() - 0.4).square().sum(); }, 500, 1, 6);
    REQUIRE(cma.strategy().restarts() > 0);
    const auto state = [&] {
      StateWriter out;
      cma.save(out);  // the archive too
      return out.text();
    };
    const std::string before = state();
    for (int i = 0; i < 100; ++i) cma.tell(early, 0, random);
    CHECK(state() == before);
  }

  TEST_CASE("saved in the middle of a generation, with points out, CMA-ES with a model goes on as if nothing had been") {
    SurrogateCmaEs cma(3);
    Random random(7);
    std::deque<CmaEs::Draw> out_there;
    for (int i = 0; i < 60; ++i) {
      out_there.push_back(cma.ask(random));
      if (out_there.size() < 5) continue;
      cma.tell(out_there.front(), valley(out_there.front().x), random);
      out_there.pop_front();
    }
    StateWriter out;
    cma.save(out);
    SurrogateCmaEs restored(3);
    StateReader in(out.text(), "cmaes");
    restored.restore(in);
    in.end();
    Random other = random;
    for (int i = 0; i < 60; ++i) {
      const CmaEs::Draw a = cma.ask(random), b = restored.ask(other);
      REQUIRE(a.x == b.x);
      out_there.push_back(a);
      const CmaEs::Draw ended = out_there.front();
      out_there.pop_front();
      cma.tell(ended, valley(ended.x), random);
      restored.tell(ended, valley(ended.x), other);
    }
    const std::string half = out.text().substr(0, out.text().size() / 2);
    StateReader damaged(half, "cmaes");
    CHECK_THROWS_AS(restored.restore(damaged), manta::StorageCorruption);
  }

  TEST_CASE("the model's minimum is not tried twice where all parameters count in steps") {
    const std::vector<double> cells{1.0 / 12, 1.0 / 12};
    SurrogateCmaEs cma(2, {}, cells);
    Random random(8);
    const auto cell = [](double unit) { return static_cast<int>(std::min(std::floor(unit * 12), 11.0)); };
    std::set<std::pair<int, int>> tried;
    const int trials = 60;
    for (int i = 0; i < trials; ++i) {
      const CmaEs::Draw draw = cma.ask(random);
      tried.emplace(cell(draw.x[0]), cell(draw.x[1]));
      cma.tell(draw, std::pow(cell(draw.x[0]) - 7, 2) + std::pow(cell(draw.x[1]) - 3, 2), random);
    }
    CHECK(tried.contains({7, 3}));
    CHECK(tried.size() > trials / 4);
  }

  TEST_CASE("a point on the upper border lies in the last cell, and one with options is known when as many trials had it as there are of them") {
    // After results that fall towards the upper border, where the model's minimum lies.
    const auto asks_for_border = [&](std::size_t variants, int times) {
      SurrogateCmaEs cma(1, {.sigma0 = 1}, {1.0 / 3}, variants);
      for (const double x : {0.1, 0.2, 0.4}) cma.observe(VectorXd{{x}}, 1 - x);
      for (int i = 0; i < times; ++i) cma.observe(VectorXd{{0.9}}, 0.1);  // of the same cell
      Random random(11);
      return cma.ask(random).x[0] == 1;
    };
    CHECK(asks_for_border(1, 0));
    CHECK_FALSE(asks_for_border(1, 1));
    CHECK(asks_for_border(3, 2));
    CHECK_FALSE(asks_for_border(3, 3));
  }

  TEST_CASE("cmaes tries the model's minimum with more than one of the options that go with it") {
    const auto trials_at_minimum = [](const Space& space) {
      int count = 0;
      for (std::uint64_t seed = 1; seed <= 10; ++seed) {
        const auto searcher = cmaes().make(context_of(space, seed));
        search(*searcher, [&](const Config& c) {
          const double loss = std::pow(c.get<double>("n") - 7, 2) + std::pow(c.get<double>("m") - 3, 2);
          count += loss == 0;
          return loss;
        }, 60);
      }
      return count;
    };
    const Space plain{{"n", randint(0, 12)}, {"m", randint(0, 12)}};
    Space with_options = plain;
    with_options.add("kind", choice({0, 1, 2, 3, 4, 5, 6, 7}));  // drawn last: the numbers would be the same ones
    CHECK(trials_at_minimum(with_options) > trials_at_minimum(plain) + 10);
  }

  TEST_CASE("cmaes without the model draws what CMA-ES draws, with it something else, and its description tells") {
    const auto plain = cmaes({.common = {.startup_trials = 0}, .surrogate = false}).make(context_of(square(), 5));
    const auto assisted = cmaes({.common = {.startup_trials = 0}}).make(context_of(square(), 5));
    CmaEs cma(2);
    bool differs = false;
    for (TrialIndex i = 0; i < 40; ++i) {
      Random random = Random::stream(5, i, "cmaes");
      const CmaEs::Draw draw = cma.ask(random);
      const Config config = plain->suggest(i).config, other = assisted->suggest(i).config;
      CHECK(config.get<double>("x") == doctest::Approx(20 * draw.x[0] - 10));
      CHECK(config.get<double>("y") == doctest::Approx(20 * draw.x[1] - 10));
      differs |= other.get<double>("x") != config.get<double>("x");
      cma.tell(draw, bowl(config), random);
      finish(*plain, i, bowl(config));
      finish(*assisted, i, bowl(other));
    }
    CHECK(differs);
    CHECK(cmaes().description != cmaes({.surrogate = false}).description);
  }

  TEST_CASE("cmaes learns from its random first trials, and finds a bowl's bottom in forty") {
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
      const auto searcher = cmaes({.common = {.startup_trials = 6}}).make(context_of(square(), seed));
      CHECK(search(*searcher, bowl, 40) < 1e-3);
    }
  }
}
