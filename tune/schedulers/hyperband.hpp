#pragma once
// HyperBand, synchronous: Li et al., "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization", JMLR 2018.
//
// Brackets trade the number of trials for the resource that each begins with. In a bracket, trials run to a milestone and
// pause; when all that live have come there, the best 1/reduction_factor go on to the next milestone and the others end.
// The last milestone is max_t, exactly, whatever max_t and reduction_factor are. Trials need checkpoints.
//
//   .scheduler = tune::hyperband({.max_t = 81, .reduction_factor = 3})
//
// Where Ray, the paper and HpBandSter (the code of the BOHB paper) differ, `variant` says whose numbers are meant; with
// S brackets, bracket s of which begins with n trials that run to r:
//                  S                     n                      n, r after a halving          order      waits until filled
//   kRay           round(log max_t) + 1  ⌈S/(s+1) · η^s⌉        ⌈n/η⌉, int(r·η), then max_t   s = 0, 1…  no
//   kPaper         ⌊log max_t⌋ + 1       ⌈S/(s+1) · η^s⌉        ⌊n₀·η^-i⌋, max_t · η^(i-s)    s = S-1…0  yes
//   kHpBandSter    ⌊log max_t⌋ + 1       ⌊⌊S/(s+1)⌋ · η^s⌋      as in the paper, at least 1   s = S-1…0  yes
// The logarithm is to the base η. Ray truncates r at the beginning, which leaves its survivors short of max_t for some
// max_t (18 of 20); here the last milestone is max_t for kRay too. A bracket that is not full when nothing else can run is
// halved all the same. NaN is worst; NaN and infinities never throw.
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tune/schedulers/scheduler.hpp"

namespace manta::tune {

enum class HyperBandVariant { kRay, kPaper, kHpBandSter };

struct HyperBandOptions {
  std::string time_attr{"training_iteration"};  ///< or "time_total_s", or a metric that grows
  Number max_t{81};             ///< units of time_attr; the best trials end there
  Number reduction_factor{3};   ///< η, above 1
  bool stop_last_trials{true};  ///< false: a trial that came to max_t just goes on
  HyperBandVariant variant{HyperBandVariant::kRay};
};

/// The scheduler for TuneOptions. InvalidArgument, when the experiment starts, names an option that makes no sense.
SchedulerSpec hyperband(HyperBandOptions options = {});

/// The same for a searcher that learns from rungs (BOHB): the largest bracket comes first, and a bracket waits until it is
/// full, as in Ray's HyperBandForBOHB. `Verdict::rung` tells the searcher a result's budget.
SchedulerSpec hyperband_for_bohb(HyperBandOptions options = {});

/// What happens in one bracket: `sizes[i]` trials run to `milestones[i]`. Milestones grow, the last one is max_t.
struct BracketPlan {
  std::vector<std::size_t> sizes{};
  std::vector<double> milestones{};
};
/// Bracket s = 0, 1, …; one that would begin with no resource at all is empty and passed over.
std::vector<BracketPlan> hyperband_plan(const HyperBandOptions& options);

class HyperBandScheduler final : public Scheduler {
 public:
  /// `bohb`: see hyperband_for_bohb.
  HyperBandScheduler(HyperBandOptions options, const SchedulerContext& context, bool bohb);

  void on_trial_add(TrialIndex trial, const Config& config) override;
  Verdict on_result(TrialIndex trial, const ResultView& result) override;
  Verdict on_complete(TrialIndex trial, const ResultView* last) override;
  Verdict on_error(TrialIndex trial) override { return remove(trial); }
  Verdict on_idle() override;
  std::optional<TrialIndex> choose_trial_to_run(const Candidates& candidates) const override;
  bool stops_every_trial() const override { return options_.stop_last_trials; }
  std::string time_attr() const override { return options_.time_attr; }
  bool may_pause() const override { return true; }
  std::string debug_text() const override;
  std::string save() const override;
  void restore(std::string_view state) override;

  std::uint64_t stopped() const noexcept { return stopped_; }
  /// Trials that live in the bracket which the trial is in; 0 for one that is in none.
  std::size_t live_beside(TrialIndex trial) const;

 private:
  struct Live {
    double time{0};
    double value{0};  ///< larger is better
  };
  struct Bracket {
    std::size_t plan{0};
    std::size_t band{0};    ///< round of all brackets that it belongs to
    std::size_t rung{0};
    bool closed{false};     ///< was full once, or was halved
    bool finished{false};   ///< its last trials came to max_t
    std::size_t behind{0};  ///< live trials that have not come to the milestone
    double progress{0};
    std::map<TrialIndex, Live> live{};
  };

  const BracketPlan& plan_of(const Bracket& bracket) const { return plans_[bracket.plan]; }
  double milestone(const Bracket& bracket) const { return plan_of(bracket).milestones[bracket.rung]; }
  bool on_last_rung(const Bracket& bracket) const { return bracket.rung + 1 == plan_of(bracket).milestones.size(); }
  bool has_room(const Bracket& bracket) const;
  bool ready(const Bracket& bracket) const { return bracket.behind == 0 && (bracket.closed || !waits_); }
  bool reached(const Bracket& bracket, const Live& live) const;
  std::size_t new_bracket();
  void count_behind(Bracket& bracket) const;
  Verdict process(Bracket& bracket, std::optional<TrialIndex> reporter);
  void halve(Bracket& bracket, std::optional<TrialIndex> reporter, Verdict& verdict);
  void drop(TrialIndex trial, std::optional<TrialIndex> reporter, Verdict& verdict);
  Verdict remove(TrialIndex trial);
  double completion(const Bracket& bracket) const;

  HyperBandOptions options_;
  std::string metric_;
  double sign_;
  bool largest_first_;
  bool waits_;  ///< a bracket waits until it is full
  std::vector<BracketPlan> plans_;
  std::vector<Bracket> brackets_;
  std::size_t opened_{0};  ///< how many plans have been gone through, the empty ones too
  std::map<TrialIndex, std::size_t> bracket_of_;
  std::uint64_t stopped_{0};
};

}  // namespace manta::tune
