#pragma once
// Scheduler: what decides, at each result, whether a trial goes on. Pure: no thread, no clock; the same order of calls
// gives the same decisions. One scheduler belongs to one experiment and is called by the driver's thread only.
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tune/config.hpp"
#include "tune/objective.hpp"
#include "tune/resources.hpp"
#include "tune/search_space.hpp"

namespace manta::tune {

enum class Decision : std::uint8_t { kContinue, kStop, kPause };

/// The trial goes on as a copy of another one: from the donor's newest checkpoint, with this configuration, counting
/// iterations from the donor's. Where the donor has no checkpoint, nothing happens. A trial that is its own donor goes on
/// from its own newest checkpoint with the other configuration.
struct Exploit {
  TrialIndex donor{0};
  Config config{};
  std::string tag{};
};

/// What a scheduler makes of an event. What it says of other trials holds for those that are paused, or wait to be run. Nothing of it is
/// done where the stopper ends the experiment with the same result.
struct Verdict {
  Decision decision{Decision::kContinue};  ///< for the trial that reported; elsewhere it does not count
  double rung{0};                          ///< above 0: the result filled a rung of that resource
  std::vector<TrialIndex> stop{};          ///< trials that end now
  std::vector<TrialIndex> resume{};        ///< paused trials that may run again
  std::optional<Exploit> exploit{};        ///< with kPause: the trial waits to go on like that
  std::vector<std::pair<TrialIndex, Exploit>> exploit_others{};  ///< paused trials that will go on like that; they stay paused
  std::optional<TrialResources> resources{};  ///< with kPause: the trial waits to go on with these

  Verdict() = default;
  Verdict(Decision made, double filled = 0) : decision(made), rung(filled) {}
};

/// What may be started. `ready`: the trials that wait for a worker, by index. `startable`: false for a paused trial that is
/// still leaving its last worker; where it is chosen all the same, none is started for now.
struct Candidates {
  std::vector<TrialIndex> ready{};
  std::function<bool(TrialIndex)> startable{};
};

class Scheduler {
 public:
  virtual ~Scheduler() = default;

  /// Before a trial is made: completes or replaces the configuration that the searcher gave it.
  virtual void fill_config(TrialIndex, Config&) const {}
  virtual void on_trial_add(TrialIndex, const Config&) {}
  virtual Verdict on_result(TrialIndex, const ResultView&) = 0;
  /// The trial ended by itself or by a stopper; `last` is its last result, or null.
  virtual Verdict on_complete(TrialIndex, const ResultView* /*last*/) { return {}; }
  /// The trial failed for good.
  virtual Verdict on_error(TrialIndex) { return {}; }
  /// The trial got a worker, for the first time or again.
  virtual void on_start(TrialIndex) {}
  /// The trial has a new checkpoint: with a result (told before it), made while it left its worker, or taken over.
  virtual void on_checkpoint(TrialIndex) {}
  /// Nothing runs and nothing may be started. A verdict that moves nobody ends all paused trials.
  virtual Verdict on_idle() { return {}; }
  /// Which trial runs next: one of `ready`, a paused one (it is resumed), or none for now. Changes nothing: `on_start`
  /// tells what was made of it.
  virtual std::optional<TrialIndex> choose_trial_to_run(const Candidates& candidates) const {
    return candidates.ready.empty() ? std::nullopt : std::optional(candidates.ready.front());
  }

  /// True when every trial that reports is stopped at some time, so that a trainable without an end is safe.
  virtual bool stops_every_trial() const { return false; }
  /// What it tells time by, "training_iteration" or a metric: a trial whose first result has no such is an ERROR. Empty: by nothing.
  virtual std::string time_attr() const { return {}; }
  /// True when a trial may be paused. It has to stop at the very result that it is paused at, so none may be held back.
  virtual bool may_pause() const { return false; }
  /// Lines for the reporter's header: rungs and their cutoffs.
  virtual std::string debug_text() const { return {}; }

  /// The whole state, and back: after `restore(save())` the next decisions are the same.
  virtual std::string save() const = 0;
  virtual void restore(std::string_view state) = 0;
};

/// What an experiment tells its scheduler once, so that the user says metric and mode in one place.
struct SchedulerContext {
  std::string metric{};
  Mode mode{Mode::kMin};
  std::uint64_t seed{0};
  TrialResources resources{};  ///< of each trial at first
  Resources total{};           ///< of the machine or cluster, for schedulers that share it out
  std::vector<Objective> further_objectives{};  ///< beside the metric
  Space space{};               ///< for schedulers that change configurations
  bool saves_itself{false};    ///< a trial that is paused saves its state whatever the checkpoint frequency: it loses nothing
  /// Of each trial at first, by its configuration, instead of `resources`; may be empty. A user's function.
  std::function<TrialResources(const Config&)> resources_of{};
};

/// A scheduler to be: its name for tables, all its options as text (two that differ in the text are different
/// experiments), and how to make it.
struct SchedulerSpec {
  std::string name{};
  std::string description{};
  std::function<std::unique_ptr<Scheduler>(const SchedulerContext&)> make{};
  bool shares_out{false};  ///< decides by SchedulerContext::total, so the experiment cannot go on where that is another
  bool changes_configs{false};  ///< of trials that run: refused beside a searcher that learns
};

/// Trials run to their end, in the order in which they were made.
SchedulerSpec fifo();

}  // namespace manta::tune
