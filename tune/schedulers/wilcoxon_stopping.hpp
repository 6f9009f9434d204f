#pragma once
// Wilcoxon stopping, as Optuna's WilcoxonPruner: for trials that report one value for each of several problem instances,
// the step being the instance. A trial stops when the signed-rank test finds it probably worse than the best trial so far
// on the instances that both have seen (Wilcoxon, "Individual Comparisons by Ranking Methods", 1945).
//
//   .scheduler = tune::wilcoxon_stopping({.step_attr = "instance", .p_threshold = 0.1})
//
// The best trial is the one with the best mean of its values among those that ran to their end. Differences of 0 are
// ranked and split between the signs; the test is exact up to 50 differences without a 0, else the normal approximation.
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tune/schedulers/scheduler.hpp"

namespace manta::tune {

struct WilcoxonStoppingOptions {
  std::string step_attr{"training_iteration"};  ///< or a metric that holds the instance's number
  Number p_threshold{0.1};                      ///< 0…1: a larger one stops more
  std::uint64_t n_startup_steps{2};             ///< instances in common before a trial may stop
};

/// The scheduler for TuneOptions.
SchedulerSpec wilcoxon_stopping(WilcoxonStoppingOptions options = {});

/// The probability of a positive rank sum at least as large, if the differences were symmetric about 0. NaN without any.
double wilcoxon_p_greater(const std::vector<double>& differences);

class WilcoxonStoppingScheduler final : public Scheduler {
 public:
  WilcoxonStoppingScheduler(WilcoxonStoppingOptions options, const SchedulerContext& context);

  Verdict on_result(TrialIndex trial, const ResultView& result) override;
  Verdict on_complete(TrialIndex trial, const ResultView* last) override;
  Verdict on_error(TrialIndex trial) override { return running_.erase(trial), Verdict{}; }
  std::string time_attr() const override { return options_.step_attr; }
  std::string debug_text() const override;
  std::string save() const override;
  void restore(std::string_view state) override;

 private:
  using Values = std::map<double, double>;  ///< step: value, negated for mode max: small is good
  bool worse(const Values& own) const;

  WilcoxonStoppingOptions options_;
  std::string metric_;
  double sign_;
  std::map<TrialIndex, Values> running_;
  Values best_;  ///< of the best trial that ran to its end
  std::uint64_t stopped_{0};
};

}  // namespace manta::tune
