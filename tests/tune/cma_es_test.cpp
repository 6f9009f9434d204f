#include "tune/searchers/cma_es.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <functional>

#include "runtime/errors.hpp"

using namespace manta::tune;
using Eigen::VectorXd;

namespace {

double sphere(const VectorXd& x) {
  double sum = 0;
  for (Eigen::Index k = 0; k < x.size(); ++k) sum += std::pow(x[k] - 0.3 - 0.1 * static_cast<double>(k), 2);
  return sum;
}

/// The best of `trials` evaluations, `workers` of them at a time, which end in random order.
double best_of(CmaEs& cma, const std::function<double(const VectorXd&)>& loss, int trials, std::size_t workers, std::uint64_t seed) {
  Random random(seed);
  std::deque<CmaEs::Draw> busy;
  double best = INFINITY;
  for (int i = 0; i < trials; ++i) {
    while (busy.size() < workers) busy.push_back(cma.ask(random));
    const auto which = static_cast<std::size_t>(random.randint(0, static_cast<std::int64_t>(workers)));
    const CmaEs::Draw draw = busy[which];
    busy.erase(busy.begin() + static_cast<std::ptrdiff_t>(which));
    REQUIRE((draw.x.minCoeff() >= 0 && draw.x.maxCoeff() <= 1));
    best = std::min(best, loss(draw.x));
    cma.tell(draw, loss(draw.x), random);
  }
  return best;
}

}  // namespace

