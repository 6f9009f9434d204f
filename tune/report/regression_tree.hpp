#pragma once
// RegressionTree: a function that is constant on boxes of the parameters' space, fitted by least squares (Breiman et al.,
// "Classification and Regression Trees", 1984; categories are ordered by their mean, which finds the best subset). Grown to
// pure leaves. A plain value; pure.
#include <cstdint>
#include <vector>

#include "tune/report/fanova.hpp"

namespace manta::tune {

/// The part of one parameter's range that a leaf covers: an interval, or a set of categories.
struct LeafSide {
  double low{0};
  double high{1};
  std::uint64_t levels{~std::uint64_t{0}};
};

struct Leaf {
  std::vector<LeafSide> sides{};  ///< one for each column
  double value{0};
};

/// The leaves of a tree fitted to the rows given, which may repeat. They cover the whole space and do not overlap.
std::vector<Leaf> grow_tree(const std::vector<FanovaColumn>& columns, const std::vector<double>& targets,
                            std::vector<std::size_t> rows, std::size_t max_depth);

}  // namespace manta::tune
