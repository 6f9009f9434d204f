#pragma once
// ASHA, the stopping type, exactly as Ray's AsyncHyperBandScheduler does it (Li et al., "A System for Massively Parallel
// Hyperparameter Tuning", MLSys 2020, has the promotion type; this variant never pauses).
//
// Rungs of bracket s stand at grace_period · reduction_factor^(k+s), k = 0, 1, …; their count is
// int(ln(max_t / grace_period) / ln(reduction_factor) - s + 1) in floating point, as in Ray: 243/1/3 gives 5 rungs (the
// last at 81) and 1000/1/10 gives 3, since ln 243 / ln 3 is 4.999…. At a result with time >= max_t the trial stops and
// nothing is recorded. Otherwise the highest rung that the trial has reached and is not recorded in decides: the trial
// stops if its metric is strictly worse than the (1 - 1/reduction_factor) quantile of what was recorded there before it,
// linearly interpolated as numpy.nanpercentile does; then it is recorded. So the first to arrive always goes on, a tie goes
// on, NaN is never stopped by a rung and moves no cutoff, and nobody is judged twice by one rung. A result costs
// O(log n), however many trials there were.
//
//   .scheduler = tune::asha({.max_t = 81, .reduction_factor = 3})
//   .scheduler = tune::asha({.type = tune::AshaType::kPromotion, .max_t = 81, .reduction_factor = 3})
//
// The promotion type is the paper's: asha_promotion.hpp.
//
// With several objectives, mo_asha, the stopping type of Schmucker, Donini, Zafar, Salinas and Archambeau, "Multi-objective
// Asynchronous Successive Halving" (2021), as in Syne Tune's MOASHA: who comes to a rung stops unless at most
// 1/reduction_factor of those there, itself included, are better, by nondominated rank and within a rank by crowding distance. The first
// to arrive always goes on; NaN is dominated by whatever has none. Compared are the 512 newest at the rung. For searchers that
// know several objectives, or none: random, grid, sobol, nsga2.
//
//   .further_objectives = {{"seconds", tune::Mode::kMin}}, .scheduler = tune::mo_asha({.max_t = 81, .reduction_factor = 3})
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tune/schedulers/asha_rung.hpp"
#include "tune/schedulers/scheduler.hpp"

namespace manta::tune {

/// kStopping: a trial goes on past a rung or ends there, at once; it never pauses, so it needs no checkpoint. kPromotion: it
/// pauses at a rung until it is among the best there; needs checkpoints, wastes less on trials that come early.
enum class AshaType { kStopping, kPromotion };

struct AshaOptions {
  AshaType type{AshaType::kStopping};
  std::string time_attr{"training_iteration"};  ///< or "time_total_s", or a metric that grows
  /// Units of time_attr; a trial stops there. Of the promotion type none is trained beyond the last rung, the largest that is not
  /// above max_t: with 100, a grace period of 1 and a factor of 4 that is 64.
  Number max_t{100};
  Number grace_period{1};       ///< the first rung of bracket 0
  Number reduction_factor{4};   ///< about one of so many goes on past a rung; above 1, and for no more than 200 rungs
  std::int64_t brackets{1};     ///< at most 200; a trial's bracket is drawn by the softmax of the brackets' rung counts
  bool stop_last_trials{true};  ///< false: beyond max_t a trial just goes on; the promotion type refuses it
};

/// The scheduler for TuneOptions. InvalidArgument, when the experiment starts, names an option that makes no sense.
SchedulerSpec asha(AshaOptions options = {});
/// The same by all objectives of the experiment, TuneOptions::metric and further_objectives: the stopping type alone.
SchedulerSpec mo_asha(AshaOptions options = {});

class AshaScheduler final : public Scheduler {
 public:
  /// By the metric, or by all objectives.
  AshaScheduler(AshaOptions options, const SchedulerContext& context, bool all_objectives = false);

  void on_trial_add(TrialIndex trial, const Config& config) override;
  Verdict on_result(TrialIndex trial, const ResultView& result) override;
  Verdict on_complete(TrialIndex trial, const ResultView* last) override;
  Verdict on_error(TrialIndex trial) override { return places_.erase(trial), Verdict{}; }
  bool stops_every_trial() const override { return options_.stop_last_trials; }
  std::string time_attr() const override { return options_.time_attr; }
  std::string debug_text() const override;
  std::string save() const override;
  void restore(std::string_view state) override;

  std::uint64_t stopped() const noexcept { return stopped_; }
  /// The rungs of a bracket, highest first.
  std::vector<double> milestones(std::size_t bracket) const;

 private:
  struct Rung {
    double milestone;
    std::unique_ptr<AshaRung> judge;
  };
  using Bracket = std::vector<Rung>;  ///< highest milestone first
  struct Place {
    std::size_t bracket{0};
    std::vector<std::uint32_t> recorded{};  ///< the rungs that have judged it
  };

  std::unique_ptr<AshaRung> make_rung() const;
  /// Larger is better; empty when the time or a metric is missing.
  std::vector<double> values_of(const ResultView& result) const;
  Verdict judge(Place& place, double time, const std::vector<double>& values);

  AshaOptions options_;
  std::vector<Objective> objectives_;
  std::uint64_t seed_;
  std::vector<Bracket> brackets_;
  std::map<TrialIndex, Place> places_;  ///< of trials that have not ended
  std::uint64_t stopped_{0};
};

/// InvalidArgument for options that make no sense.
void check_asha(const AshaOptions& options, const std::string& metric);
/// The bracket of a trial, by the softmax of the brackets' rung counts.
std::size_t draw_bracket(std::uint64_t seed, TrialIndex trial, const std::vector<std::size_t>& rung_counts);

}  // namespace manta::tune
