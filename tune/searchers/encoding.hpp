#pragma once
// ParameterEncoding: a search space as points of the unit cube, for searchers that learn from results.
//
//   ParameterEncoding encoding(space);                     // a checked space
//   std::vector<double> point = encoding.sample(random);   // one coordinate for each dimension, NaN where inactive
//   Config config = encoding.decode(point);                // conditions, quantisation, constants, tables and lists
//   encoding.run_functions(config, random);                // sample_from parameters: drawn last, not modelled
//
// A coordinate that is uniform in [0, 1] has the domain's distribution. Integers, quantised values and options lie in
// cells side by side; logarithmic domains are encoded in the logarithm and normal ones by their distribution function.
// Parameters with one value only are constants and no dimensions. A plain value.
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tune/searchers/flat_space.hpp"

namespace manta::tune {

struct Dimension {
  enum class Kind { kContinuous, kInteger, kOrdinal, kCategorical };

  std::string path;
  Kind kind;
  Domain domain;
  /// Of options, integers and quantised floats: how many values there are; 0: infinitely many.
  std::size_t levels;
  std::size_t leaf;  ///< in FlatSpace::leaves()

  bool is_discrete() const noexcept { return levels != 0; }
  /// The number of the option that the coordinate stands for, and the middle of an option's cell. For options only.
  std::size_t level_of(double unit) const;
  double unit_of_level(std::size_t level) const;
  /// The coordinate of the value that `unit` decodes to: the same for all of a cell.
  double snapped(double unit) const;
  /// The edges of the cell that `unit` lies in; both are `unit` where there are no cells.
  std::pair<double, double> cell_of(double unit) const { return domain.cell_of(unit); }
};

class ParameterEncoding {
 public:
  /// InvalidArgument for a space with grid_search, which no searcher that learns can follow.
  explicit ParameterEncoding(const Space& space);

  const std::vector<Dimension>& dimensions() const noexcept { return dimensions_; }
  std::size_t size() const noexcept { return dimensions_.size(); }
  const FlatSpace& space() const noexcept { return space_; }

  /// A configuration's point: NaN for parameters that are inactive or that it does not have. InvalidArgument when it has
  /// a parameter or a list's item that the space does not know, something else where the space has a table or a list, or a
  /// value that the domain does not hold; a constant holds itself.
  std::vector<double> encode(const Config& config) const;
  /// What `given`, which was encoded before, says of the parameters that are active at the point, over what went through the
  /// encoding: exact to the last bit and of the domain's type, and what functions would give. `config` is of that point.
  void overlay(Config& config, std::span<const double> point, const Config& given) const;
  /// Requires a coordinate for each active dimension; those of inactive ones are not looked at. sample_from parameters
  /// are "none" until run_functions.
  Config decode(std::span<const double> point) const;
  void run_functions(Config& config, Random& random) const;

  /// Which dimensions are active at the point: those whose conditions its other coordinates satisfy. A NaN of an active
  /// one satisfies no condition.
  std::vector<bool> active(std::span<const double> point) const;
  /// Makes any point a whole one: draws the active coordinates that are NaN and makes the inactive ones NaN.
  void complete(std::vector<double>& point, Random& random) const;
  /// A random point that is not forbidden. InvalidArgument when ten thousand draws were all forbidden.
  std::vector<double> sample(Random& random) const;
  bool is_forbidden(const Config& config) const { return space_.forbidden_in(config) != nullptr; }
  bool is_forbidden(std::span<const double> point) const { return space_.has_forbidden() && is_forbidden(decode(point)); }

 private:
  /// Walks the leaves in the order of their conditions: `visit(dimension)` is called for each active dimension and gives its
  /// coordinate, NaN for none.
  template <class Visit>
  FlatSpace::Values walk(Visit visit) const;

  FlatSpace space_;
  std::vector<Dimension> dimensions_;
  std::vector<std::size_t> dimension_of_;  ///< of each leaf; npos: no dimension
};

}  // namespace manta::tune
