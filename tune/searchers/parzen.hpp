#pragma once
// ParzenEstimator: the density of TPE over some dimensions of the unit cube, as Optuna 5 defines it
// (samplers/_tpe/parzen_estimator.py; the bandwidths are those of Bergstra et al., NeurIPS 2011, section 4).
//
// A mixture of one product kernel for each observation, and one for the prior: a normal in the middle of the range, as wide
// as it. A numeric kernel is a normal truncated to the range, its deviation the larger of the gaps to the neighbouring
// observations; integers and quantised values are weighed by the mass in their cells; an option's kernel prefers the
// observed one. A plain value.
#include <span>
#include <vector>

#include "tune/searchers/encoding.hpp"

namespace manta::tune {

class ParzenEstimator {
 public:
  /// One column of coordinates for each dimension, all equally long, none NaN; `weights`, one for each observation, are
  /// scaled; the prior weighs 1. `bandwidth_exponent`, of continuous dimensions: see parzen_deviations.
  ParzenEstimator(const std::vector<const Dimension*>& dimensions, const std::vector<std::vector<double>>& columns,
                  std::vector<double> weights, double bandwidth_exponent = 1);

  /// `count` draws: one column for each dimension.
  std::vector<std::vector<double>> sample(Random& random, std::size_t count) const;
  /// The logarithm of the density (mass, of discrete dimensions) at each of the points given as columns.
  std::vector<double> log_density(const std::vector<std::vector<double>>& columns) const;

 private:
  struct Numeric {
    std::vector<double> mu{}, sigma{}, log_scale{};  ///< log_scale: −ln of the mass within the range, for densities also −ln σ√2π
    bool discrete{false};
  };
  struct Options {
    std::vector<std::size_t> level{};  ///< of each observation
    std::size_t levels{0};
    double hit{0}, miss{0};            ///< probability of the observed option and of each other
  };
  struct Column {
    const Dimension* dimension{nullptr};
    Numeric numeric{};
    Options options{};
    bool is_options() const noexcept { return options.levels != 0; }
  };
  std::size_t kernels() const noexcept { return log_weights_.size(); }
  std::size_t draw_kernel(Random& random) const;
  double draw(const Column& column, std::size_t kernel, Random& random) const;
  /// Adds ln of each kernel's value at each point to the table of points by kernels.
  void add_options(const Column& column, std::span<const double> points, std::vector<double>& table) const;
  void add_density(const Column& column, std::span<const double> points, std::vector<double>& table) const;
  void add_mass(const Column& column, std::span<const double> points, std::vector<double>& table) const;

  std::vector<Column> columns_;
  std::vector<double> cumulative_;  ///< of the weights, the last one 1
  std::vector<double> log_weights_;
};

/// The deviation of each kernel of n observations in [0, 1]; none is less than (n + 2)^-exponent, nor than 1/100. Optuna's
/// exponent is 1.
std::vector<double> parzen_deviations(std::span<const double> observations, double exponent = 1);

}  // namespace manta::tune
