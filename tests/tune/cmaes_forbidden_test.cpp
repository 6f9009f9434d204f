// cmaes() in a space with forbidden combinations: what was drawn there, was never tried and must not count.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "search_support.hpp"
#include "tune/searchers/cmaes.hpp"
#include "tune/searchers/surrogate_cma_es.hpp"

using namespace manta::tune;
using namespace manta::tune::testing;
using Eigen::VectorXd;

namespace {

/// The loss falls towards the half that is forbidden; the best that is allowed is 0.16, at its border.
Space half_square() { return {{"x", uniform(0, 1)}, {"y", uniform(0, 1)}, forbid({Clause::at_least_bound("x", 0.5)})}; }

double beyond(const Config& config) {
  const double x = config.get<double>("x") - 0.9, y = config.get<double>("y") - 0.5;
  return x * x + y * y;
}

/// The worst of the last twenty trials, when the search should have arrived.
double worst_late(const CmaesOptions& options, std::uint64_t seed, TrialIndex trials) {
  const auto searcher = cmaes(options).make(context_of(half_square(), seed));
  search(*searcher, beyond, trials - 20);
  double worst = 0;
  for (TrialIndex i = trials - 20; i < trials; ++i) {
    const double value = beyond(searcher->suggest(i).config);
    finish(*searcher, i, value);
    worst = std::max(worst, value);
  }
  return worst;
}

}  // namespace

TEST_SUITE("tune/searchers") {
  TEST_CASE("cmaes closes in on the border of what is forbidden, with the model and without") {
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
      CAPTURE(seed);
      CHECK(worst_late({}, seed, 120) < 0.16 + 1e-4);
      CHECK(worst_late({.surrogate = false}, seed, 300) < 0.16 + 1e-3);
    }
  }

  TEST_CASE("where CMA-ES starts far inside what is forbidden, random trials lead it out, each counted where it was") {
    const Space space{{"x", uniform(0, 1)}, {"y", uniform(0, 1)}, forbid({Clause::at_least_bound("x", 0.02)})};
    const auto loss = [](const Config& c) { return std::pow(c.get<double>("x") - 0.01, 2) + std::pow(c.get<double>("y") - 0.8, 2); };
    for (const bool surrogate : {true, false}) {
      CAPTURE(surrogate);
      const auto searcher = cmaes({.surrogate = surrogate}).make(context_of(space, 3));
      CHECK(search(*searcher, loss, 300) < 1e-8);
    }
  }

  TEST_CASE("a combination of an option and a number is kept out of, and the search goes on with the other options") {
    const Space space{{"x", uniform(0, 1)}, {"y", uniform(0, 1)}, {"kind", choice({"a", "b"})},
                      forbid({Clause::at_least_bound("x", 0.5), {"kind", "a"}})};
    const auto searcher = cmaes().make(context_of(space, 4));
    CHECK(search(*searcher, beyond, 200) < 1e-6);
  }

  TEST_CASE("saved with trials out in a space with forbidden combinations, cmaes goes on as if nothing had been") {
    for (const bool surrogate : {true, false}) {
      const CmaesOptions options{.surrogate = surrogate};
      const auto searcher = cmaes(options).make(context_of(half_square(), 6)), restored = cmaes(options).make(context_of(half_square(), 6));
      std::vector<Config> configs;
      for (TrialIndex i = 0; i < 37; ++i) {
        configs.push_back(searcher->suggest(i).config);
        if (i >= 4) finish(*searcher, i - 4, beyond(configs[i - 4]));
      }
      restored->restore(searcher->save());
      CHECK(restored->save() == searcher->save());
      for (TrialIndex i = 37; i < 80; ++i) {
        configs.push_back(searcher->suggest(i).config);
        REQUIRE(restored->suggest(i).config == configs.back());
        finish(*searcher, i - 4, beyond(configs[i - 4]));
        finish(*restored, i - 4, beyond(configs[i - 4]));
      }
      CHECK(restored->save() == searcher->save());
    }
  }

  TEST_CASE("a generation is drawn from what is allowed, a refused draw is replaced, and where nothing is allowed it ranks last") {
    const auto left = [](const VectorXd& x) { return x[0] < 0.5; };
    SurrogateCmaEs cma(2);
    Random random(7);
    double furthest = 0;
    for (int i = 0; i < 60; ++i) {
      const CmaEs::Draw draw = cma.ask(random, left);
      REQUIRE(left(draw.x));
      cma.tell(draw, std::pow(draw.x[0] - 0.9, 2) + std::pow(draw.x[1] - 0.5, 2), random);
      furthest = std::max(furthest, cma.mean()[0]);
    }
    CHECK(cma.strategy().generation() > 8);
    CHECK(furthest <= 0.5);
    const CmaEs::Draw refused = cma.ask(random, left);
    cma.refuse(refused, random, left);
    for (int i = 0; i < 20; ++i) CHECK(cma.ask(random, left).x != refused.x);

    SurrogateCmaEs caught(2);  // its draws are never allowed, so that the mean follows what is told from elsewhere
    const auto never = [](const VectorXd&) { return false; };
    for (int i = 0; i < 300; ++i) {
      const CmaEs::Draw draw = caught.ask(random, never);
      caught.refuse(draw, random, never);
      const VectorXd elsewhere{{0.05 * random.uniform(), random.uniform()}};
      caught.tell({elsewhere, UINT64_MAX}, elsewhere[1], random);
    }
    CHECK(caught.mean()[0] < 0.2);
  }
}
