#pragma once
// The kernel density estimate of BOHB (Falkner, Klein and Hutter, "BOHB: Robust and Efficient Hyperparameter Optimization at
// Scale", ICML 2018), as HpBandSter computes it: a product kernel over the unit cube, a Gaussian for each continuous
// coordinate and Aitchison and Aitken's kernel for each categorical one, the bandwidths by the normal reference rule,
// 1.06 σ n^(-1/(4+d)). Pure; a plain value; reading is thread-safe.
//
// Two differences, where HpBandSter fails: the number of a categorical's levels is the true one, not that of the levels seen
// in the data (with one level seen its density was not a number), and its bandwidth, a chance, is at most that of a uniform
// draw. Ordinals are continuous coordinates here, at the middles of their cells.
#include <cstddef>
#include <vector>

#include "tune/random.hpp"

namespace manta::tune {

struct KdeDimension {
  std::size_t levels{0};  ///< 0: a number in [0, 1]; else categorical: the coordinate is the number of an option
};

/// One row a point, one column a dimension. NaN: the parameter is inactive there.
using Rows = std::vector<std::vector<double>>;

/// The Gaussian kernel: density at x of a datum. With `truncated` it is cut to [0, 1] and its mass there is 1.
double gaussian_kernel(double x, double datum, double bandwidth, bool truncated) noexcept;
/// By how much a truncated kernel is larger than an untruncated one: 1 / its mass within [0, 1].
double truncation_weight(double datum, double bandwidth) noexcept;
/// Aitchison and Aitken, 1976: 1 - bandwidth for the same level, bandwidth / (levels - 1) for another one; 1 where there
/// is one level only.
double categorical_kernel(double x, double datum, double bandwidth, std::size_t levels) noexcept;

/// The same rows without NaN: each is replaced by the coordinate of a random row in which the parameter is active, or, where
/// there is none, by a random level or a uniform number.
Rows imputed(Rows rows, const std::vector<KdeDimension>& dimensions, Random& random);

class Kde {
 public:
  /// Requires at least one row, and no NaN. `min_bandwidth`: no bandwidth is less.
  Kde(Rows rows, std::vector<KdeDimension> dimensions, double min_bandwidth);

  double density(const std::vector<double>& x) const;
  const std::vector<double>& bandwidths() const noexcept { return bandwidths_; }
  const Rows& rows() const noexcept { return rows_; }

  /// A point near a random row: continuous coordinates from a normal around the row's, cut to [0, 1], of `factor` bandwidths;
  /// of a categorical one the row's level with probability 1 - bandwidth, else any level.
  std::vector<double> draw_near_row(Random& random, double factor, double min_bandwidth) const;

 private:
  Rows rows_;
  std::vector<KdeDimension> dimensions_;
  std::vector<double> bandwidths_;
};

}  // namespace manta::tune
