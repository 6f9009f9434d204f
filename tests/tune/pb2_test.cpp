#include "tune/schedulers/pb2.hpp"

#include <algorithm>
#include <cmath>
#include <functional>

#include "runtime/errors.hpp"
#include "scheduler_support.hpp"
#include "tune/schedulers/time_varying_gp.hpp"
#include "tune/simulation.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;

namespace {

Pb2Options usual(bool synch = false) {
  return {.time_attr = "training_iteration", .perturbation_interval = 4,
          .hyperparam_bounds = {{"lr", uniform(0, 1)}, {"width", randint(1, 9)}}, .synch = synch};
}

/// Each step gains 1 - (lr - 0.7)², whatever was before.
double gain(double lr) { return 1 - (lr - 0.7) * (lr - 0.7); }

Simulation population(SchedulerSpec scheduler, std::uint64_t seed, const std::function<double(double)>& gained = gain) {
  TuneOptions options{.metric = "score", .mode = Mode::kMax, .num_samples = 4, .space = {{"lr", uniform(0, 1)}, {"width", randint(1, 9)}},
                      .scheduler = std::move(scheduler), .max_iterations = 60, .seed = seed};
  return simulate(options, {.step = [gained](SimulatedStep& step) {
                    step.state.resize(1);
                    step.state[0] += gained(step.config.get<double>("lr"));
                    return SimulatedResult{{{"score", step.state[0]}}};
                  }}, {.workers = 4});
}

}  // namespace

