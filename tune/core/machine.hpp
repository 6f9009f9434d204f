#pragma once
// ExperimentMachine: the state of an experiment and every decision about it. No thread, clock, file or third party: the
// driver's loop journals an event and steps the machine with it; a resume steps it with the journal's events; a test
// with events of its own. The same events give the same state and decisions, always.
//
// A result passes, in this order: the strict check that the metric and the scheduler's time are there, max_iterations, the stopper, the scheduler,
// and the searcher, as in Ray's tune_controller. A verdict of the scheduler is carried out in machine_verdict.cpp, unless the stopper ends
// the experiment with that result.
#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tune/core/events.hpp"
#include "tune/schedulers/scheduler.hpp"
#include "tune/searchers/searcher.hpp"
#include "tune/stoppers/stopper.hpp"
#include "tune/trial.hpp"

namespace manta::tune {

struct MachineOptions {
  std::string metric{};
  Mode mode{Mode::kMin};
  std::vector<std::string> further_metrics{};  ///< of the objectives besides
  std::string trial_prefix{};         ///< trial ids are "<prefix>_00000", …
  std::string trainable{};            ///< trial names are "<trainable>_<id>"
  std::string scheduler{};            ///< its name, for messages
  std::uint64_t max_iterations{0};    ///< 0: no limit
  std::int64_t max_failures{0};       ///< retries of one trial; -1: without end
  std::uint32_t keep_checkpoints{1};  ///< the newest so many of a trial; at least 1
  std::uint32_t keep_best_checkpoints{0};     ///< and so many with the best score
  std::string score_attribute{};              ///< of checkpoints; empty: the metric
  std::optional<Mode> score_mode{};           ///< none: the experiment's
  std::uint64_t checkpoint_budget_bytes{0};   ///< of all trials' checkpoints together; 0: no limit
  bool endless{false};                        ///< the searcher's total means nothing
  std::optional<std::uint64_t> num_samples{};  ///< how many trials there are with a searcher that has no total of its own; none: it says itself when it is done
};

/// A checkpoint to delete.
struct Superseded {
  TrialIndex trial{0};
  CheckpointRef checkpoint{};
};

/// A trial that goes on as another one's copy from now on.
struct Exploited {
  TrialIndex trial{0};
  TrialIndex donor{0};             ///< itself, when only its configuration is another
  std::uint64_t from_iteration{0};  ///< the trial's before
};

/// What the driver has to do after an event.
struct Effects {
  Decision decision{Decision::kContinue};    ///< what to answer to a report
  bool recorded{false};                      ///< a new result row
  bool ended{false};                         ///< the trial reached its last state
  std::vector<TrialIndex> others_ended{};    ///< other trials that the event ended; one that runs has to be stopped
  bool exploited{false};                     ///< the event's trial goes on as a copy of another one
  std::vector<Exploited> exploits{};         ///< all that do: their new checkpoints have to be made
  double rung{0};                            ///< above 0: the result filled a rung of that resource
  std::vector<Superseded> superseded{};
};

class ExperimentMachine {
 public:
  ExperimentMachine(MachineOptions options, std::unique_ptr<Searcher> searcher, std::unique_ptr<Scheduler> scheduler,
                    std::unique_ptr<Stopper> stopper = nullptr);

  /// Takes one event. StorageCorruption when it cannot follow those before it.
  Effects step(const Event& event);

  /// The state as events: a fresh machine that steps with these is like this one. All carry the time of the last event.
  /// Requires that no proposal is left over.
  void snapshot(const std::function<void(const Event&)>& visit) const;
  /// Sets what follows from a trial's index.
  void give_names(Trial& trial) const;

  /// The next trial to be made, while fewer wait than there are free workers, or than the searcher likes to be ahead when
  /// its proposals do not depend on results; the driver journals it and steps with it. `held_back`: of those that wait, so many may not
  /// be started yet, and do not count.
  std::optional<TrialCreated> propose(std::size_t free_workers = 1, std::size_t held_back = 0);
  /// The trial to be started next, if one may be: pending, or paused and promoted by being started. `leaving` says which
  /// trials still have to leave their last worker.
  std::optional<TrialIndex> next_to_run(const std::function<bool(TrialIndex)>& leaving = {}) const;
  /// No trial is left to run, and none will be made.
  bool finished() const noexcept { return exhausted_ && unfinished_ == 0; }
  /// Trials that a scheduler or stopper may still end or release.
  std::size_t unfinished() const noexcept { return unfinished_; }
  /// Seconds that the experiment has been worked on, up to its last event.
  double time_since_start_s() const noexcept { return static_cast<double>(worked_ms_) / 1000.0; }
  /// The same at a time since the last event.
  double time_since_start_s(std::int64_t now_ms) const noexcept;
  /// Wall clock that a running trial has had in all its runs; where a TrialBegun tells of its start, without the wait for its place.
  double running_s(TrialIndex index, std::int64_t now_ms) const;
  /// Whether one that runs has had more than that by then.
  bool any_runs_longer(double limit_s, std::int64_t now_ms) const {
    return std::any_of(running_since_ms_.begin(), running_since_ms_.end(), [&](const auto& each) { return running_s(each.first, now_ms) > limit_s; });
  }
  /// Why the experiment should end now although no event says so, when its stopper has had enough.
  bool stopper_ends_all(std::int64_t now_ms) const { return stopper_ && stopper_->stop_all(time_since_start_s(now_ms)); }
  bool has_stopper() const noexcept { return stopper_ != nullptr; }
  /// Whether a trial that fails now would run again.
  bool may_retry(TrialIndex index) const;
  bool may_pause() const { return scheduler_->may_pause(); }
  /// What ended the experiment before its time; empty: nothing.
  const std::string& stopped_by() const noexcept { return stopped_by_; }

