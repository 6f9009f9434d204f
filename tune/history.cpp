#include "tune/history.hpp"

#include <algorithm>

#include "runtime/errors.hpp"
#include "runtime/journal.hpp"
#include "tune/core/experiment_dir.hpp"
#include "tune/core/journal_codec.hpp"
#include "tune/core/trial_result.hpp"

namespace manta::tune {

namespace fs = std::filesystem;

namespace {

constexpr const char* kJournal = "journal";

/// "max accuracy", where it is not the experiment's metric and mode.
Objective score_in(const ExperimentHistory& history) {
  const std::string text = history.about(kCheckpointScore);
  const auto blank = text.find(' ');
  if (blank == std::string::npos) return {history.metric, history.mode};
  return {text.substr(blank + 1), text.starts_with("max") ? Mode::kMax : Mode::kMin};
}

/// Puts the events of a journal together; what the driver decided is told by TrialDecided.
class HistoryFold {
 public:
  /// Without `rows` the results are not kept, but for the last one of each trial.
  HistoryFold(ExperimentHistory& history, bool rows) : history_(history), rows_(rows) {}

  void step(const Event& event) {
    now_ms_ = history_.last_ms = event.time_ms;
    std::visit([&](const auto& body) { on(body); }, event.body);
  }

 private:
  void on(const ExperimentCreated& event) {
    history_.name = event.name;
    history_.seed = event.seed;
    history_.description = event.description;
    history_.metric = history_.about("metric");
    history_.mode = history_.about("mode") == "max" ? Mode::kMax : Mode::kMin;
    constexpr std::string_view kFurther = "and metric ";
    for (const auto& [key, text] : event.description)
      if (key.starts_with(kFurther))
        history_.further_objectives.push_back({key.substr(kFurther.size()), text == "max" ? Mode::kMax : Mode::kMin});
    history_.checkpoint_score = score_in(history_);
    history_.begun_ms = now_ms_;
    prefix_ = trial_id_prefix(event);
    trainable_ = history_.about("trainable");
  }
  void on(const SessionStarted& event) {
    ++history_.sessions;
    history_.session_pid = event.pid;
    history_.session_ms = now_ms_;
    for (Trial& trial : history_.trials)
      if (trial.state == TrialState::kRunning) trial.state = TrialState::kPending;
  }
  void on(const TrialCreated& event) {
    if (event.trial != history_.trials.size())
      throw StorageCorruption("the experiment's journal: trial " + std::to_string(event.trial) + " is made where trial " +
                              std::to_string(history_.trials.size()) + " is due.");
    history_.trials.push_back({.index = event.trial, .tag = event.tag, .config = event.config});
    name_trial(history_.trials.back(), prefix_, trainable_);
    history_.results.emplace_back();
    history_.times.push_back({.created_ms = now_ms_});
  }
  void on(const TrialStarted& event) {
    Trial& trial = of(event.trial);
    ++trial.attempts;
    trial.state = TrialState::kRunning;
    if (history_.times[event.trial].started_ms == 0) history_.times[event.trial].started_ms = now_ms_;
  }
  void on(const TrialBegun&) {}
  void on(const TrialReported& event) {
    Trial& trial = of(event.trial);
    trial.pid = event.pid;
    trial.record(event.iteration, event.metrics, event.time_this_iter_s);
    if (rows_) history_.results[event.trial].push_back({event.iteration, now_ms_, trial.time_total_s, 0, event.metrics});
    if (!event.checkpoint.empty())
      trial.checkpoints.push_back({event.iteration, event.checkpoint, trial.value(history_.checkpoint_score.metric)});
  }
  void on(const TrialCheckpointed& event) {
    Trial& trial = of(event.trial);
    std::optional<double> score;
    if (event.iteration == trial.iteration && !trial.copy_only) score = trial.value(history_.checkpoint_score.metric);
    std::erase_if(trial.checkpoints, [&](const CheckpointRef& kept) {
      if (kept.name != event.checkpoint) return false;
      if (!score) score = kept.score;  // made anew, of the same iteration
      return true;
    });
    trial.checkpoints.push_back({event.iteration, event.checkpoint, score});
  }
  void on(const TrialFinished& event) { end(of(event.trial), TrialState::kTerminated); }
  void on(const TrialFailed& event) {
    Trial& trial = of(event.trial);
    ++trial.failures;
    trial.error = event.error;
    trial.state = TrialState::kPending;  // unless a TrialDecided follows
  }
  void on(const TrialDecided& event) {
    Trial& trial = of(event.trial);
    auto& rows = history_.results[event.trial];
    if (event.rung > 0 && !rows.empty()) rows.back().rung = event.rung;
    if (event.changed) change(trial, event);
    if (!event.error.empty()) {
      trial.error = event.error;
      ++trial.failures;
    }
    end(trial, event.state);
  }
  void on(const TrialTimedOut& event) {
    Trial& trial = of(event.trial);
    trial.error = event.reason;
    trial.timed_out = true;
    if (trial.iteration == 0) ++trial.failures;
    end(trial, trial.iteration ? TrialState::kTerminated : TrialState::kError);
  }
  void on(const ExperimentStopped& event) { history_.stopped_by = event.reason; }
  void on(const SchedulerIdle&) {}
  void on(const ExperimentSnapshot&) {}  // for_each_event gives the events themselves
  void on(const TrialSnapshot&) {}

