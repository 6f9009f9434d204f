#include "tune/searchers/parzen.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numbers>
#include <numeric>

#include "tune/searchers/normal.hpp"

namespace manta::tune {

namespace {

constexpr double kMaxKernels = 100;  // of the rule that keeps kernels from getting too narrow
constexpr double kFar = 9;             // standard deviations beyond which a mass, 1e-19, is lost beside the prior's
constexpr double kNothing = -40;       // and so is e to this

double log_sum_exp(std::span<const double> terms) {
  const double largest = *std::max_element(terms.begin(), terms.end());
  if (!std::isfinite(largest)) return largest;
  double sum = 0;
  for (const double term : terms)
    if (term - largest > kNothing) sum += std::exp(term - largest);
  return std::log(sum) + largest;
}

double log_mass(double a, double b) {
  if (a < -kFar && b > kFar) return 0;
  if (a > kFar || b < -kFar) return -std::numeric_limits<double>::infinity();
  return log_normal_mass(a, b);
}

}  // namespace

std::vector<double> parzen_deviations(std::span<const double> observations, double exponent) {
  const std::size_t n = observations.size();
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return observations[a] < observations[b]; });
  const double narrowest = 1 / std::min(kMaxKernels, std::pow(static_cast<double>(n) + 2, exponent));  // the prior is a kernel too
  std::vector<double> deviations(n);
  for (std::size_t i = 0; i < n; ++i) {
    const double here = observations[order[i]];
    // The ends of the range are neighbours of a lone observation only.
    const double left = i > 0 ? here - observations[order[i - 1]] : n == 1 ? here : 0;
    const double right = i + 1 < n ? observations[order[i + 1]] - here : n == 1 ? 1 - here : 0;
    deviations[order[i]] = std::clamp(std::max(left, right), narrowest, 1.0);
  }
  return deviations;
}

ParzenEstimator::ParzenEstimator(const std::vector<const Dimension*>& dimensions,
                                 const std::vector<std::vector<double>>& columns, std::vector<double> weights,
                                 double bandwidth_exponent) {
  weights.push_back(1);
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  double sum = 0;
  for (const double weight : weights) {
    log_weights_.push_back(std::log(weight / total));
    cumulative_.push_back(sum += weight / total);
  }
  for (std::size_t d = 0; d < dimensions.size(); ++d) {
    Column column{.dimension = dimensions[d]};
    if (dimensions[d]->kind == Dimension::Kind::kCategorical) {
      Options& options = column.options;
      options.levels = dimensions[d]->levels;
      for (const double unit : columns[d]) options.level.push_back(dimensions[d]->level_of(unit));
      const double prior = 1 / static_cast<double>(weights.size());
      options.miss = prior / (1 + prior * static_cast<double>(options.levels));
      options.hit = options.miss + 1 / (1 + prior * static_cast<double>(options.levels));
    } else {
      Numeric& numeric = column.numeric;
      numeric.discrete = dimensions[d]->is_discrete() || dimensions[d]->domain.q() > 0;
      numeric.mu = columns[d];
      // A kernel narrower than a cell would only draw what was tried already.
      numeric.sigma = parzen_deviations(columns[d], numeric.discrete ? 1 : bandwidth_exponent);
      numeric.mu.push_back(0.5), numeric.sigma.push_back(1);
      for (std::size_t k = 0; k < numeric.mu.size(); ++k) {
        const double mass = log_mass(-numeric.mu[k] / numeric.sigma[k], (1 - numeric.mu[k]) / numeric.sigma[k]);
        const double width = numeric.discrete ? 0 : std::log(numeric.sigma[k] * std::sqrt(2 * std::numbers::pi));
        numeric.log_scale.push_back(-mass - width);
      }
    }
    columns_.push_back(std::move(column));
  }
}

std::size_t ParzenEstimator::draw_kernel(Random& random) const {
  const auto found = std::upper_bound(cumulative_.begin(), cumulative_.end(), random.uniform());
  return std::min(static_cast<std::size_t>(found - cumulative_.begin()), kernels() - 1);
}

