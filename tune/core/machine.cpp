#include "tune/core/machine.hpp"

#include <algorithm>
#include <cmath>

#include "runtime/errors.hpp"

namespace manta::tune {

ExperimentMachine::ExperimentMachine(MachineOptions options, std::unique_ptr<Searcher> searcher,
                                     std::unique_ptr<Scheduler> scheduler, std::unique_ptr<Stopper> stopper)
    : options_(std::move(options)),
      searcher_(std::move(searcher)),
      scheduler_(std::move(scheduler)),
      stopper_(std::move(stopper)) {
  MANTA_CHECK(options_.keep_checkpoints >= 1);
}

Effects ExperimentMachine::step(const Event& event) {
  Effects effects;
  if (std::holds_alternative<TrialDecided>(event.body)) return effects;  // for readers; the clock stays too
  const bool new_session = std::holds_alternative<SessionStarted>(event.body);
  if (last_ms_ && !new_session) worked_ms_ += std::max<std::int64_t>(0, event.time_ms - *last_ms_);
  if (!new_session) last_ms_ = event.time_ms;
  std::visit([&](const auto& body) { on(body, effects); }, event.body);
  // A trial that ended needs its newest checkpoint no more. While a snapshot's trials come in, the best one is not known.
  if (!std::holds_alternative<TrialSnapshot>(event.body)) shrink_to_budget(effects);
  last_ms_ = event.time_ms;
  return effects;
}

double ExperimentMachine::time_since_start_s(std::int64_t now_ms) const noexcept {
  const std::int64_t since = last_ms_ ? std::max<std::int64_t>(0, now_ms - *last_ms_) : 0;
  return static_cast<double>(worked_ms_ + since) / 1000.0;
}

double ExperimentMachine::running_s(TrialIndex index, std::int64_t now_ms) const {
  const auto found = running_since_ms_.find(index);
  const std::int64_t since = found == running_since_ms_.end() ? 0 : std::max<std::int64_t>(0, now_ms - found->second);
  return trial(index).time_running_s + static_cast<double>(since) / 1000.0;
}

std::optional<std::uint64_t> ExperimentMachine::total() const {
  if (options_.endless) return std::nullopt;
  const auto counted = searcher_->total();
  return counted ? counted : options_.num_samples;
}

std::optional<TrialCreated> ExperimentMachine::propose(std::size_t free_workers, std::size_t held_back) {
  const std::size_t ahead = searcher_->suggest_ahead();
  const std::size_t ready = ready_.size() - std::min(held_back, ready_.size());
  if (exhausted_ || ready >= std::max(free_workers, ahead > 1 ? ahead : 0)) return std::nullopt;
  if (proposed_) return proposed_;
  const auto index = static_cast<TrialIndex>(trials_.size());
  if (const auto most = total(); most && index >= *most) return exhausted_ = true, std::nullopt;
  Suggestion suggestion = searcher_->suggest(index);
  if (suggestion.kind == Suggestion::Kind::kDone) exhausted_ = true;
  if (suggestion.kind != Suggestion::Kind::kConfig) return std::nullopt;
  proposed_ = TrialCreated{index, std::move(suggestion.tag), std::move(suggestion.config)};
  return proposed_;
}

std::optional<TrialIndex> ExperimentMachine::next_to_run(const std::function<bool(TrialIndex)>& leaving) const {
  if (unfinished_ == 0) return std::nullopt;  // a stopper has ended them all, and the scheduler was not asked
  Candidates candidates{{ready_.begin(), ready_.end()}, [&](TrialIndex trial) { return !leaving || !leaving(trial); }};
  std::erase_if(candidates.ready, [&](TrialIndex trial) { return !candidates.startable(trial); });
  const auto next = scheduler_->choose_trial_to_run(candidates);
  if (!next) return std::nullopt;
  check_named(*next);
  const Trial& chosen = trials_[*next];
  if (chosen.state != TrialState::kPending && chosen.state != TrialState::kPaused)
    throw InvalidArgument("tune: the scheduler '" + options_.scheduler + "' chose trial " + std::to_string(*next) + " to run, which is " +
                          std::string(to_string(chosen.state)) + ". Choose one of those that are ready, or that are paused.");
  if (!candidates.startable(*next)) return std::nullopt;  // chosen all the same: it can be once it has left
  return next;
}

bool ExperimentMachine::may_retry(TrialIndex index) const {
  return options_.max_failures < 0 || trial(index).failures < static_cast<std::uint64_t>(options_.max_failures);
}

const Trial* ExperimentMachine::best() const noexcept {
  const Trial* best = nullptr;
  double best_value = 0;
  for (const Trial& trial : trials_) {
    const auto value = trial.value(options_.metric);
    if (!value || !std::isfinite(*value)) continue;
    if (!best || better(*value, best_value)) best = &trial, best_value = *value;
  }
  return best;
}

Trial& ExperimentMachine::expect(TrialIndex index, TrialState state, const char* event) {
  if (index >= trials_.size())
    throw StorageCorruption("the experiment's journal: '" + std::string(event) + "' of trial " + std::to_string(index) +
                            ", which was never made.");
  Trial& trial = trials_[index];
  if (trial.state != state)
    throw StorageCorruption("the experiment's journal: '" + std::string(event) + "' of trial " + trial.id + ", which is " +
                            std::string(to_string(trial.state)) + " and not " + std::string(to_string(state)) +
                            ". It is damaged, or was written by a program that decides otherwise (another version, compiler or C library): go on "
                            "with that one, or look at what there is with `manta tune show`.");
  return trial;
}

void ExperimentMachine::set_state(Trial& trial, TrialState state) {
  const bool was_open = !trial.ended();
  if (state == TrialState::kRunning) running_since_ms_[trial.index] = *last_ms_;
  if (trial.state == TrialState::kRunning && state != TrialState::kRunning) {
    trial.time_running_s = running_s(trial.index, *last_ms_);
    running_since_ms_.erase(trial.index);
  }
  --counts_[static_cast<std::size_t>(trial.state)];
  ++counts_[static_cast<std::size_t>(state)];
  trial.state = state;
  if (was_open && trial.ended()) {
    --unfinished_;
    if (options_.checkpoint_budget_bytes != 0 && !trial.checkpoints.empty()) spare_checkpoints_.emplace(trial.checkpoints.back().order, trial.index);
  }
  if (state == TrialState::kPending)
    ready_.insert(trial.index);
  else
    ready_.erase(trial.index);
}

void ExperimentMachine::on(const ExperimentCreated& event, Effects&) {
  if (header_) throw StorageCorruption("the experiment's journal begins twice.");
  header_ = event;
}

void ExperimentMachine::on(const SessionStarted&, Effects&) {
  for (Trial& trial : trials_)
    if (trial.state == TrialState::kRunning) set_state(trial, TrialState::kPending);
}

void ExperimentMachine::on(const TrialCreated& event, Effects&) {
  if (event.trial != trials_.size())
    throw StorageCorruption("the experiment's journal: trial " + std::to_string(event.trial) + " is made where trial " +
                            std::to_string(trials_.size()) + " is due.");
  if (!proposed_) searcher_->suggest(event.trial);  // a replay: brings the searcher to the same state
  proposed_.reset();
  Trial trial{.index = event.trial, .tag = event.tag, .config = event.config};
  give_names(trial);
  scheduler_->fill_config(event.trial, trial.config);
  trials_.push_back(std::move(trial));
  ++counts_[static_cast<std::size_t>(TrialState::kPending)];
  ++unfinished_;
  ready_.insert(event.trial);
  scheduler_->on_trial_add(event.trial, trials_.back().config);
}

void ExperimentMachine::on(const TrialStarted& event, Effects&) {
  Trial& trial = event.trial < trials_.size() && trials_[event.trial].state == TrialState::kPaused
                     ? trials_[event.trial]
                     : expect(event.trial, TrialState::kPending, "started");
  if (trial.state == TrialState::kPaused) resume(trial);
  ++trial.attempts;
  trial.cloned.reset();  // its copy was made before this was journaled; what it saves from here on is its own
  set_state(trial, TrialState::kRunning);
  if (event.waits) running_since_ms_.erase(event.trial);
  scheduler_->on_start(event.trial);
}

void ExperimentMachine::on(const TrialBegun& event, Effects&) {
  expect(event.trial, TrialState::kRunning, "begun");
  running_since_ms_[event.trial] = *last_ms_;
}

void ExperimentMachine::on(const TrialReported& event, Effects& effects) {
  Trial& trial = expect(event.trial, TrialState::kRunning, "reported");
  if (event.iteration != trial.iteration + 1)
    throw StorageCorruption("the experiment's journal: trial " + trial.id + " reports iteration " +
                            std::to_string(event.iteration) + " after " + std::to_string(trial.iteration) + ".");
  record(trial, event);
  effects.recorded = true;
  if (!event.checkpoint.empty())
    add_checkpoint(trial, {event.iteration, event.checkpoint, score_of(trial), event.checkpoint_bytes}, effects);
  decide(trial, !event.checkpoint.empty(), effects);
}

void ExperimentMachine::record(Trial& trial, const TrialReported& event) {
  trial.pid = event.pid;
  trial.record(event.iteration, event.metrics, event.time_this_iter_s);
}

ResultView ExperimentMachine::view(const Trial& trial, bool checkpoint) const {
  return {trial.iteration, trial.time_total_s, trial.last, time_since_start_s(), checkpoint};
}

void ExperimentMachine::decide(Trial& trial, bool checkpoint, Effects& effects) {
  auto missing = trial.iteration == 1 ? missing_metric(trial) : std::string();
  const ResultView result = view(trial, checkpoint);
  Verdict verdict;
  if (!missing.empty()) {
    trial.error = std::move(missing);
    ++trial.failures;
    effects.decision = Decision::kStop;
    verdict = fail(trial, effects);
  } else if ((options_.max_iterations != 0 && trial.iteration >= options_.max_iterations) ||
             (stopper_ && stopper_->on_result(trial.index, result))) {
    effects.decision = Decision::kStop;
    verdict = complete(trial, effects);
  } else {
    verdict = scheduler_->on_result(trial.index, result);
    effects.decision = verdict.decision;
    effects.rung = verdict.rung;
    if (verdict.decision == Decision::kStop) {
      end(trial, TrialState::kTerminated, &result, verdict.rung);
      effects.ended = true;
    } else {
      searcher_->on_result(trial.index, result, verdict.rung);
    }
  }
  if (stopper_ && stopper_->stop_all(time_since_start_s())) {
    if (stopped_by_.empty()) stopped_by_ = "the stopper ended the experiment";
    end_all(effects);  // nobody goes on, so that nobody is another one's copy either
  } else {
    if (effects.decision == Decision::kPause) pause(trial, verdict, effects);
    carry_out(verdict, effects);
  }
  if (std::erase(effects.others_ended, trial.index) == 0) return;
  effects.ended = true;  // by its own result, as by any stopper: told after that result, and once
  effects.decision = Decision::kStop;
}

/// A trial that came to its end by itself or by a stopper. Gives what its scheduler says of others, to be carried out.
Verdict ExperimentMachine::complete(Trial& trial, Effects& effects) {
  trial.go_back_to_result();
  const ResultView last = view(trial);
  Verdict verdict = scheduler_->on_complete(trial.index, trial.iteration ? &last : nullptr);
  end(trial, TrialState::kTerminated, trial.iteration ? &last : nullptr, verdict.rung);
  effects.ended = true;
  effects.rung = verdict.rung;
  return verdict;
}

/// A trial that failed for good. Gives the same.
Verdict ExperimentMachine::fail(Trial& trial, Effects& effects) {
  Verdict verdict = scheduler_->on_error(trial.index);
  end(trial, TrialState::kError, nullptr, 0);
  effects.ended = true;
  return verdict;
}

void ExperimentMachine::end(Trial& trial, TrialState state, const ResultView* last, double rung) {
  set_state(trial, state);
  trial.go_back_to_result();
  if (stopper_) stopper_->on_end(trial.index);
  searcher_->on_complete(trial.index, last, rung);
}

std::string ExperimentMachine::missing_metric(const Trial& trial) const {
  const auto report = [&](const std::string& metric, const std::string& option) {
    return "the trial's first result has no metric '" + metric + "', by which this experiment chooses. It reported: " + trial.last.names() +
           ". Report '" + metric + "' with each result (NaN where it is not known yet), or set TuneOptions::" + option + " to a name that is reported.";
  };
  if (!options_.metric.empty() && !trial.value(options_.metric)) return report(options_.metric, "metric");
  for (const std::string& metric : options_.further_metrics)
    if (!trial.value(metric)) return report(metric, "further_objectives");
  const std::string time = scheduler_->time_attr();
  if (!time.empty() && !trial.value(time))
    return "the trial's first result has no metric '" + time + "', by which the scheduler tells time. It reported: " + trial.last.names() + ". Report '" + time +
           "' with each result, or give the scheduler another time_attr (step_attr): \"training_iteration\", \"time_total_s\", or a name that is reported.";
  return {};
}

void ExperimentMachine::on(const TrialCheckpointed& event, Effects& effects) {
  const bool made = event.trial < trials_.size();
  Trial& trial = expect(event.trial, made ? trials_[event.trial].state : TrialState::kRunning, "checkpointed");
  if (trial.cloned)  // saved when it paused, before it became another one's copy
    return effects.superseded.push_back({trial.index, {event.iteration, event.checkpoint, std::nullopt}});
  // What one that may go on saved beyond its last result that counts: going on from there would leave iterations out. At its end
  // (CheckpointOptions::at_end, a time budget) that is what is wanted.
  if (!trial.ended() && event.iteration > trial.iteration)
    return effects.superseded.push_back({trial.index, {event.iteration, event.checkpoint, std::nullopt}});
  const bool latest = event.iteration == trial.iteration && !trial.copy_only;
  add_checkpoint(trial, {event.iteration, event.checkpoint, latest ? score_of(trial) : std::nullopt, event.checkpoint_bytes},
                 effects);
}

void ExperimentMachine::on(const TrialFinished& event, Effects& effects) {
  Trial& trial = expect(event.trial, TrialState::kRunning, "finished");
  if (trial.iteration != 0 || options_.metric.empty()) return static_cast<void>(carry_out(complete(trial, effects), effects));
  trial.error = "the trial ended without one result. Call report with the metric '" + options_.metric + "'.";
  ++trial.failures;
  carry_out(fail(trial, effects), effects);
}

void ExperimentMachine::on(const TrialFailed& event, Effects& effects) {
  Trial& trial = expect(event.trial, TrialState::kRunning, "failed");
  const bool again = event.again.value_or(!event.for_good && may_retry(event.trial));
  ++trial.failures;
  trial.error = event.error;
  if (again) return set_state(trial, TrialState::kPending);
  carry_out(fail(trial, effects), effects);
}

void ExperimentMachine::on(const SchedulerIdle&, Effects& effects) {
  if (carry_out(scheduler_->on_idle(), effects)) return;
  for (Trial& trial : trials_)  // nobody will ever release them
    if (trial.state == TrialState::kPaused) end_other(trial, effects);
}

void ExperimentMachine::on(const TrialTimedOut& event, Effects& effects) {
  Trial& trial = expect(event.trial, TrialState::kRunning, "timed out");
  trial.error = event.reason;
  trial.timed_out = true;
  if (trial.iteration != 0) return static_cast<void>(carry_out(complete(trial, effects), effects));
  ++trial.failures;
  carry_out(fail(trial, effects), effects);
}

void ExperimentMachine::on(const ExperimentStopped& event, Effects& effects) {
  stopped_by_ = event.reason;
  end_all(effects);
}

}  // namespace manta::tune
