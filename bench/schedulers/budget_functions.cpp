#include "bench/schedulers/budget_functions.hpp"

#include <array>
#include <cmath>
#include <numbers>

namespace manta::bench {

namespace {

constexpr double kLargestCount = 729;

double observe_ones(const tune::Config& config, double budget, tune::Random& random) {
  double ones = 0, parameters = 0;
  for (const auto& [name, value] : config.flat()) {
    ++parameters;
    if (const auto* category = value.as<std::int64_t>()) {
      ones += static_cast<double>(*category);
      continue;
    }
    const auto draws = static_cast<int>(std::lround(budget));
    int heads = 0;
    for (int i = 0; i < draws; ++i) heads += random.uniform() < *value.as<double>();
    ones += static_cast<double>(heads) / draws;
  }
  return 1 - ones / parameters;
}

double regret_of_ones(const tune::Config& config) {
  double ones = 0, parameters = 0;
  for (const auto& [name, value] : config.flat()) {
    ++parameters;
    ones += value.as<double>() ? *value.as<double>() : static_cast<double>(*value.as<std::int64_t>());
  }
  return 1 - ones / parameters;
}

constexpr std::array<double, 4> kAlpha{1, 1.2, 3, 3.2};
constexpr double kA3[4][3] = {{3, 10, 30}, {0.1, 10, 35}, {3, 10, 30}, {0.1, 10, 35}};
constexpr double kP3[4][3] = {{0.3689, 0.1170, 0.2673}, {0.4699, 0.4387, 0.7470}, {0.1091, 0.8732, 0.5547}, {0.0381, 0.5743, 0.8828}};
constexpr double kA6[4][6] = {{10, 3, 17, 3.5, 1.7, 8}, {0.05, 10, 17, 0.1, 8, 14}, {3, 3.5, 1.7, 10, 17, 8}, {17, 8, 0.05, 10, 0.1, 14}};
constexpr double kP6[4][6] = {{0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886},
                              {0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991},
                              {0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650},
                              {0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381}};

template <int N>
double hartmann(const tune::Config& config, const double (&a)[4][N], const double (&p)[4][N], double less) {
  double sum = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    double exponent = 0;
    for (int j = 0; j < N; ++j) {
      const double distance = config.get<double>("x" + std::to_string(j)) - p[i][j];
      exponent += a[i][j] * distance * distance;
    }
    sum += (kAlpha[i] - less) * std::exp(-exponent);
  }
  return -sum;
}

double value_of(const tune::Config& config, double less) {
  return config.contains("x5") ? hartmann<6>(config, kA6, kP6, less) : hartmann<3>(config, kA3, kP3, less);
}

double observe_hartmann(const tune::Config& config, double budget, tune::Random& random) {
  const double short_of = 1 - std::log(std::floor(budget + 1e-9)) / std::log(100.0);
  const double normal = std::sqrt(-2 * std::log(1 - random.uniform())) * std::cos(2 * std::numbers::pi * random.uniform());
  return value_of(config, 0.5 * short_of) + 0.1 * short_of * std::fabs(normal);
}

constexpr double kMinimum3 = -3.86278, kMinimum6 = -3.32237;

double regret_of_hartmann(const tune::Config& config) { return value_of(config, 0) - (config.contains("x5") ? kMinimum6 : kMinimum3); }

std::vector<double> thirds(double largest) {
  std::vector<double> budgets;
  for (int k = 4; k >= 0; --k) budgets.push_back(largest / std::pow(3.0, k));
  return budgets;
}

}  // namespace

BudgetFunction counting_ones(int pairs) {
  tune::Space space;
  for (int i = 0; i < pairs; ++i) space.add("cat" + std::to_string(i), tune::choice({0, 1}));
  for (int i = 0; i < pairs; ++i) space.add("cont" + std::to_string(i), tune::uniform(0, 1));
  const std::string size = std::to_string(pairs);
  return {"counting_ones_" + size + "+" + size, std::move(space), thirds(kLargestCount), observe_ones, regret_of_ones, 0};
}

BudgetFunction multi_fidelity_hartmann(int dimensions) {
  tune::Space space;
  for (int i = 0; i < dimensions; ++i) space.add("x" + std::to_string(i), tune::uniform(0, 1));
  return {"mfh" + std::to_string(dimensions), std::move(space), thirds(100), observe_hartmann, regret_of_hartmann,
          dimensions == 6 ? kMinimum6 : kMinimum3};
}

}  // namespace manta::bench
