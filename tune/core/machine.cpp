#include "tune/core/machine.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "runtime/errors.hpp"

namespace manta::tune {

namespace {

ResultView view(const Trial& trial) { return {trial.iteration, trial.time_total_s, trial.last}; }

void widen(std::vector<MetricRange>& ranges, const std::string& name, double value) {
  auto found = std::find_if(ranges.begin(), ranges.end(), [&](const MetricRange& r) { return r.name == name; });
  if (found == ranges.end()) found = ranges.insert(ranges.end(), MetricRange{name, value, NAN, NAN});
  found->last = value;
  found->min = std::fmin(found->min, value);  // fmin and fmax pass over NaN
  found->max = std::fmax(found->max, value);
}

}  // namespace

ExperimentMachine::ExperimentMachine(MachineOptions options, std::unique_ptr<Searcher> searcher,
                                     std::unique_ptr<Scheduler> scheduler)
    : options_(std::move(options)), searcher_(std::move(searcher)), scheduler_(std::move(scheduler)) {
  MANTA_CHECK(options_.keep_checkpoints >= 1);
}

Effects ExperimentMachine::step(const Event& event) {
  Effects effects;
  std::visit([&](const auto& body) { on(body, effects); }, event.body);
  return effects;
}

std::optional<TrialCreated> ExperimentMachine::propose() {
  if (exhausted_ || ready_.size() >= searcher_->suggest_ahead()) return std::nullopt;
  if (proposed_) return proposed_;
  const auto index = static_cast<TrialIndex>(trials_.size());
  Suggestion suggestion = searcher_->suggest(index);
  if (suggestion.kind == Suggestion::Kind::kDone) exhausted_ = true;
  if (suggestion.kind != Suggestion::Kind::kConfig) return std::nullopt;
  proposed_ = TrialCreated{index, std::move(suggestion.tag), std::move(suggestion.config)};
  return proposed_;
}

std::optional<TrialIndex> ExperimentMachine::next_to_run() const {
  if (ready_.empty()) return std::nullopt;
  return scheduler_->choose_trial_to_run({ready_.begin(), ready_.end()});
}

const Trial* ExperimentMachine::best() const noexcept {
  const Trial* best = nullptr;
  double best_value = 0;
  for (const Trial& trial : trials_) {
    const auto value = trial.last.get(options_.metric);
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
                            std::string(to_string(trial.state)) + " and not " + std::string(to_string(state)) + ".");
  return trial;
}

void ExperimentMachine::set_state(Trial& trial, TrialState state) {
  const bool was_open = !trial.ended();
  --counts_[static_cast<std::size_t>(trial.state)];
  ++counts_[static_cast<std::size_t>(state)];
  trial.state = state;
  if (was_open && trial.ended()) --unfinished_;
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
  char number[16];
  std::snprintf(number, sizeof number, "_%05u", event.trial);
  Trial trial{.index = event.trial, .id = options_.trial_prefix + number, .tag = event.tag, .config = event.config};
  trial.name = options_.trainable + "_" + trial.id;
  trials_.push_back(std::move(trial));
  ++counts_[static_cast<std::size_t>(TrialState::kPending)];
  ++unfinished_;
  ready_.insert(event.trial);
  scheduler_->on_trial_add(event.trial);
}

void ExperimentMachine::on(const TrialStarted& event, Effects&) {
  Trial& trial = expect(event.trial, TrialState::kPending, "started");
  ++trial.attempts;
  set_state(trial, TrialState::kRunning);
}

void ExperimentMachine::on(const TrialReported& event, Effects& effects) {
  Trial& trial = expect(event.trial, TrialState::kRunning, "reported");
  if (event.iteration != trial.iteration + 1)
    throw StorageCorruption("the experiment's journal: trial " + trial.id + " reports iteration " +
                            std::to_string(event.iteration) + " after " + std::to_string(trial.iteration) + ".");
  record(trial, event);
  effects.recorded = true;
  if (!event.checkpoint.empty())
    add_checkpoint(trial, {event.iteration, event.checkpoint, event.metrics.get(options_.metric)}, effects);
  decide(trial, effects);
}

void ExperimentMachine::record(Trial& trial, const TrialReported& event) {
  trial.iteration = event.iteration;
  trial.time_total_s += event.time_this_iter_s;
  trial.last = event.metrics;
  trial.pid = event.pid;
  for (const auto& [name, value] : event.metrics) widen(trial.ranges, name, value);
}

void ExperimentMachine::decide(Trial& trial, Effects& effects) {
  const bool missing = trial.iteration == 1 && !options_.metric.empty() && !trial.last.contains(options_.metric);
  const bool limit = options_.max_iterations != 0 && trial.iteration >= options_.max_iterations;
  if (missing) {
    trial.error = missing_metric(trial);
    ++trial.failures;
    scheduler_->on_error(trial.index);
    searcher_->on_complete(trial.index, nullptr);
    effects.decision = Decision::kStop;
  } else if (limit) {
    const ResultView last = view(trial);
    scheduler_->on_complete(trial.index, &last);
    searcher_->on_complete(trial.index, &trial.last);
    effects.decision = Decision::kStop;
  } else {
    effects.decision = scheduler_->on_result(trial.index, view(trial));
    if (effects.decision == Decision::kStop)
      searcher_->on_complete(trial.index, &trial.last);
    else
      searcher_->on_result(trial.index, trial.iteration, trial.last);
  }
  if (effects.decision == Decision::kStop) {
    set_state(trial, missing ? TrialState::kError : TrialState::kTerminated);
    effects.ended = true;
  } else if (effects.decision == Decision::kPause) {
    set_state(trial, TrialState::kPaused);
  }
}

std::string ExperimentMachine::missing_metric(const Trial& trial) const {
  return "the trial's first result has no metric '" + options_.metric + "', by which this experiment chooses. It reported: " +
         trial.last.names() + ". Report '" + options_.metric +
         "' with each result (NaN where it is not known yet), or set TuneOptions::metric to a name that is reported.";
}

void ExperimentMachine::on(const TrialCheckpointed& event, Effects& effects) {
  Trial& trial = expect(event.trial, TrialState::kRunning, "checkpointed");
  add_checkpoint(trial, {event.iteration, event.checkpoint, std::nullopt}, effects);
}

void ExperimentMachine::add_checkpoint(Trial& trial, CheckpointRef checkpoint, Effects& effects) {
  auto& kept = trial.checkpoints;
  std::erase_if(kept, [&](const CheckpointRef& other) {
    if (other.name != checkpoint.name) return false;
    if (!checkpoint.score) checkpoint.score = other.score;
    return true;
  });
  kept.push_back(std::move(checkpoint));
  const CheckpointRef* best = nullptr;
  for (const CheckpointRef& candidate : kept)
    if (options_.keep_best_checkpoint && candidate.score && std::isfinite(*candidate.score))
      if (!best || better(*candidate.score, *best->score)) best = &candidate;
  const std::string best_name = best ? best->name : "";
  const std::size_t newest = kept.size() - std::min<std::size_t>(kept.size(), options_.keep_checkpoints);
  std::vector<CheckpointRef> staying;
  for (std::size_t i = 0; i < kept.size(); ++i) {
    auto& target = i >= newest || kept[i].name == best_name ? staying : effects.superseded;
    target.push_back(std::move(kept[i]));
  }
  kept = std::move(staying);
}

void ExperimentMachine::on(const TrialFinished& event, Effects& effects) {
  Trial& trial = expect(event.trial, TrialState::kRunning, "finished");
  const bool nothing = trial.iteration == 0 && !options_.metric.empty();
  effects.ended = true;
  if (nothing) {
    trial.error = "the trial ended without one result. Call report with the metric '" + options_.metric + "'.";
    ++trial.failures;
    scheduler_->on_error(trial.index);
    searcher_->on_complete(trial.index, nullptr);
    return set_state(trial, TrialState::kError);
  }
  const ResultView last = view(trial);
  scheduler_->on_complete(trial.index, trial.iteration ? &last : nullptr);
  searcher_->on_complete(trial.index, trial.iteration ? &trial.last : nullptr);
  set_state(trial, TrialState::kTerminated);
}

void ExperimentMachine::on(const TrialFailed& event, Effects& effects) {
  Trial& trial = expect(event.trial, TrialState::kRunning, "failed");
  ++trial.failures;
  trial.error = event.error;
  const bool again = options_.max_failures < 0 || trial.failures <= static_cast<std::uint64_t>(options_.max_failures);
  if (again) return set_state(trial, TrialState::kPending);
  scheduler_->on_error(trial.index);
  searcher_->on_complete(trial.index, nullptr);
  set_state(trial, TrialState::kError);
  effects.ended = true;
}

}  // namespace manta::tune