  void change(Trial& trial, const TrialDecided& event) {
    trial.take_config(event.config);
    trial.exploit_tag = event.tag;
    trial.iteration = event.iteration;
    if (event.time_total_s > 0) trial.time_total_s = event.time_total_s;
    if (event.exploits > 0)
      trial.exploits = event.exploits;  // a resume may tell of one again
    else if (!event.tag.empty())
      ++trial.exploits;
    if (!event.cloned) return;
    trial.checkpoints = {{event.iteration, event.cloned->name, std::nullopt}};
    trial.copy_only = true;
  }

  Trial& of(TrialIndex index) {
    if (index >= history_.trials.size())
      throw StorageCorruption("the experiment's journal: an event of trial " + std::to_string(index) + ", which was never made.");
    return history_.trials[index];
  }
  void end(Trial& trial, TrialState state) {
    trial.state = state;
    if (trial.ended()) trial.go_back_to_result();
    if (trial.ended()) history_.times[trial.index].ended_ms = now_ms_;
  }

  ExperimentHistory& history_;
  bool rows_;
  std::int64_t now_ms_{0};
  std::string prefix_, trainable_;
};

/// The experiment's directory: `dir` itself, or its one subfolder with a journal.
fs::path find_experiment(const fs::path& dir) {
  std::error_code error;
  if (fs::is_directory(dir / kJournal, error)) return fs::absolute(dir);
  std::vector<fs::path> found;
  for (fs::directory_iterator it(dir, error), end; !error && it != end; it.increment(error))
    if (std::error_code none; fs::is_directory(it->path() / kJournal, none)) found.push_back(it->path());
  std::sort(found.begin(), found.end());
  if (found.size() == 1) return fs::absolute(found.front());
  std::string text = "'" + dir.string() + "' " + (error ? "cannot be read: " + error.message() + "."
                                                        : found.empty() ? "holds no experiment." : "holds several experiments; name one of them:");
  for (const fs::path& each : found) text += "\n  " + each.string();
  throw NotFound(text);
}

TrialResult result_of(const ExperimentHistory& history, const Trial& trial) {
  const fs::path dir = history.dir / trial.dir_name();
  return result_of(trial, dir, history.checkpoint_score.mode, [&](const CheckpointRef& checkpoint) {
    std::error_code none;
    return fs::is_directory(dir / checkpoint.name, none);
  });
}

}  // namespace

std::string ExperimentHistory::about(std::string_view key) const {
  for (const auto& [name, text] : description)
    if (name == key) return text;
  return "";
}

namespace {

/// The journal's directory is there a moment before the journal is, and the journal before its first record; all else comes later.
/// A driver that opens it just now may be moving its records from the log to a table.
[[noreturn]] void refuse_without_record(const fs::path& dir, bool holds_more, bool running) {
  if (holds_more && running) throw NotFound("the journal of '" + dir.string() + "' is just being opened by its driver; try again.");
  if (holds_more) throw lost_journal(dir);
  throw NotFound("'" + dir.string() + "' holds an experiment that has not begun yet; try again.");
}

std::unique_ptr<EventLog> open_log(const fs::path& dir, bool holds_more, bool running) {
  try {
    return open_event_log_read_only(dir / kJournal);
  } catch (const NotFound&) {
    refuse_without_record(dir, holds_more, running);
  }
}

ExperimentHistory read(const fs::path& dir, bool rows) {
  ExperimentHistory history{.dir = find_experiment(dir)};
  const std::string path = (history.dir / kJournal).string();
  history.running = Journal::in_use(path);
  const bool holds_more = holds_more_than_journal(history.dir);  // before the journal is looked at, which may begin any moment
  HistoryFold fold(history, rows);
  open_log(history.dir, holds_more, history.running)->for_each_event([&](std::span<const std::byte> record) { fold.step(decode_event(record)); });
  if (history.sessions == 0 && history.name.empty()) refuse_without_record(history.dir, holds_more, history.running);
  return history;
}

}  // namespace

ExperimentHistory read_history(const fs::path& dir) { return read(dir, true); }

ResultGrid to_grid(const ExperimentHistory& history) {
  std::vector<TrialResult> trials;
  trials.reserve(history.trials.size());
  for (const Trial& trial : history.trials) trials.push_back(result_of(history, trial));
  return {{history.name, history.dir, history.metric, history.mode, 0, history.further_objectives}, std::move(trials)};
}

ResultGrid load_experiment(const fs::path& dir) {
  ExperimentHistory history = read(dir, false);
  std::vector<TrialResult> trials;
  trials.reserve(history.trials.size());
  for (Trial& trial : history.trials) {
    trials.push_back(result_of(history, trial));
    trial = {};  // of very many trials not all are there twice
  }
  return {{history.name, history.dir, history.metric, history.mode, 0, history.further_objectives}, std::move(trials)};
}

}  // namespace manta::tune
