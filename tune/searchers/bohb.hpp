#pragma once
// bohb_search(): the searcher of BOHB (Falkner, Klein and Hutter, ICML 2018), as HpBandSter has it, to be used with the
// HyperBand scheduler for BOHB.
//
//   tune::TuneOptions options{.metric = "loss", .num_samples = 120, .space = …, .searcher = tune::bohb_search(), .scheduler = …};
//
// Every result that fills a rung of the scheduler is an observation at that rung's resource, the budget. At the largest budget
// with enough of them the best 15 % give one density, the next 85 % another (kde.hpp); of 64 draws from around the good ones,
// the one with the largest ratio of the densities is tried. A third of the suggestions is random. With a scheduler without
// rungs the last results of all trials count as one budget, and this is a plain density searcher.
//
// A budget's model needs more good and more bad observations than there are parameters: 2 (d + 1) results. A result that is
// not finite, or of a trial that failed, is worse than every other. Parameters that a condition switches off are filled in
// from other observations before fitting. One metric only.
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "tune/searchers/kde.hpp"
#include "tune/searchers/model_searcher.hpp"

namespace manta::tune {

struct BohbOptions {
  SearchOptions common{.startup_trials = 0};  ///< random suggestions are made until there is a model anyway
  std::uint32_t min_points_in_model{0};       ///< of each density; at least one more than parameters, which is the default
  std::uint32_t top_n_percent{15};
  std::uint32_t num_samples{64};
  double random_fraction{1.0 / 3};
  double bandwidth_factor{3};
  double min_bandwidth{1e-3};
};

/// A searcher of one metric. InvalidArgument, when the search starts, for several, or an option that makes no sense.
SearcherSpec bohb_search(BohbOptions options = {});

class BohbSearcher final : public ModelSearcher {
 public:
  BohbSearcher(const SearcherContext& context, const BohbOptions& options);

  /// How many suggestions came from a model.
  std::uint64_t model_based() const noexcept { return model_based_; }
  void on_result(TrialIndex trial, const ResultView& result, double rung) override;

 protected:
  std::vector<double> propose(TrialIndex index, Random& random) override;
  void learn(const Observation& observation) override;
  void learn_rung(const Observation& observation, double rung) override;
  bool learns_of_paused() const override { return false; }  // but of each rung's result, paused or not
  std::string save_model() const override;
  void restore_model(std::string_view text) override;

 private:
  struct Seen {
    std::size_t place;  ///< of the trial in the history
    double loss;        ///< +inf for what is no number
  };
  struct Model {
    double budget{0};
    std::size_t size{0};  ///< of the budget's observations when it was fitted
    Kde good, bad;
  };

  std::size_t min_points() const;
  const Model* newest_model();
  Kde density(const std::vector<Seen>& sorted, std::size_t from, std::size_t to, Random& random) const;
  std::vector<double> best_draw(const Model& model, Random& random) const;
  std::vector<double> to_unit(const std::vector<double>& row) const;

  BohbOptions options_;
  std::vector<KdeDimension> dimensions_;
  std::map<double, std::vector<Seen>> budgets_;
  std::set<std::size_t> in_rungs_;  // places of trials that are in a budget
  std::size_t reporting_{0};        // the place whose result is being told
  std::optional<Model> model_;
  std::uint64_t model_based_{0};
};

}  // namespace manta::tune
