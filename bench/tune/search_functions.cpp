#include "bench/tune/search_functions.hpp"

#include <cmath>
#include <numbers>

namespace manta::bench {

namespace {

double branin(const std::vector<double>& x) {
  using std::numbers::pi;
  const double bow = x[1] - 5.1 / (4 * pi * pi) * x[0] * x[0] + 5 / pi * x[0] - 6;
  return bow * bow + 10 * (1 - 1 / (8 * pi)) * std::cos(x[0]) + 10;
}

template <std::size_t D>
double hartmann(const std::vector<double>& x, const double (&a)[4][D], const double (&p)[4][D]) {
  constexpr double kAlpha[] = {1, 1.2, 3, 3.2};
  double sum = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    double distance = 0;
    for (std::size_t j = 0; j < D; ++j) distance += a[i][j] * (x[j] - p[i][j]) * (x[j] - p[i][j]);
    sum -= kAlpha[i] * std::exp(-distance);
  }
  return sum;
}

double hartmann3(const std::vector<double>& x) {
  constexpr double kA[4][3] = {{3, 10, 30}, {0.1, 10, 35}, {3, 10, 30}, {0.1, 10, 35}};
  constexpr double kP[4][3] = {
      {0.3689, 0.1170, 0.2673}, {0.4699, 0.4387, 0.7470}, {0.1091, 0.8732, 0.5547}, {0.0381, 0.5743, 0.8828}};
  return hartmann(x, kA, kP);
}

double hartmann6(const std::vector<double>& x) {
  constexpr double kA[4][6] = {
      {10, 3, 17, 3.5, 1.7, 8}, {0.05, 10, 17, 0.1, 8, 14}, {3, 3.5, 1.7, 10, 17, 8}, {17, 8, 0.05, 10, 0.1, 14}};
  constexpr double kP[4][6] = {{0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886},
                               {0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991},
                               {0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650},
                               {0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381}};
  return hartmann(x, kA, kP);
}

double rosenbrock(const std::vector<double>& x) {
  double sum = 0;
  for (std::size_t i = 0; i + 1 < x.size(); ++i)
    sum += 100 * std::pow(x[i + 1] - x[i] * x[i], 2) + (1 - x[i]) * (1 - x[i]);
  return sum;
}

double ackley(const std::vector<double>& x) {
  const double n = static_cast<double>(x.size());
  double squares = 0, waves = 0;
  for (const double each : x) squares += each * each, waves += std::cos(2 * std::numbers::pi * each);
  return -20 * std::exp(-0.2 * std::sqrt(squares / n)) - std::exp(waves / n) + 20 + std::numbers::e;
}

double griewank(const std::vector<double>& x) {
  double sum = 0, product = 1;
  for (std::size_t i = 0; i < x.size(); ++i) {
    sum += x[i] * x[i] / 4000;
    product *= std::cos(x[i] / std::sqrt(static_cast<double>(i + 1)));
  }
  return sum - product + 1;
}

double levy(const std::vector<double>& x) {
  using std::numbers::pi;
  const auto w = [&](std::size_t i) { return 1 + (x[i] - 1) / 4; };
  const std::size_t last = x.size() - 1;
  double sum = std::pow(std::sin(pi * w(0)), 2) + std::pow(w(last) - 1, 2) * (1 + std::pow(std::sin(2 * pi * w(last)), 2));
  for (std::size_t i = 0; i < last; ++i) sum += std::pow(w(i) - 1, 2) * (1 + 10 * std::pow(std::sin(pi * w(i) + 1), 2));
  return sum;
}

double styblinski_tang(const std::vector<double>& x) {
  double sum = 0;
  for (const double each : x) sum += std::pow(each, 4) - 16 * each * each + 5 * each;
  return sum / 2;
}

TestFunction in_cube(std::string name, std::size_t dimensions, double low, double high, double minimum, double (*value)(const std::vector<double>&)) {
  return {std::move(name), std::vector<double>(dimensions, low), std::vector<double>(dimensions, high), minimum, value};
}

}  // namespace

double shift_of(std::uint64_t seed, std::size_t i) {
  const double turn = static_cast<double>(seed + 1) * static_cast<double>(i + 1) * 0.6180339887498949;
  return 0.2 * (turn - std::floor(turn) - 0.5);
}

double TestFunction::regret(const std::vector<double>& x, std::uint64_t seed) const {
  std::vector<double> moved(x);
  for (std::size_t i = 0; i < x.size(); ++i) moved[i] -= shift_of(seed, i) * (high[i] - low[i]);
  return value(moved) - minimum;
}

const std::vector<TestFunction>& test_functions() {
  static const std::vector<TestFunction> all = {
      {"branin", {-5, 0}, {10, 15}, 0.39788735772973816, branin},
      {"hartmann3", {0, 0, 0}, {1, 1, 1}, -3.86278214782076, hartmann3},
      {"hartmann6", std::vector<double>(6, 0), std::vector<double>(6, 1), -3.32236801141551, hartmann6},
      {"rosenbrock4", std::vector<double>(4, -5), std::vector<double>(4, 10), 0, rosenbrock}};
  return all;
}

const std::vector<TestFunction>& more_functions() {
  constexpr double kStyblinskiTang = -39.16616570377142;  // of each dimension
  static const std::vector<TestFunction> all = {in_cube("ackley5", 5, -32.768, 32.768, 0, ackley),
                                                in_cube("griewank4", 4, -600, 600, 0, griewank),
                                                in_cube("levy4", 4, -10, 10, 0, levy),
                                                in_cube("styblinski3", 3, -5, 5, 3 * kStyblinskiTang, styblinski_tang)};
  return all;
}

}  // namespace manta::bench
