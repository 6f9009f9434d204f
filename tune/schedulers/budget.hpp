#pragma once
// stop_at_budget(): each trial runs as long as its own configuration says. For searchers that set budgets, such as DEHB.
//
//   .scheduler = tune::stop_at_budget({.parameter = "budget"})
//
// At the first result with time_attr at or past the value of the parameter the trial stops, and the result counts as a rung
// of that budget. A trial whose configuration has no such number runs to its own end: so a trainable that has none needs a number
// that every configuration has: one that the searcher adds, as DEHB does, or a parameter of the space without a condition.
#include <map>
#include <string>

#include "tune/schedulers/scheduler.hpp"

namespace manta::tune {

struct BudgetOptions {
  std::string parameter{"budget"};             ///< of the configuration: a number, in units of time_attr
  std::string time_attr{"training_iteration"};  ///< or "time_total_s", or a metric that grows
};

SchedulerSpec stop_at_budget(BudgetOptions options = {});

class BudgetScheduler final : public Scheduler {
 public:
  /// `space`: where the searcher draws from.
  explicit BudgetScheduler(BudgetOptions options, const Space& space = {});

  void on_trial_add(TrialIndex trial, const Config& config) override;
  Verdict on_result(TrialIndex trial, const ResultView& result) override;
  Verdict on_complete(TrialIndex trial, const ResultView* last) override;
  Verdict on_error(TrialIndex trial) override;
  /// What a searcher has added to one configuration, it adds to all.
  bool stops_every_trial() const override { return source_ == Source::kAlways; }
  std::string time_attr() const override { return options_.time_attr; }
  std::string debug_text() const override;
  std::string save() const override;
  void restore(std::string_view state) override;

 private:
  /// Of the budgets: the space, in some configurations or in all of them; else the searcher, if anybody.
  enum class Source { kSearcher, kSometimes, kAlways };

  BudgetOptions options_;
  Source source_{Source::kSearcher};
  std::map<TrialIndex, double> budgets_;  // of trials that have not ended
};

}  // namespace manta::tune
