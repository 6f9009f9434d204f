#pragma once
// Percentile stopping, as Optuna's PercentilePruner: a trial stops when the best that it has reported is worse than the given
// percentile of what the trials that ran to their end reported at the same step. 50 is Optuna's MedianPruner.
//
//   .scheduler = tune::percentile_stopping({.percentile = 25})     // the best quarter goes on
//
// A trial that has reported nothing but NaN stops as soon as others are compared at all; NaN of others is passed over.
#include <cstdint>
#include <map>
#include <string>

#include "tune/schedulers/running_quantile.hpp"
#include "tune/schedulers/scheduler.hpp"

namespace manta::tune {

struct PercentileStoppingOptions {
  std::string time_attr{"training_iteration"};  ///< or a metric that trials share the values of; seconds are refused, they share none
  Number percentile{25};              ///< 0…100: how many in a hundred may go on
  std::uint64_t n_startup_trials{5};  ///< nobody stops before so many ran to their end
  Number n_warmup_steps{0};           ///< nor before that time
  Number interval_steps{1};           ///< looked at once in so much time
  std::uint64_t n_min_trials{1};      ///< that reported at this step
};

/// The scheduler for TuneOptions.
SchedulerSpec percentile_stopping(PercentileStoppingOptions options = {});

class PercentileStoppingScheduler final : public Scheduler {
 public:
  PercentileStoppingScheduler(PercentileStoppingOptions options, const SchedulerContext& context);

  Verdict on_result(TrialIndex trial, const ResultView& result) override;
  Verdict on_complete(TrialIndex trial, const ResultView* last) override;
  Verdict on_error(TrialIndex trial) override { return running_.erase(trial), Verdict{}; }
  std::string debug_text() const override;
  std::string save() const override;
  void restore(std::string_view state) override;

 private:
  using Curve = std::map<double, double>;  ///< time: value, negated for mode max: small is good
  bool first_in_interval(const Curve& curve, double time) const;

  PercentileStoppingOptions options_;
  std::string metric_;
  double sign_;
  std::map<TrialIndex, Curve> running_;
  std::map<double, RunningQuantile> at_time_;  ///< of the trials that ran to their end
  std::uint64_t completed_{0};
  std::uint64_t stopped_{0};
};

}  // namespace manta::tune