double ParzenEstimator::draw(const Column& column, std::size_t kernel, Random& random) const {
  const double unit = random.uniform();
  if (!column.is_options()) {
    const double value = truncated_normal_quantile(unit, column.numeric.mu[kernel], column.numeric.sigma[kernel], 0, 1);
    return column.dimension->snapped(value);
  }
  const Options& options = column.options;
  const auto any = static_cast<std::size_t>(unit * static_cast<double>(options.levels));
  if (kernel >= options.level.size()) return column.dimension->unit_of_level(std::min(any, options.levels - 1));
  // The observed option takes the first part of the unit interval, the others share the rest.
  if (unit < options.hit) return column.dimension->unit_of_level(options.level[kernel]);
  const auto other = std::min(static_cast<std::size_t>((unit - options.hit) / options.miss), options.levels - 2);
  return column.dimension->unit_of_level(other < options.level[kernel] ? other : other + 1);
}

std::vector<std::vector<double>> ParzenEstimator::sample(Random& random, std::size_t count) const {
  std::vector<std::vector<double>> drawn(columns_.size());
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t kernel = draw_kernel(random);
    for (std::size_t d = 0; d < columns_.size(); ++d) drawn[d].push_back(draw(columns_[d], kernel, random));
  }
  return drawn;
}

std::vector<double> ParzenEstimator::log_density(const std::vector<std::vector<double>>& columns) const {
  const std::size_t points = columns.empty() ? 0 : columns.front().size();
  std::vector<double> table(points * kernels());
  for (std::size_t i = 0; i < table.size(); ++i) table[i] = log_weights_[i % kernels()];
  for (std::size_t d = 0; d < columns_.size(); ++d) {
    if (columns_[d].is_options())
      add_options(columns_[d], columns[d], table);
    else if (columns_[d].numeric.discrete)
      add_mass(columns_[d], columns[d], table);
    else
      add_density(columns_[d], columns[d], table);
  }
  std::vector<double> result;
  for (std::size_t i = 0; i < points; ++i) result.push_back(log_sum_exp(std::span(table).subspan(i * kernels(), kernels())));
  return result;
}

void ParzenEstimator::add_options(const Column& column, std::span<const double> points, std::vector<double>& table) const {
  const Options& options = column.options;
  const double hit = std::log(options.hit), miss = std::log(options.miss);
  for (std::size_t i = 0; i < points.size(); ++i) {
    const std::size_t level = column.dimension->level_of(points[i]);
    double* row = &table[i * kernels()];
    for (std::size_t k = 0; k < options.level.size(); ++k) row[k] += options.level[k] == level ? hit : miss;
    row[kernels() - 1] -= std::log(static_cast<double>(options.levels));
  }
}

void ParzenEstimator::add_density(const Column& column, std::span<const double> points, std::vector<double>& table) const {
  const Numeric& numeric = column.numeric;
  for (std::size_t i = 0; i < points.size(); ++i) {
    double* row = &table[i * kernels()];
    for (std::size_t k = 0; k < kernels(); ++k) {
      const double z = (points[i] - numeric.mu[k]) / numeric.sigma[k];
      row[k] += numeric.log_scale[k] - 0.5 * z * z;
    }
  }
}

void ParzenEstimator::add_mass(const Column& column, std::span<const double> points, std::vector<double>& table) const {
  const Numeric& numeric = column.numeric;
  std::map<double, std::size_t> seen;  // draws of a discrete dimension often are alike, and a mass costs two erfc
  std::vector<double> masses;
  for (std::size_t i = 0; i < points.size(); ++i) {
    const auto [place, is_new] = seen.try_emplace(points[i], masses.size());
    if (is_new) {
      const auto [left, right] = column.dimension->cell_of(points[i]);
      for (std::size_t k = 0; k < kernels(); ++k)
        masses.push_back(numeric.log_scale[k] + log_mass((left - numeric.mu[k]) / numeric.sigma[k],
                                                         (right - numeric.mu[k]) / numeric.sigma[k]));
    }
    for (std::size_t k = 0; k < kernels(); ++k) table[i * kernels() + k] += masses[place->second + k];
  }
}

}  // namespace manta::tune
