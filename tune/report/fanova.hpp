#pragma once
// Functional analysis of variance: how much of what a trial's result varies by is due to each parameter, and to each pair
// beyond the two alone. Hutter, Hoos and Leyton-Brown, "An efficient approach for assessing hyperparameter importance",
// ICML 2014, Algorithm 2: a forest of regression trees is fitted, and each tree's variance is split up exactly, since a tree
// is constant on boxes. The forest is Optuna's: 64 trees on bootstrap samples, every parameter at every split, grown until
// nothing is left to split.
//
// Pure: the same input and seed give the same answer. Costs about a second for 2000 rows of 10 parameters.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace manta::tune {

/// One parameter over all rows. Numeric: values in [0, 1], whose distribution is taken as uniform there. Categorical:
/// `levels` is above 0, at most 64, and the values are 0 … levels-1, each as likely as the others.
struct FanovaColumn {
  std::size_t levels{0};
  std::vector<double> values{};
};

struct FanovaOptions {
  std::size_t trees{64};
  std::size_t max_depth{64};
  std::size_t pairs_among{6};  ///< pairs are examined between so many of the most important parameters
  std::uint64_t seed{0};
};

/// A share of the variance, between 0 and 1.
struct Importance {
  std::size_t first{0};                 ///< index of the column
  std::optional<std::size_t> second{};  ///< of the other one of a pair
  double share{0};                      ///< mean over the trees
  double deviation{0};                  ///< standard deviation between the trees
};

/// Single parameters, then pairs, each with the largest share first. `targets` are finite, as many as each column has
/// values. All shares are 0 where the targets do not vary.
std::vector<Importance> fanova(const std::vector<FanovaColumn>& columns, const std::vector<double>& targets,
                               const FanovaOptions& options = {});

}  // namespace manta::tune
