#pragma once
// VariantSearcher: random and grid search, as Ray's BasicVariantGenerator does them.
//
// Every grid axis is crossed with every other; axes are sorted by path, name by name and a list's items by number, and the
// first varies fastest; each of `num_samples` repeats the whole grid. Everything else is drawn anew for each trial, from a
// generator of its own (seed, trial, path): so trial 7 is the same whatever ran before, and adding a parameter changes no
// other. A grid point that is forbidden, or that differs from another in an axis that is inactive there only, is left out;
// other configurations that are forbidden are drawn again. Parameters that can have one value only count as constants here.
#include <cstdint>
#include <string>
#include <vector>

#include "tune/search_space.hpp"
#include "tune/searchers/flat_space.hpp"
#include "tune/searchers/searcher.hpp"

namespace manta::tune {

class VariantSearcher final : public Searcher {
 public:
  /// The space must have passed `check`. InvalidArgument when every point of the grid is forbidden: here of a grid of up to a
  /// million points; a larger one is looked through as trials are asked for, and `suggest` says it.
  VariantSearcher(const Space& space, std::uint64_t num_samples, std::uint64_t seed);

  /// InvalidArgument when sample_from functions wait for each other or for a parameter that does not exist, and when ten
  /// thousand draws were all forbidden.
  Suggestion suggest(TrialIndex index) override;
  /// While a grid of more than a million points has not been looked through: how many there are at most.
  std::optional<std::uint64_t> total() const override;
  std::uint32_t suggest_ahead() const override { return 16; }
  std::string save() const override { return {}; }  // a trial's configuration depends on its index only
  void restore(std::string_view) override {}

 private:
  struct Axis {
    std::size_t leaf;
    std::uint64_t stride;  ///< grid points until the axis moves on by one
    std::uint64_t guards;  ///< grid points until one of those moves on that decide whether the axis is active
  };
  void cross_axes();
  void find_strides();
  void look_through(std::uint64_t wanted);
  std::optional<std::uint64_t> point_of(TrialIndex index);
  std::uint64_t kept_from(std::uint64_t point) const;
  const Value& value_of(const Axis& axis, std::uint64_t point) const;
  Config draw(TrialIndex index, std::uint64_t point, std::uint32_t attempt) const;

  FlatSpace space_;
  std::vector<Axis> axes_;
  std::vector<std::uint64_t> forbidden_strides_;  ///< of each forbidden combination: grid points for which it holds or not alike
  bool leaves_out_;                    ///< whether some points may have to be
  std::vector<std::uint64_t> points_;  ///< then: those before next_ that are not left out
  std::uint64_t next_{0};
  std::uint64_t grid_size_{1};         ///< all points; 2^64 - 1 where there are more
  std::uint64_t num_samples_;
  std::uint64_t seed_;
};

}  // namespace manta::tune
