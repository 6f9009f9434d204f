#pragma once
// VariantSearcher: random and grid search, as Ray's BasicVariantGenerator does them.
//
// Every grid axis is crossed with every other; axes are sorted by path and the first varies fastest; each of
// `num_samples` repeats the whole grid. Everything else is drawn anew for each trial, from a generator of its own
// (seed, trial, path): so trial 7 is the same whatever ran before, and adding a parameter changes no other.
#include <cstdint>
#include <string>
#include <vector>

#include "tune/search_space.hpp"
#include "tune/searchers/searcher.hpp"

namespace manta::tune {

class VariantSearcher final : public Searcher {
 public:
  /// The space must have passed `check`.
  VariantSearcher(Space space, std::uint64_t num_samples, std::uint64_t seed);

  /// InvalidArgument when sample_from functions wait for each other or for a parameter that does not exist.
  Suggestion suggest(TrialIndex index) override;
  std::optional<std::uint64_t> total() const override { return num_samples_ * grid_size_; }
  std::uint32_t suggest_ahead() const override { return 16; }
  std::string save() const override { return {}; }  // a trial's configuration depends on its index only
  void restore(std::string_view) override {}

 private:
  struct Leaf {
    std::string path;
    Domain domain;
    std::uint64_t grid_stride{0};  ///< trials until a grid axis moves on by one
  };
  void collect(const Space& space, const std::string& prefix);
  Config resolve(TrialIndex index) const;
  void run_functions(TrialIndex index, Config& config) const;
  std::string tag(const Config& config) const;

  std::vector<Leaf> leaves_;
  std::uint64_t grid_size_{1};
  std::uint64_t num_samples_;
  std::uint64_t seed_;
};

}  // namespace manta::tune
