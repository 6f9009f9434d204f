#pragma once
// Percentile stopping, as Optuna's PercentilePruner: a trial stops when the best that it has reported is worse than the given
// percentile of what the trials that ran to their end reported at the same step. 50 is Optuna's MedianPruner.
//
//   .scheduler = tune::percentile_stopping({.percentile = 25})     // the best quarter goes on
//
// A trial that has reported nothing but NaN stops once start-up trials and warm-up steps are over, whether there is anybody to compare it to or
// not. Unlike there, NaN of others does not count among n_min_trials; and where the percentile falls just upon an infinite value
// of others or half way to it, a trial may stop in one mode that goes on in the other.
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
  std::uint64_t n_min_trials{1};      ///< that reported a number, not NaN, at this step
};

/// The scheduler for TuneOptions.
SchedulerSpec percentile_stopping(PercentileStoppingOptions options = {});

class PercentileStoppingScheduler final : public Scheduler {
 public:
  PercentileStoppingScheduler(PercentileStoppingOptions options, const SchedulerContext& context);

  Verdict on_result(TrialIndex trial, const ResultView& result) override;
  Verdict on_complete(TrialIndex trial, const ResultView* last) override;
  Verdict on_error(TrialIndex trial) override { return running_.erase(trial), Verdict{}; }
  std::string time_attr() const override { return options_.time_attr; }
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