  const std::vector<Trial>& trials() const noexcept { return trials_; }
  const Trial& trial(TrialIndex index) const { return trials_.at(index); }
  const MachineOptions& options() const noexcept { return options_; }
  /// How many trials are in that state.
  std::size_t count(TrialState state) const noexcept { return counts_[static_cast<std::size_t>(state)]; }
  /// How many trials are made at most, where there is an end.
  std::optional<std::uint64_t> total() const;
  const std::optional<ExperimentCreated>& header() const noexcept { return header_; }
  std::string scheduler_text() const { return scheduler_->debug_text(); }
  /// The best trial by its last finite value of the metric, or null.
  const Trial* best() const noexcept;
  /// True when a trial that is recorded at `iteration` already reports it again.
  bool recorded(TrialIndex index, std::uint64_t iteration) const { return iteration <= trial(index).iteration; }

 private:
  void on(const ExperimentCreated& event, Effects& effects);
  void on(const SessionStarted& event, Effects& effects);
  void on(const TrialCreated& event, Effects& effects);
  void on(const TrialStarted& event, Effects& effects);
  void on(const TrialBegun& event, Effects& effects);
  void on(const TrialReported& event, Effects& effects);
  void on(const TrialCheckpointed& event, Effects& effects);
  void on(const TrialFinished& event, Effects& effects);
  void on(const TrialFailed& event, Effects& effects);
  void on(const SchedulerIdle& event, Effects& effects);
  void on(const TrialTimedOut& event, Effects& effects);
  void on(const ExperimentStopped& event, Effects& effects);
  void on(const ExperimentSnapshot& event, Effects& effects);
  void on(const TrialSnapshot& event, Effects& effects);
  void on(const TrialDecided&, Effects&) {}

  Trial& expect(TrialIndex index, TrialState state, const char* event);
  void set_state(Trial& trial, TrialState state);
  void record(Trial& trial, const TrialReported& event);
  void decide(Trial& trial, bool checkpoint, Effects& effects);
  void end(Trial& trial, TrialState state, const ResultView* last, double rung);
  Verdict fail(Trial& trial, Effects& effects);
  Verdict complete(Trial& trial, Effects& effects);
  ResultView view(const Trial& trial, bool checkpoint = false) const;

  /// InvalidArgument when the scheduler names a trial that there is not.
  void check_named(TrialIndex index) const;
  bool carry_out(const Verdict& verdict, Effects& effects);
  void pause(Trial& trial, const Verdict& verdict, Effects& effects);
  bool exploit(Trial& trial, const Exploit& exploit, Effects& effects);
  void end_other(Trial& trial, Effects& effects);
  void end_all(Effects& effects);
  void resume(Trial& trial);

  void add_checkpoint(Trial& trial, CheckpointRef checkpoint, Effects& effects);
  void drop_checkpoint(Trial& trial, std::size_t position, Effects& effects);
  void keep_some(Trial& trial, Effects& effects);
  void shrink_to_budget(Effects& effects);
  std::optional<double> score_of(const CheckpointRef& checkpoint) const;
  std::optional<double> score_of(const Trial& trial) const;
  bool better(double a, double b) const noexcept { return options_.mode == Mode::kMin ? a < b : a > b; }
  /// Why its first result cannot be judged; empty: it can.
  std::string missing_metric(const Trial& trial) const;

  MachineOptions options_;
  std::unique_ptr<Searcher> searcher_;
  std::unique_ptr<Scheduler> scheduler_;
  std::unique_ptr<Stopper> stopper_;  // may be null
  std::optional<ExperimentCreated> header_;
  std::vector<Trial> trials_;
  std::set<TrialIndex> ready_;
  std::array<std::size_t, 5> counts_{};
  std::size_t unfinished_{0};
  std::optional<TrialCreated> proposed_;
  bool exhausted_{false};
  std::optional<std::int64_t> last_ms_;
  std::int64_t worked_ms_{0};
  std::map<TrialIndex, std::int64_t> running_since_ms_;
  std::string stopped_by_;

  // What the checkpoints' budget needs; map and set are empty without one.
  std::uint64_t checkpoints_made_{0};
  std::uint64_t checkpoint_bytes_{0};
  std::map<std::uint64_t, TrialIndex> spare_checkpoints_;  // by age: those that no trial that is not over would go on from
  std::set<std::pair<double, std::uint64_t>> checkpoints_by_score_;  // the best first
};

}  // namespace manta::tune