TEST_SUITE("tune/searchers") {
  TEST_CASE("three generations of given points move CMA-ES as they move the cmaes package") {
    CmaEs cma(3);
    REQUIRE(cma.population_size() == 7);
    Random random(1);
    const double means[3][3] = {{0.5615235100379427, 0.5390599351648684, 0.4806848360353342},
                                {0.7941312091146151, 0.6600364512835555, 0.3788049181883034},
                                {0.7901967940286608, 0.6164318871070583, 0.33562004013238417}};
    const double sigmas[] = {0.13753930631694866, 0.16806279177409614, 0.16869016254659916};
    const double diagonals[3][3] = {{1.0611976482631282, 0.9214456586289745, 0.8697047534657818},
                                    {1.5779792963110246, 0.9768426410116229, 0.955791182787219},
                                    {1.2509939369538625, 0.9155641444155869, 0.8288814033664887}};
    for (std::uint64_t g = 0; g < 3; ++g) {
      for (int i = 0; i < 7; ++i) {
        VectorXd x(3);
        for (int j = 0; j < 3; ++j) x[j] = 0.5 + 0.3 * std::sin(1.0 + 7.0 * static_cast<double>(g) + 3 * i + j);
        const double loss = std::pow(x[0] - .2, 2) + 4 * std::pow(x[1] - .6, 2) + 9 * std::pow(x[2] - .4, 2);
        cma.tell({x, g}, loss, random);
      }
      REQUIRE(cma.generation() == g + 1);
      CHECK(cma.sigma() == doctest::Approx(sigmas[g]).epsilon(1e-7));
      for (Eigen::Index k = 0; k < 3; ++k) {
        CHECK(cma.mean()[k] == doctest::Approx(means[g][k]).epsilon(1e-8));
        CHECK(cma.covariance()(k, k) == doctest::Approx(diagonals[g][k]).epsilon(1e-7));
      }
    }
    CHECK(cma.covariance()(0, 1) == doctest::Approx(0.1998020415662169).epsilon(1e-7));
    CHECK(cma.covariance()(2, 1) == doctest::Approx(-0.1908242143305976).epsilon(1e-7));
  }

  TEST_CASE("CMA-ES finds the smallest value, also of a long and turned valley") {
    CmaEs round(5);
    CHECK(best_of(round, sphere, 800, 1, 1) < 1e-8);
    const auto valley = [](const VectorXd& x) {
      const double along = x[0] + x[1] - 1.1, across = x[0] - x[1] - 0.2;
      return along * along + 1e4 * across * across + std::pow(x[2] - .6, 2);
    };
    CmaEs long_one(3);
    CHECK(best_of(long_one, valley, 1200, 1, 2) < 1e-8);
  }

  TEST_CASE("more points may be out than a generation has, and those that come late still count") {
    CmaEs cma(4);
    CHECK(best_of(cma, sphere, 1500, 30, 3) < 1e-4);
    CHECK(cma.generation() == 1500 / cma.population_size());  // none was thrown away
  }

  TEST_CASE("NaN and infinities rank last and break nothing") {
    CmaEs cma(3);
    int count = 0;
    const auto broken = [&count](const VectorXd& x) {
      ++count;
      return count % 5 == 0 ? NAN : count % 7 == 0 ? INFINITY : sphere(x);
    };
    Random random(4);
    double best = INFINITY;
    for (int i = 0; i < 900; ++i) {
      const CmaEs::Draw draw = cma.ask(random);
      best = std::min(best, sphere(draw.x));
      cma.tell(draw, broken(draw.x), random);
    }
    CHECK(best < 1e-4);
    CmaEs hopeless(2);
    for (int i = 0; i < 500; ++i) {
      const CmaEs::Draw draw = hopeless.ask(random);
      REQUIRE(draw.x.allFinite());
      hopeless.tell(draw, i % 2 ? NAN : -INFINITY, random);
    }
  }

  TEST_CASE("a distribution that has shrunk to a point starts anew with twice the population") {
    CmaEs cma(2);
    best_of(cma, sphere, 1500, 1, 5);
    CHECK(cma.restarts() > 0);
    CHECK(cma.population_size() == (6u << cma.restarts()));
    CmaEs stays(2, {.restart = false});
    best_of(stays, sphere, 1500, 1, 5);
    CHECK(stays.restarts() == 0);
    Random random(9);
    CHECK(stays.ask(random).x.allFinite());
  }

  TEST_CASE("a coordinate with cells goes on being tried in the neighbouring ones") {
    // The first coordinate counts in steps of 0.1 and looks best at 0.4, until the second is right: then 0.6 is.
    const auto loss = [](const VectorXd& x) {
      const double step = std::round(10 * x[0]) / 10, off = std::abs(x[1] - 0.3);
      return off + (off < 0.01 ? 3 : 0.1) * 0.01 * std::abs(step - (off < 0.01 ? 0.6 : 0.4));
    };
    CmaEs cma(2, {}, {0.1, 0});
    best_of(cma, loss, 2000, 1, 6);
    CHECK(cma.sigma() * std::sqrt(cma.covariance()(0, 0)) > 0.02);
    CmaEs without(2, {.restart = false});
    best_of(without, loss, 2000, 1, 6);
    CHECK(without.sigma() * std::sqrt(without.covariance()(0, 0)) < 0.02);
  }

  TEST_CASE("CMA-ES saved in the middle of a generation goes on as if nothing had been") {
    CmaEs cma(3);
    Random random(7);
    for (int i = 0; i < 45; ++i) {
      const CmaEs::Draw draw = cma.ask(random);
      cma.tell(draw, sphere(draw.x), random);
    }
    StateWriter out;
    cma.save(out);
    CmaEs restored(3);
    StateReader in(out.text(), "cmaes");
    restored.restore(in);
    in.end();
    Random other = random;
    for (int i = 0; i < 30; ++i) {
      const CmaEs::Draw a = cma.ask(random), b = restored.ask(other);
      REQUIRE(a.x == b.x);
      cma.tell(a, sphere(a.x), random);
      restored.tell(b, sphere(b.x), other);
    }
    const std::string half = out.text().substr(0, out.text().size() / 2);
    StateReader damaged(half, "cmaes");
    CHECK_THROWS_AS(restored.restore(damaged), manta::StorageCorruption);
  }
}
