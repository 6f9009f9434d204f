#include <doctest/doctest.h>

#include <cmath>

#include "tune/searchers/acquisition.hpp"
#include "tune/searchers/expected_improvement.hpp"
#include "tune/searchers/gaussian_process.hpp"
#include "tune/searchers/log_ei.hpp"
#include "tune/searchers/normal.hpp"
#include "tune/searchers/output_warp.hpp"

using namespace manta::tune;
using Eigen::MatrixXd;
using Eigen::VectorXd;

namespace {

MatrixXd five_points() {
  MatrixXd points(5, 3);
  points << .1, .2, 0, .4, .9, 1, .35, .5, 0, .8, .6, 2, .8, .1, 1;
  return points;
}
VectorXd five_values() { return (VectorXd(5) << -1., .5, .2, 1.2, -.9).finished(); }
const std::vector<bool> kLastIsCategorical{false, false, true};

VectorXd point(double a, double b, double c) { return (VectorXd(3) << a, b, c).finished(); }

GaussianProcess example() {
  return {five_points(), five_values(), kLastIsCategorical, {(VectorXd(3) << 2., .5, .7).finished(), 1.5, .01}};
}

double numeric_slope(const std::function<double(const VectorXd&)>& f, VectorXd x, Eigen::Index k) {
  constexpr double kStep = 1e-5;
  x[k] += kStep;
  const double above = f(x);
  x[k] -= 2 * kStep;
  return (above - f(x)) / (2 * kStep);
}

MixedDomain free_square() {
  return {{false, false}, {{}, {}}, [](VectorXd& x, std::vector<bool>& active) {
            active.assign(static_cast<std::size_t>(x.size()), true);
            return true;
          }};
}

}  // namespace

