#pragma once
// The median stopping rule, as Ray's MedianStoppingRule (Golovin et al., "Google Vizier", KDD 2017, section 3.2): a trial
// stops when the best that it has reported is strictly worse than the median, over the other trials that have come as far
// in time, of the means of what they reported until then.
//
//   .scheduler = tune::median_stopping({.time_attr = "training_iteration", .grace_period = 5})
//
// NaN is passed over: it moves no mean, and a trial that has reported nothing else is not stopped.
//
// Its cost grows with the experiment: each result past the grace period asks all trials so far, also those that have ended, for
// their mean up to just that time, and all results (32 bytes each) are kept and are in every snapshot. For tens of thousands of
// trials take asha or percentile_stopping, whose cost does not.
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tune/schedulers/scheduler.hpp"

namespace manta::tune {

struct MedianStoppingOptions {
  std::string time_attr{"time_total_s"};  ///< or "training_iteration", or a metric that grows
  Number grace_period{60};                ///< no trial stops earlier; results before count in no mean, but in a trial's best
  std::uint64_t min_samples_required{3};  ///< other trials that have come as far
  Number min_time_slice{0};  ///< with fewer, a trial makes way for those that wait, after running for more than so long
  bool hard_stop{true};      ///< false: it pauses instead, goes on when nothing else is to be run, and is not judged again
};

/// The scheduler for TuneOptions.
SchedulerSpec median_stopping(MedianStoppingOptions options = {});

class MedianStoppingScheduler final : public Scheduler {
 public:
  MedianStoppingScheduler(MedianStoppingOptions options, const SchedulerContext& context);

  void on_trial_add(TrialIndex trial, const Config&) override { pending_.insert(trial); }
  void on_start(TrialIndex trial) override;
  Verdict on_result(TrialIndex trial, const ResultView& result) override;
  Verdict on_complete(TrialIndex trial, const ResultView* last) override;
  Verdict on_error(TrialIndex trial) override;
  /// The ready ones, then those that paused, the longest first.
  std::optional<TrialIndex> choose_trial_to_run(const Candidates& candidates) const override;
  bool may_pause() const override { return true; }
  std::string time_attr() const override { return options_.time_attr; }
  std::string debug_text() const override;
  std::string save() const override;
  void restore(std::string_view state) override;

 private:
  /// What a trial has reported, in the order of time.
  struct Curve {
    std::vector<double> times{};
    std::vector<double> values{};  ///< negated for mode min: larger is better
    std::vector<double> sums{};    ///< of the values up to each, without NaN
    std::vector<double> counts{};
    std::optional<double> best{};  ///< of the values that are not NaN
    double last_pause{0};

    void add(double time, double value);
    std::optional<double> mean(double from, double to) const;
  };
  std::vector<double> means_of_others(TrialIndex trial, double time, std::size_t& others) const;
  Verdict too_few(TrialIndex trial, Curve& curve, double time);
  Verdict pause(TrialIndex trial);

  MedianStoppingOptions options_;
  std::string metric_;
  double sign_;
  std::map<TrialIndex, Curve> curves_;
  std::set<TrialIndex> pending_;    ///< made and never started
  std::deque<TrialIndex> paused_;
  std::set<TrialIndex> let_off_;    ///< paused where hard_stop would have stopped them
  std::uint64_t stopped_{0};
};

}  // namespace manta::tune
