#pragma once
// ASHA, the promotion type, as in the paper: Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys
// 2020, algorithm 2. A trial runs to its rung and pauses there with a checkpoint. Whenever a worker is free, the highest
// rung is looked for whose best ⌊n / reduction_factor⌋ hold one that was not promoted yet: that trial goes on to the
// next rung; if there is none, a new trial begins. So nobody is ever stopped on a guess, and what was late may still
// go on. Rungs of bracket s are at grace_period · reduction_factor^(s+k), up to the largest that is not above max_t; a
// trial that comes to its bracket's last rung has finished. When nothing can be promoted and no new trial comes, those
// who wait end.
//
// Made by `asha({.type = AshaType::kPromotion, …})`. NaN counts as worst.
#include <map>
#include <vector>

#include "tune/schedulers/asha.hpp"
#include "tune/schedulers/promotion_rung.hpp"

namespace manta::tune {

class AshaPromotionScheduler final : public Scheduler {
 public:
  AshaPromotionScheduler(AshaOptions options, const SchedulerContext& context);

  void on_trial_add(TrialIndex trial, const Config& config) override;
  Verdict on_result(TrialIndex trial, const ResultView& result) override;
  Verdict on_complete(TrialIndex trial, const ResultView* last) override;
  Verdict on_error(TrialIndex trial) override;
  void on_start(TrialIndex trial) override;
  Verdict on_idle() override;
  std::optional<TrialIndex> choose_trial_to_run(const Candidates& candidates) const override;
  bool stops_every_trial() const override { return true; }
  std::string time_attr() const override { return options_.time_attr; }
  bool may_pause() const override { return true; }
  std::string debug_text() const override;
  std::string save() const override;
  void restore(std::string_view state) override;

  std::uint64_t promoted() const noexcept { return promoted_; }
  /// The rungs of a bracket, lowest first.
  std::vector<double> milestones(std::size_t bracket) const;

 private:
  using Bracket = std::vector<PromotionRung>;  ///< lowest milestone first
  struct Place {
    std::size_t bracket{0};
    std::size_t rung{0};   ///< that it runs to, or waits in
    bool waits{false};     ///< paused in `rung`
    double value{0};       ///< in the rung that it waits in
  };
  bool reached(const Place& place, const ResultView& result) const;

  AshaOptions options_;
  std::string metric_;
  double sign_;
  std::uint64_t seed_;
  std::vector<Bracket> brackets_;
  std::map<TrialIndex, Place> places_;  ///< of trials that have not ended
  std::uint64_t promoted_{0};
};

}  // namespace manta::tune
