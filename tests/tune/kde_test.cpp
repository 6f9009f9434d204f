#include "tune/searchers/kde.hpp"

#include <doctest/doctest.h>

#include <cmath>

using namespace manta::tune;

TEST_SUITE("tune/searchers") {
  TEST_CASE("test_kernels: the Gaussian and the categorical kernel give statsmodels' figures") {
    // statsmodels 0.14: kernels.gaussian(h, 0.3, 0.3 + 0.7 h) / h and gaussian(h, 0.25, 0.75) / h
    const double expected[][3] = {{1e-3, 312.253933366766, 0},
                                  {1e-2, 31.225393336676117, 0},
                                  {.1, 3.1225393336676124, 1.4867195147343004e-05},
                                  {.5, 0.6245078667335227, 0.48394144903828673},
                                  {1, 0.31225393336676127, 0.35206532676429947}};
    for (const auto& [h, near, far] : expected) {
      CAPTURE(h);
      CHECK(gaussian_kernel(.3 + .7 * h, .3, h, false) == doctest::Approx(near).epsilon(1e-9));
      CHECK(gaussian_kernel(.75, .25, h, false) == doctest::Approx(far).epsilon(1e-9));
    }
    CHECK(categorical_kernel(1, 1, .1, 3) == doctest::Approx(.9));
    CHECK(categorical_kernel(0, 1, .1, 3) == doctest::Approx(.05));
    CHECK(categorical_kernel(0, 1, .5, 4) == doctest::Approx(1.0 / 6));
    CHECK(categorical_kernel(0, 1, .2, 2) == doctest::Approx(.2));
  }

  TEST_CASE("test_kernels: a truncated kernel at an edge is twice as high, its weights are those of the normal") {
    CHECK(gaussian_kernel(.01, 0, .1, true) == doctest::Approx(2 * gaussian_kernel(.01, 0, .1, false)).epsilon(1e-9));
    CHECK(gaussian_kernel(.9, 1, .1, true) == doctest::Approx(2 * gaussian_kernel(.9, 1, .1, false)).epsilon(1e-9));
    CHECK(truncation_weight(.5, .5) == doctest::Approx(1 / .6827).epsilon(1e-4));
    CHECK(truncation_weight(.5, .25) == doctest::Approx(1 / .9545).epsilon(1e-4));
    CHECK(truncation_weight(.5, 1.0 / 6) == doctest::Approx(1 / .9973).epsilon(1e-4));
  }

  TEST_CASE("test_kernels: a truncated density integrates to 1") {
    for (double datum : {0.0, 0.1, 0.5, 1.0})
      for (double bandwidth : {0.02, 0.3, 2.0}) {
        double sum = 0;
        constexpr int kSteps = 20000;
        for (int i = 0; i < kSteps; ++i) sum += gaussian_kernel((i + 0.5) / kSteps, datum, bandwidth, true);
        CHECK(sum / kSteps == doctest::Approx(1).epsilon(1e-6));
      }
  }

  TEST_CASE("bandwidths and density of a product kernel are statsmodels'") {
    const Kde two({{.1, .2}, {.4, .9}, {.35, .5}, {.8, .6}}, {{}, {}}, 1e-3);
    CHECK(two.bandwidths()[0] == doctest::Approx(0.21111790591614207).epsilon(1e-9));
    CHECK(two.bandwidths()[1] == doctest::Approx(0.21033063938578644).epsilon(1e-9));
    CHECK(two.density({.3, .4}) == doctest::Approx(1.2241597737634209).epsilon(1e-9));
    CHECK(two.density({.9, .1}) == doctest::Approx(0.053060372798526344).epsilon(1e-9));
    // A categorical's bandwidth by the same rule would be 0.6976; more than a uniform draw's 2/3 it is never.
    const Kde mixed({{.1, 0}, {.4, 2}, {.35, 1}, {.8, 2}}, {{}, {.levels = 3}}, 1e-3);
    CHECK(mixed.bandwidths()[0] == doctest::Approx(0.21111790591614207).epsilon(1e-9));
    CHECK(mixed.bandwidths()[1] == doctest::Approx(2.0 / 3));
  }

  TEST_CASE("a categorical with one level seen, or with one level, has a finite density (HpBandSter #100)") {
    const Kde seen({{1}, {1}, {1}}, {{.levels = 3}}, 1e-3);
    CHECK(seen.density({1}) == doctest::Approx(.999));
    CHECK(seen.density({0}) == doctest::Approx(.0005));
    const Kde lone({{0}, {0}}, {{.levels = 1}}, 1e-3);
    CHECK(lone.density({0}) == 1);
  }

  TEST_CASE("imputed rows hold no NaN: another row's coordinate, or any where none is known") {
    Random random(1);
    const std::vector<KdeDimension> dimensions{{}, {.levels = 3}, {}, {.levels = 4}};
    const Rows rows = imputed({{.1, NAN, NAN, NAN}, {NAN, 2, NAN, NAN}, {.3, NAN, NAN, NAN}}, dimensions, random);
    for (const auto& row : rows) {
      CHECK((row[0] == .1 || row[0] == .3));
      CHECK(row[1] == 2);
      CHECK((row[2] >= 0 && row[2] < 1));
      CHECK((row[3] == std::floor(row[3]) && row[3] >= 0 && row[3] < 4));
    }
  }

  TEST_CASE("draws lie near the rows and inside; a level changes with the chance of its bandwidth") {
    Random random(2);
    const Kde kde({{.05, 1}, {.06, 1}, {.04, 1}, {.05, 0}}, {{}, {.levels = 2}}, 1e-3);
    int same = 0;
    for (int i = 0; i < 4000; ++i) {
      const auto x = kde.draw_near_row(random, 3, 1e-3);
      REQUIRE((x[0] >= 0 && x[0] < 0.2));
      REQUIRE((x[1] == 0 || x[1] == 1));
      same += x[1] == 1;
    }
    // Three rows in four have level 1; with probability h a level is drawn anew among two.
    const double h = kde.bandwidths()[1];
    CHECK(same / 4000.0 == doctest::Approx(.75 * (1 - h) + .5 * h).epsilon(0.05));
  }
}