TEST_SUITE("tune/schedulers") {
  TEST_CASE("the process of PB2 interpolates, is unsure far away, and forgets with time") {
    Eigen::MatrixXd points(3, 2);
    points << 0, 0.1, 0, 0.5, 0, 0.9;
    const Eigen::Vector3d values(-1, 1, 0);
    const TimeVaryingGp gp(points, values, {.scale = 1, .length = 0.05, .forgetting = 0.3, .noise = 1e-6});
    const auto at = [](double time, double x) { return Eigen::VectorXd(Eigen::Vector2d(time, x)); };
    CHECK(gp.mean(at(0, 0.5)) == doctest::Approx(1).epsilon(1e-3));
    CHECK(gp.variance(at(0, 0.5)) < 1e-4);
    CHECK(gp.variance(at(0, 0.3)) > 0.1);
    CHECK(gp.mean(at(2, 0.5)) == doctest::Approx(0.7).epsilon(1e-2));
    CHECK(gp.variance(at(2, 0.5)) > 0.4);
  }

  TEST_CASE("fitting finds what is signal and what is noise") {
    Random random(5);
    Eigen::MatrixXd points(60, 2);
    Eigen::VectorXd smooth(60), noise(60);
    for (Eigen::Index i = 0; i < 60; ++i) {
      points(i, 0) = static_cast<double>(i) / 60;
      points(i, 1) = random.uniform();
      smooth(i) = 1.4 * std::sin(6 * points(i, 1));
      noise(i) = random.uniform(-1.7, 1.7);
    }
    const auto of_smooth = TimeVaryingGp::fit(points, smooth), of_noise = TimeVaryingGp::fit(points, noise);
    CHECK(of_smooth.noise < 0.05 * of_smooth.scale);
    CHECK(of_noise.noise > 0.3);
    CHECK(of_smooth.forgetting < 0.2);
  }

  TEST_CASE("copies try where the gain is large, closer than PBT's neighbours come") {
    double of_pb2 = 0, of_fixed = 0;
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
      const Simulation found = population(pb2(usual()), seed);
      of_pb2 += *found.grid.best().metrics.get("score") / 5;
      of_fixed += *population(fifo(), seed).grid.best().metrics.get("score") / 5;
      for (const TrialResult& trial : found.grid.trials()) {
        CHECK(trial.config.get<double>("lr") >= 0);
        CHECK(trial.config.get<double>("lr") < 1);
        CHECK(trial.config.get<int>("width") >= 1);
        CHECK(trial.config.get<int>("width") <= 8);
      }
    }
    CHECK(of_pb2 >= of_fixed);
  }

  TEST_CASE("the upper bound is no value, though it promises the most") {
    double most = 0;
    for (std::uint64_t seed = 1; seed <= 5; ++seed)
      population(pb2(usual()), seed, [&](double lr) { return most = std::max(most, lr), lr; });
    CHECK(most > 0.99);
    CHECK(most < 1);
  }

  TEST_CASE("NaN and infinities throw in PB2 neither, and alike scores do not divide by zero") {
    for (const bool synch : {false, true}) {
      Driven driven(pb2(usual(synch)));
      driven.launch(4);
      const double scores[] = {NAN, INFINITY, -INFINITY, 1};
      for (int t = 4; t < 60; t += 4) {
        if (driven.running.empty()) driven.idle();
        while (const auto next = driven.next()) driven.start(*next);
        for (TrialIndex i = 0; i < 4; ++i)
          if (driven.running.contains(i)) driven.report(i, t, t < 30 ? 1 : scores[(i + static_cast<TrialIndex>(t)) % 4]);
      }
      CHECK(driven.as<PbtScheduler>().num_perturbations() > 0);
    }
  }

  TEST_CASE("a saved PB2 goes on with the same decisions") {
    Driven kept(pb2(usual())), reloaded(pb2(usual()));
    for (Driven* driven : {&kept, &reloaded}) driven->launch(4);
    double score = 0;
    for (int t = 4; t < 60; t += 4) {
      reloaded.reload();
      while (const auto next = kept.next()) kept.start(*next), reloaded.start(*next);
      for (TrialIndex i = 0; i < 4; ++i) {
        score = std::fmod(score + 0.618, 1.0);
        if (!kept.running.contains(i)) continue;
        REQUIRE(kept.report(i, t, t + score) == reloaded.report(i, t, t + score));
        REQUIRE(kept.configs == reloaded.configs);
      }
    }
    CHECK(kept.as<PbtScheduler>().num_perturbations() == 3);
    CHECK_THROWS_AS(kept.scheduler().restore("1 2"), StorageCorruption);
  }

  TEST_CASE("with synch the copies of one step decide as if each had made a model of its own, and gains are kept up to max_gains") {
    Pb2Options options = usual(true);
    options.max_gains = 20;
    Driven kept(pb2(options)), reloaded(pb2(options));
    for (Driven* driven : {&kept, &reloaded}) driven->launch(12);
    std::size_t bytes = 0;
    double score = 0;
    for (int t = 4; t < 60; t += 4) {
      for (TrialIndex i = 0; i < 12; ++i) {
        score = std::fmod(score + 0.618, 1.0);
        REQUIRE(kept.report(i, t, t + score) == reloaded.report(i, t, t + score));
      }
      reloaded.reload();
      for (Driven* driven : {&kept, &reloaded}) {
        driven->idle();
        while (const auto next = driven->next()) driven->start(*next);
      }
      REQUIRE(kept.configs == reloaded.configs);
      const std::size_t now = kept.scheduler().save().size();
      if (t >= 20) CHECK(now < bytes + 800);  // no more gains, but numbers of other lengths
      bytes = t == 16 ? now : bytes;
    }
    CHECK(kept.as<PbtScheduler>().num_perturbations() == 3 * 14);
    CHECK(has(error_of([] { pb2({.hyperparam_bounds = {{"lr", uniform(0, 1)}}, .max_gains = 0}).make({"loss", Mode::kMin, 0}); }), "max_gains is 0"));
  }

  TEST_CASE("with more trials than max_gains copies try something new, also of a donor whose gains are none of the newest") {
    // Behaviour: each of them was an exact copy, without a word.
    Pb2Options options = usual(true);
    options.max_gains = 3;
    Driven driven(pb2(options));
    driven.launch(12);
    for (int t = 4; t < 20; t += 4) {
      CAPTURE(t);
      for (TrialIndex i = 0; i < 12; ++i) driven.report(i, t, t - static_cast<double>(i));  // the last to report are the worst
      driven.idle();
      while (const auto next = driven.next()) driven.start(*next);
      for (TrialIndex i = 9; i < 12; ++i) {
        REQUIRE(driven.exploits.contains(i));
        if (t > 4) CHECK_FALSE(driven.configs.at(i) == driven.configs.at(driven.exploits.at(i).donor));  // no gain yet at 4
      }
    }
  }

  TEST_CASE("copies try something new where the donor is slow and faster trials' gains have taken the places of its own") {
    // Behaviour: with no more trials than max_gains the copy of such a donor was an exact one.
    Pb2Options options = usual();
    options.max_gains = 3;
    Driven driven(pb2(options));
    driven.launch(4);
    driven.report(3, 4, -100);  // the worst throughout, so that none of the others is a copy
    for (int t = 4; t <= 8; t += 4) driven.report(0, t, 1000);
    for (int t = 4; t <= 12; t += 4)
      for (TrialIndex i = 1; i < 3; ++i) driven.report(i, t, 10 * t);
    driven.report(3, 8, -100);
    REQUIRE(driven.exploits.contains(3));
    REQUIRE(driven.exploits.at(3).donor == 0);
    CHECK_FALSE(driven.configs.at(3) == driven.configs.at(0));
  }

  TEST_CASE("one infinite score, or one too large for its square, does not make the middle of its bounds of every parameter that PB2 tries") {
    // Behaviour: the gain after it was infinite too, and a model of it knows nothing for as long as it is among the newest.
    for (const double first : {double(INFINITY), 1e300}) {
      CAPTURE(first);
      Driven driven(pb2(usual(true)));
      driven.launch(4);
      double furthest = 0;
      for (int t = 4; t < 60; t += 4) {
        for (TrialIndex i = 0; i < 4; ++i) driven.report(i, t, t == 4 && i == 0 ? first : t - static_cast<double>(i));
        driven.idle();
        while (const auto next = driven.next()) driven.start(*next);
        if (t < 12) continue;  // no gains yet
        REQUIRE(driven.exploits.contains(3));
        furthest = std::max(furthest, std::abs(driven.configs.at(3).get<double>("lr") - 0.5));
      }
      CHECK(furthest > 1e-3);
    }
  }

  TEST_CASE("bounds that are none are refused by name") {
    const auto make = [](Space bounds) { return [=] { pb2({.hyperparam_bounds = bounds}).make({"loss", Mode::kMin, 0}); }; };
    CHECK(has(error_of(make({{"lr", loguniform(1e-4, 1)}})), "bounds of 'lr'"));
    CHECK(has(error_of(make({{"name", choice({1, 2})}})), "bounds of 'name'"));
    CHECK(has(error_of(make({})), "pb2: hyperparam_bounds is empty"));
    CHECK(has(error_of(make({{"model", Space{{"lr", uniform(0, 1)}}}})), "pb2: the bounds of 'model'"));
    CHECK(has(error_of(make({{"kind", randint(0, 2)}, {"lr", uniform(0, 1), when("kind", 1)}})), "pb2: the bounds of 'lr' have a condition"));
    const Space bounds{{"lr", uniform(0, 1)}};
    CHECK(has(error_of([&] { pb2({.perturbation_interval = 0, .hyperparam_bounds = bounds}).make({"loss", Mode::kMin, 0}); }), "pb2: perturbation_interval is 0"));
    SchedulerContext context{"loss", Mode::kMin, 0};
    context.space = {{"lr", choice({"low", "high"})}};
    CHECK(has(error_of([&] { pb2({.hyperparam_bounds = bounds}).make(context); }), "pb2: the bounds of 'lr' are uniform(0, 1), but the search space has choice"));
  }
}
