#include "tune/core/experiment.hpp"

#include <algorithm>
#include <map>

#include "runtime/errors.hpp"
#include "tune/core/decisions.hpp"
#include "tune/core/journal_codec.hpp"
#include "tune/loggers/file_writer.hpp"

namespace manta::tune {

namespace {

/// The trial that an event is about; none for those about the experiment.
struct TrialOf {
  std::optional<TrialIndex> operator()(const ExperimentCreated&) const { return std::nullopt; }
  std::optional<TrialIndex> operator()(const SessionStarted&) const { return std::nullopt; }
  std::optional<TrialIndex> operator()(const SchedulerIdle&) const { return std::nullopt; }
  std::optional<TrialIndex> operator()(const ExperimentStopped&) const { return std::nullopt; }
  std::optional<TrialIndex> operator()(const ExperimentSnapshot&) const { return std::nullopt; }
  std::optional<TrialIndex> operator()(const TrialSnapshot& event) const { return event.state->index; }
  std::optional<TrialIndex> operator()(const auto& event) const { return event.trial; }
};

/// Something that a running trial did, and not what was decided for it.
bool is_of_a_trial(const EventBody& body) {
  return std::holds_alternative<TrialReported>(body) || std::holds_alternative<TrialCheckpointed>(body) || std::holds_alternative<TrialFinished>(body) ||
         std::holds_alternative<TrialFailed>(body) || std::holds_alternative<TrialTimedOut>(body);
}

/// Whether a checkpoint goes that is further on than its trial now is. One that went on from an older checkpoint, as the newer was not
/// there, will write it anew as soon as it is answered.
bool supersedes_what_comes_again(const EventBody& body, const Effects& effects) {
  const auto* saved = std::get_if<TrialCheckpointed>(&body);
  return saved && std::any_of(effects.superseded.begin(), effects.superseded.end(), [&](const Superseded& gone) {
           return gone.trial == saved->trial && gone.checkpoint.iteration > saved->iteration;
         });
}

}  // namespace

Experiment::Experiment(ExperimentMachine machine, std::unique_ptr<EventLog> log, std::filesystem::path dir,
                       std::vector<std::unique_ptr<Logger>> loggers, Clock now_ms,
                       std::shared_ptr<CheckpointStore> checkpoints)
    : machine_(std::move(machine)),
      log_(std::move(log)),
      dir_(std::move(dir)),
      loggers_(std::move(loggers)),
      now_ms_(std::move(now_ms)),
      checkpoints_(std::move(checkpoints)) {}

void Experiment::begin(const ExperimentCreated& header, std::int64_t pid) {
  std::map<TrialIndex, TrialState> told;
  replay(told);
  const auto take = [this](EventBody body) {
    const Event event{now_ms_(), std::move(body)};
    write_files(event, stage(event));
  };
  if (!machine_.header()) take(header);
  take(SessionStarted{pid});
  // In one write with the rest, and before a compaction: after one, a snapshot would pass for having told them.
  for (const TrialDecided& decided : decisions_untold(machine_, told)) staged_.push_back(encode_event({now_ms_(), decided}));
  commit();
  remove_all_leftovers();
  tidy();
}

namespace {
/// Whether the copy of another trial's checkpoint is one of its own still: a trial that ended may have given it back to the budget.
bool keeps_clone(const Trial& trial) {
  return trial.cloned && std::any_of(trial.checkpoints.begin(), trial.checkpoints.end(),
                                     [&](const CheckpointRef& checkpoint) { return checkpoint.name == trial.cloned->name; });
}

bool of_snapshot(const Event& event) {
  return std::holds_alternative<ExperimentSnapshot>(event.body) || std::holds_alternative<TrialSnapshot>(event.body);
}
}  // namespace

void Experiment::replay(std::map<TrialIndex, TrialState>& told) {
  const bool whole = take_up_files();
  const auto step = [&](std::span<const std::byte> record) {
    const Event event = decode_event(record);
    const Effects effects = machine_.step(event);
    note_told(event.body, told);
    (of_snapshot(event) ? snapshot_bytes_ : tail_bytes_) += record.size();
    if (!of_snapshot(event)) write_files(event, effects);
  };
  whole ? log_->for_each(step) : log_->for_each_event(step);
  flush_files();
}

/// Cuts the files of trials that are not over to what they held at the snapshot. False when one holds less.
bool Experiment::take_up_files() {
  bool whole = true;
  log_->for_each([&](std::span<const std::byte> record) {
    const Event event = decode_event(record);
    const auto* snapshot = std::get_if<TrialSnapshot>(&event.body);
    if (!snapshot || snapshot->state->ended()) return;
    Trial trial = *snapshot->state;
    machine_.give_names(trial);
    for (const auto& logger : loggers_) whole = whole && logger->on_restored(trial, trial_dir(trial));
  });
  if (!whole) warn("result files of unfinished trials were not whole; all have been written again from the history.");
  return whole;
}

void Experiment::compact() {
  flush_files();
  if (!loggers_.empty()) sync_file_system(dir_);  // the snapshot says what they hold
  std::vector<EventLog::Bytes> records;
  machine_.snapshot([&](const Event& event) { records.push_back(encode_event(event)); });
  log_->compact(records);
  tail_bytes_ = snapshot_bytes_ = 0;
  for (const auto& record : records) snapshot_bytes_ += record.size();
}

void Experiment::flush_files() {
  for (const auto& logger : loggers_) {
    try {
      logger->flush();
    } catch (const std::exception& error) {
      warn(error.what());
    }
  }
}

Effects Experiment::stage(const Event& event) {
  staged_.push_back(encode_event(event));
  Effects effects = step(event);
  for (const TrialDecided& decided : decisions_of(machine_, event.body, effects))
    staged_.push_back(encode_event({event.time_ms, decided}));
  for (const Exploited& copied : effects.exploits) clones_.push_back(copied.trial);
  superseded_.insert(superseded_.end(), effects.superseded.begin(), effects.superseded.end());
  comes_again_ |= supersedes_what_comes_again(event.body, effects);
  return effects;
}

/// The machine's step. When the searcher, the scheduler or the stopper throws in it, what a trial did stays staged: it has happened,
/// and a resume asks them again.
Effects Experiment::step(const Event& event) {
  try {
    return machine_.step(event);
  } catch (const StorageCorruption&) {
    staged_.pop_back();  // it cannot follow those before it, and no replay could pass it
    throw;
  } catch (...) {
    if (!is_of_a_trial(event.body)) staged_.pop_back();
    throw;
  }
}

void Experiment::commit() {
  if (staged_.empty() || broken_) return;
  broken_ = true;  // until it is written: who is told of a failed write must not add to what it left
  log_->append_all(staged_);
  broken_ = false;
  for (const auto& record : staged_) tail_bytes_ += record.size();
  staged_.clear();
  for (const TrialIndex trial : std::exchange(clones_, {}))
    if (keeps_clone(machine_.trial(trial))) clone_checkpoint(machine_.trial(trial));
  if (std::exchange(comes_again_, false)) remove_superseded();
}

void Experiment::tidy() {
  constexpr std::chrono::milliseconds kFilesLate{100};
  const auto now = std::chrono::steady_clock::now();
  if (now - flushed_at_ >= kFilesLate) {
    flush_files();
    flushed_at_ = now;
  }
  constexpr std::chrono::seconds kBetweenLooks{1};
  if (now - looked_at_ >= kBetweenLooks) {
    log_->check_there();
    looked_at_ = now;
  }
  if (tail_bytes_ >= std::max(compact_bytes_, snapshot_bytes_) && log_->can_compact()) compact();
}

Effects Experiment::apply(EventBody body) {
  const Event event{now_ms_(), std::move(body)};
  Effects effects = stage(event);
  write_files(event, effects);
  commit();
  remove_superseded();
  tidy();
  return effects;
}

const CheckpointRef* Experiment::usable_checkpoint(const Trial& trial) const {
  for (auto it = trial.checkpoints.rbegin(); it != trial.checkpoints.rend(); ++it)
    if (checkpoints_->contains(trial_dir(trial) / it->name)) return &*it;
  return nullptr;
}

/// Makes the trial's copy of the checkpoint that it took over, if that is still to do; before it its donor's, if what it takes is a
/// copy itself that is still to be made. Two that took each other's over (and have lost both) would be each other's donors for ever.
void Experiment::clone_checkpoint(const Trial& trial) {
  std::vector<const Trial*> chain;
  const auto is_to_do = [&](const Trial& each) {
    return each.cloned && std::find(chain.begin(), chain.end(), &each) == chain.end() &&
           !checkpoints_->contains(trial_dir(each) / each.cloned->name);
  };
  for (const Trial* each = &trial; each && is_to_do(*each);) {
    chain.push_back(each);
    const Trial& donor = machine_.trial(each->cloned->donor);
    each = donor.cloned && donor.cloned->name == each->cloned->donor_name ? &donor : nullptr;
  }
  for (auto it = chain.rbegin(); it != chain.rend(); ++it) copy_checkpoint(**it);
}

void Experiment::copy_checkpoint(const Trial& trial) {
  const auto source = trial_dir(machine_.trial(trial.cloned->donor)) / trial.cloned->donor_name;
  try {
    checkpoints_->copy(source, trial_dir(trial), trial.cloned->name);
  } catch (const std::exception& error) {
    warn("trial " + trial.name + " cannot take over the checkpoint '" + source.string() + "': " + error.what());
  }
}

void Experiment::write_files(const Event& event, const Effects& effects) {
  for (const auto& logger : loggers_) {
    try {
      write_trial_files(*logger, event, effects);
    } catch (const std::exception& error) {
      warn(error.what());
    }
  }
}

void Experiment::write_trial_files(Logger& logger, const Event& event, const Effects& effects) {
  for (const TrialIndex other : effects.others_ended) logger.on_ended(machine_.trial(other));
  for (const Exploited& copied : effects.exploits)
    if (copied.donor != copied.trial)
      logger.on_exploit(machine_.trial(copied.trial), trial_dir(machine_.trial(copied.trial)), machine_.trial(copied.donor), copied.from_iteration);
  const auto index = std::visit(TrialOf{}, event.body);
  if (!index) return;
  const Trial& trial = machine_.trial(*index);
  const auto dir = trial_dir(trial);
  if (std::holds_alternative<TrialCreated>(event.body)) {
    checkpoints_->make_trial_dir(dir);
    logger.on_created(trial, dir);
  }
  if (const auto* report = std::get_if<TrialReported>(&event.body); report && effects.recorded)
    logger.on_result(trial, dir, *report, event.time_ms);
  const bool failed = std::holds_alternative<TrialFailed>(event.body) || std::holds_alternative<TrialTimedOut>(event.body) || (effects.ended && trial.state == TrialState::kError);
  if (failed) logger.on_failure(trial, dir, event.time_ms);
  if (effects.ended) logger.on_ended(trial);
}

void Experiment::remove_superseded() {
  if (superseded_.empty()) return;
  log_->sync();  // the journal must not forget the newer checkpoint when the older one is gone
  for (const auto& [index, checkpoint] : std::exchange(superseded_, {})) {
    const Trial& trial = machine_.trial(index);
    const bool made_anew = std::any_of(trial.checkpoints.begin(), trial.checkpoints.end(),
                                       [&, &name = checkpoint.name](const CheckpointRef& kept) { return kept.name == name; });
    if (!made_anew) checkpoints_->remove(trial_dir(trial), checkpoint.name);
  }
}

/// Of all trials: one that is over may still have been saving itself, and may have lost a checkpoint to the budget of bytes.
void Experiment::remove_all_leftovers() {
  log_->sync();  // as for what is superseded
  for (const Trial& trial : machine_.trials())
    if (keeps_clone(trial)) clone_checkpoint(trial);
  for (const Trial& trial : machine_.trials()) {
    std::vector<std::string> keep;
    for (const CheckpointRef& checkpoint : trial.checkpoints) keep.push_back(checkpoint.name);
    checkpoints_->remove_leftovers(trial_dir(trial), keep);
  }
}

void Experiment::warn(std::string text) {
  constexpr std::size_t kMaxWarnings = 10;  // a full disk would give one for each result
  if (warned_++ < kMaxWarnings) warnings_.push_back(std::move(text));
}

std::optional<ExperimentCreated> read_header(const EventLog& log) {
  std::optional<ExperimentCreated> header;
  bool first = true;
  log.for_each([&](std::span<const std::byte> record) {
    if (!std::exchange(first, false)) return;
    Event event = decode_event(record);
    auto* created = std::get_if<ExperimentCreated>(&event.body);
    if (!created) throw StorageCorruption("the journal is not that of an experiment: its first record is no header.");
    header = std::move(*created);
  });
  return header;
}

}  // namespace manta::tune
