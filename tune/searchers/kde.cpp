#include "tune/searchers/kde.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "tune/searchers/normal.hpp"

namespace manta::tune {

namespace {

bool is_categorical(const KdeDimension& dimension) { return dimension.levels > 0; }

double population_deviation(const Rows& rows, std::size_t k) {
  const auto n = static_cast<double>(rows.size());
  double sum = 0, squares = 0;
  for (const auto& row : rows) sum += row[k];
  for (const auto& row : rows) squares += (row[k] - sum / n) * (row[k] - sum / n);
  return std::sqrt(squares / n);
}

double random_coordinate(const KdeDimension& dimension, Random& random) {
  if (dimension.levels == 0) return random.uniform();
  return static_cast<double>(random.randint(0, static_cast<std::int64_t>(dimension.levels)));
}

}  // namespace

double truncation_weight(double datum, double bandwidth) noexcept {
  return 1 / (normal_cdf((1 - datum) / bandwidth) - normal_cdf(-datum / bandwidth));
}

double gaussian_kernel(double x, double datum, double bandwidth, bool truncated) noexcept {
  if (truncated && (x < 0 || x > 1)) return 0;
  const double density = normal_pdf((x - datum) / bandwidth) / bandwidth;
  return truncated ? density * truncation_weight(datum, bandwidth) : density;
}

double categorical_kernel(double x, double datum, double bandwidth, std::size_t levels) noexcept {
  if (levels < 2) return 1;
  return x == datum ? 1 - bandwidth : bandwidth / static_cast<double>(levels - 1);
}

Rows imputed(Rows rows, const std::vector<KdeDimension>& dimensions, Random& random) {
  for (std::size_t k = 0; k < dimensions.size(); ++k) {
    std::vector<double> known;
    for (const auto& row : rows)
      if (!std::isnan(row[k])) known.push_back(row[k]);
    for (auto& row : rows) {
      if (!std::isnan(row[k])) continue;
      row[k] = known.empty() ? random_coordinate(dimensions[k], random)
                             : known[static_cast<std::size_t>(random.randint(0, static_cast<std::int64_t>(known.size())))];
    }
  }
  return rows;
}

Kde::Kde(Rows rows, std::vector<KdeDimension> dimensions, double min_bandwidth)
    : rows_(std::move(rows)), dimensions_(std::move(dimensions)) {
  const double shrink = std::pow(static_cast<double>(rows_.size()), -1.0 / (4 + static_cast<double>(dimensions_.size())));
  for (std::size_t k = 0; k < dimensions_.size(); ++k) {
    const double bandwidth = std::max(1.06 * population_deviation(rows_, k) * shrink, min_bandwidth);
    // The rule is for lengths; a categorical's is a chance of another level, at most that of a uniform draw.
    const auto levels = static_cast<double>(dimensions_[k].levels);
    bandwidths_.push_back(is_categorical(dimensions_[k]) ? std::min(bandwidth, (levels - 1) / levels) : bandwidth);
  }
}

double Kde::density(const std::vector<double>& x) const {
  double sum = 0;
  for (const auto& row : rows_) {
    double product = 1;
    for (std::size_t k = 0; k < dimensions_.size(); ++k) {
      const KdeDimension& dimension = dimensions_[k];
      product *= is_categorical(dimension) ? categorical_kernel(x[k], row[k], bandwidths_[k], dimension.levels)
                                           : gaussian_kernel(x[k], row[k], bandwidths_[k], false);
    }
    sum += product;
  }
  return sum / static_cast<double>(rows_.size());
}

std::vector<double> Kde::draw_near_row(Random& random, double factor, double min_bandwidth) const {
  std::vector<double> x = rows_[static_cast<std::size_t>(random.randint(0, static_cast<std::int64_t>(rows_.size())))];
  for (std::size_t k = 0; k < x.size(); ++k) {
    const KdeDimension& dimension = dimensions_[k];
    const double bandwidth = std::max(bandwidths_[k], min_bandwidth);
    if (!is_categorical(dimension))
      x[k] = draw_truncated_normal(random, x[k], factor * bandwidth, 0, 1);
    else if (random.uniform() < bandwidths_[k])
      x[k] = random_coordinate(dimension, random);
  }
  return x;
}

}  // namespace manta::tune