TEST_SUITE("tune/searchers") {
  TEST_CASE("the logarithm of the improvement has its digits from where it is large to where it underflows") {
    // mpmath, 60 digits
    const double expected[][3] = {{5, 1.6094379231264314, 0.19999994053122005},     {0, -0.91893853320467274, 1.2533141373155003},
                                  {-1, -2.4851210257126413, 1.9042712333296918},    {-10, -55.553122036122356, 10.194383033412553},
                                  {-24.9, -317.35848574266734, 24.979936959471138}, {-25.1, -322.37440987246407, 25.179305997377542},
                                  {-40, -808.29856835661996, 40.049906657648518},   {-1000, -500014.73445209116, 1000.001999994}};
    for (const auto& [z, value, slope] : expected) {
      CAPTURE(z);
      CHECK(log_improvement(z).value == doctest::Approx(value).epsilon(1e-10));
      CHECK(log_improvement(z).slope == doctest::Approx(slope).epsilon(1e-9));
    }
    CHECK(std::isfinite(log_improvement(-1e150).value));
  }

  TEST_CASE("the quantile is the distribution function's inverse, and truncated draws stay in and look right") {
    for (double p : {1e-300, 1e-12, .01, .5, .9, 1 - 1e-12}) CHECK(normal_cdf(normal_quantile(p)) == doctest::Approx(p).epsilon(1e-9));
    Random random(1);
    double sum = 0;
    for (int i = 0; i < 20000; ++i) sum += draw_truncated_normal(random, 0, 1, 1, 2);
    CHECK(sum / 20000 == doctest::Approx(1.3832).epsilon(0.005));  // (φ(1) - φ(2)) / (Φ(2) - Φ(1))
    for (double mean : {-100.0, 0.0, 100.0}) {
      const double drawn = draw_truncated_normal(random, mean, 1e-3, 0.25, 0.75);
      CHECK(drawn >= 0.25);
      CHECK(drawn <= 0.75);
    }
  }

  TEST_CASE("the posterior is Optuna's for the same parameters, a categorical dimension included") {
    const GaussianProcess gp = example();
    const auto [mean, variance] = gp.posterior(point(.3, .4, 0));
    CHECK(mean == doctest::Approx(-0.11451291660701668).epsilon(1e-9));
    CHECK(variance == doctest::Approx(0.012121276446344975).epsilon(1e-7));
    CHECK(gp.posterior(point(.9, .9, 2)).mean == doctest::Approx(1.301172785199646).epsilon(1e-9));
    CHECK(gp.posterior(point(.9, .9, 2)).variance == doctest::Approx(0.15108463117565818).epsilon(1e-7));
  }

  TEST_CASE("the fit's loss is Optuna's, its gradient is its slope, and its minimum is Optuna's") {
    const GpObjective objective(five_points(), five_values(), kLastIsCategorical);
    VectorXd at(5), gradient(5), ignored(5);
    at << std::log(2.), std::log(.5), std::log(.7), std::log(1.5), std::log(.01 - GaussianProcess::kLeastNoise);
    CHECK(objective(at, gradient) == doctest::Approx(5.898509466164946).epsilon(1e-10));
    for (Eigen::Index k = 0; k < 5; ++k)
      CHECK(gradient[k] == doctest::Approx(numeric_slope([&](const VectorXd& x) { return objective(x, ignored); }, at, k)).epsilon(1e-5));
    const GpParameters found = GaussianProcess::fit(five_points(), five_values(), kLastIsCategorical).parameters();
    CHECK(found.inverse_squared_lengths[0] == doctest::Approx(0.51844).epsilon(0.02));
    CHECK(found.inverse_squared_lengths[1] == doctest::Approx(5.3646).epsilon(0.02));
    CHECK(found.inverse_squared_lengths[2] == doctest::Approx(0.34120).epsilon(0.02));
    CHECK(found.scale == doctest::Approx(0.93964).epsilon(0.02));
    CHECK(found.noise == doctest::Approx(0.0031184).epsilon(0.05));
  }

  TEST_CASE("points alike, values alike and a single point give a usable process") {
    const MatrixXd alike = MatrixXd::Constant(30, 2, 0.5);
    VectorXd values = VectorXd::Zero(30);
    for (double last : {0.0, 3.0}) {
      values[29] = last;
      const GaussianProcess gp = GaussianProcess::fit(alike, values, {false, false});
      CHECK(std::isfinite(gp.posterior(VectorXd::Constant(2, 0.5)).mean));
      CHECK(gp.parameters().noise >= GaussianProcess::kLeastNoise);
    }
    const GaussianProcess one = GaussianProcess::fit(MatrixXd::Constant(1, 2, 0.1), VectorXd::Zero(1), {false, false});
    CHECK(one.posterior(VectorXd::Constant(2, 0.9)).variance > 0);
  }

  TEST_CASE("the gradient of the expected improvement is its slope, with and without pending points") {
    MatrixXd pending(2, 3);
    pending << .6, .7, 2, .3, .8, 1;
    for (const MatrixXd& set : {MatrixXd(0, 3), pending}) {
      Random random(3);
      const ExpectedImprovement improvement(example(), 1.2, set, random);
      for (const VectorXd& x : {point(.5, .6, 2), point(.9, .2, 0), point(.05, .95, 1)}) {
        VectorXd gradient;
        CHECK(improvement.value(x, gradient) == doctest::Approx(improvement.value(x)).epsilon(1e-9));
        for (Eigen::Index k = 0; k < 2; ++k)
          CHECK(gradient[k] ==
                doctest::Approx(numeric_slope([&](const VectorXd& at) { return improvement.value(at); }, x, k)).epsilon(1e-4));
        CHECK(gradient[2] == 0);
      }
    }
  }

  TEST_CASE("with a pending point it is the mean over what that point may give") {
    // By brute force: the pending value is drawn, the process told, the plain expected improvement averaged.
    MatrixXd pending(1, 3);
    pending << .6, .7, 2;
    const GaussianProcess gp = example();
    const VectorXd x = point(.7, .5, 2);
    const auto posterior = gp.posterior(pending.row(0).transpose());
    MatrixXd all(6, 3);
    all << gp.points(), pending;
    Random random(5);
    double sum = 0;
    constexpr int kDraws = 4000;
    for (int i = 0; i < kDraws; ++i) {
      const double given = posterior.mean + std::sqrt(posterior.variance + gp.parameters().noise) * draw_normal(random);
      VectorXd values(6);
      values << gp.values(), given;
      const ExpectedImprovement plain({all, values, gp.categorical(), gp.parameters()}, std::max(1.2, given), MatrixXd(0, 3), random);
      sum += std::exp(plain.value(x));
    }
    const ExpectedImprovement improvement(gp, 1.2, pending, random);
    CHECK(std::exp(improvement.value(x)) == doctest::Approx(sum / kDraws).epsilon(0.04));
  }

  TEST_CASE("the maximum of the expected improvement is found, and a point pending there moves it away") {
    MatrixXd points(6, 2);
    points << .1, .1, .9, .1, .1, .9, .9, .9, .5, .2, .3, .6;
    const VectorXd values = (VectorXd(6) << -1, -.5, 0, .2, .3, 1).finished();
    const GaussianProcess gp = GaussianProcess::fit(points, values, {false, false});
    Random random(2);
    MatrixXd pending(0, 2);
    for (int ask = 0; ask < 6; ++ask) {
      const ExpectedImprovement improvement(gp, 1, pending, random);
      const VectorXd found = *maximise(improvement, free_square(), points.bottomRows(1), random);
      double best = -INFINITY;
      for (int i = 0; i <= 50; ++i)
        for (int j = 0; j <= 50; ++j) best = std::max(best, improvement.value((VectorXd(2) << i / 50., j / 50.).finished()));
      CHECK(improvement.value(found) >= best - 1e-3);
      for (Eigen::Index i = 0; i < pending.rows(); ++i) CHECK((pending.row(i).transpose() - found).norm() > 0.02);
      pending.conservativeResize(pending.rows() + 1, 2);
      pending.bottomRows(1) = found.transpose();
    }
  }

  TEST_CASE("stepped and categorical coordinates are searched over what is allowed only") {
    MatrixXd points(6, 2);
    points << 0, 0, 1, .25, 2, .5, 0, .75, 1, 1, 2, 0;
    const VectorXd values = (VectorXd(6) << -1, 0, .5, -.5, 1, -1).finished();
    const GaussianProcess gp = GaussianProcess::fit(points, values, {true, false});
    std::vector<double> steps;
    for (int i = 0; i <= 40; ++i) steps.push_back(i / 40.);
    const MixedDomain domain{{true, false}, {{0, 1, 2}, steps}, [](VectorXd& x, std::vector<bool>& active) {
                               x[0] = std::min(std::floor(x[0] < 1 ? 3 * x[0] : x[0]), 2.0);
                               x[1] = std::round(40 * x[1]) / 40;
                               active.assign(2, true);
                               return x[0] != 1;  // the best option is forbidden
                             }};
    Random random(4);
    const ExpectedImprovement improvement(gp, 1, MatrixXd(0, 2), random);
    const VectorXd found = *maximise(improvement, domain, MatrixXd(0, 2), random, {.preliminary_samples = 64});
    CHECK(found[0] != 1);
    CHECK(std::abs(40 * found[1] - std::round(40 * found[1])) < 1e-12);
    double best = -INFINITY;
    for (double option : {0., 2.})
      for (double step : steps) best = std::max(best, improvement.value((VectorXd(2) << option, step).finished()));
    CHECK(improvement.value(found) == doctest::Approx(best));
    const MixedDomain nothing{{true, false}, {{0, 1, 2}, steps}, [](VectorXd&, std::vector<bool>&) { return false; }};
    CHECK_FALSE(maximise(improvement, nothing, MatrixXd(0, 2), random).has_value());
  }

  TEST_CASE("the power transform is Yeo and Johnson's, draws a long tail together and keeps the order") {
    CHECK(yeo_johnson(2, 1) == doctest::Approx(2));
    CHECK(yeo_johnson(-2, 1) == doctest::Approx(-2));
    CHECK(yeo_johnson(3, 0) == doctest::Approx(std::log(4)));
    CHECK(yeo_johnson(3, 0.5) == doctest::Approx(2));
    CHECK(yeo_johnson(-3, 2) == doctest::Approx(-std::log(4)));
    CHECK(yeo_johnson(-3, -1) == doctest::Approx(-21));  // -(4^3 - 1) / 3
    std::vector<double> tail;
    for (int i = 0; i < 40; ++i) tail.push_back(std::exp(0.4 * i));
    const auto plain = standardised(tail), drawn = warped(tail);
    for (std::size_t i = 1; i < tail.size(); ++i) CHECK(drawn[i] > drawn[i - 1]);
    CHECK(drawn[10] - drawn[0] > 3 * (plain[10] - plain[0]));
    const std::vector<double> even{1, 2, 3, 4, 5, 6, 7};
    for (std::size_t i = 0; i < even.size(); ++i) CHECK(warped(even)[i] == doctest::Approx(standardised(even)[i]).epsilon(1e-9));
    for (double sign : {-1.0, 1.0}) CHECK(std::isfinite(warped({sign * 1e308, 0, -sign * 1e308, 1})[0]));
    CHECK(warped({3, 3, 3}) == std::vector<double>{0, 0, 0});
    CHECK(warped({}).empty());
  }
}
