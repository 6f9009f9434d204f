#pragma once
// Experiment: the state machine, its journal and its files together. `stage` and `commit` are the only way in: events are
// decided on as they come and journaled together, before anything that follows from them is done; so what a reader of the
// journal sees is never less than what a trial was told. Owned and called by the driver's thread.
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tune/core/checkpoint_store.hpp"
#include "tune/core/event_log.hpp"
#include "tune/core/machine.hpp"
#include "tune/loggers/logger.hpp"

namespace manta::tune {

class Experiment {
 public:
  using Clock = std::function<std::int64_t()>;  ///< milliseconds since 1970

  Experiment(ExperimentMachine machine, std::unique_ptr<EventLog> log, std::filesystem::path dir,
             std::vector<std::unique_ptr<Logger>> loggers, Clock now_ms,
             std::shared_ptr<CheckpointStore> checkpoints = disk_checkpoints());

  /// Compacts the journal whenever so many bytes, and as many as the last snapshot had, have been added to it: so an event
  /// costs the same whatever ran before. Before `begin`; the default is 4 MiB.
  void compact_after(std::size_t bytes) { compact_bytes_ = bytes; }

  /// Replays the journal, from its snapshot if it has one; brings the derived files to where they were, or rewrites them when
  /// some are not whole, and deletes what a killed driver left behind; journals
  /// `header` first when there is nothing yet, and that a session of process `pid` begins. Call once, before `apply`.
  void begin(const ExperimentCreated& header, std::int64_t pid);

  /// Steps the machine with an event that has just happened, which `commit` will journal. What the effects ask for must wait until then.
  /// Throws what the searcher, the scheduler or the stopper throws; no event may follow then, but `commit` still keeps what trials did.
  Effects stage(const Event& event);
  /// What a staged event means for the result files, which take it at the next `tidy` or later. Before the next event is staged.
  void write_files(const Event& event, const Effects& effects);
  /// The checkpoint of a result that does not count: it goes with the superseded ones, unless the trial keeps one of that name.
  void drop_checkpoint(TrialIndex trial, CheckpointRef checkpoint) { superseded_.push_back({trial, std::move(checkpoint)}); }
  /// Journals all staged events in one write, then makes the copies of checkpoints. Throws when the journal cannot be
  /// written; the experiment is of no more use then, and another `commit` does nothing.
  void commit();
  /// A `commit` could not write.
  bool broken() const noexcept { return broken_; }
  // What no trial waits for, after a commit.
  /// Deletes the checkpoints that were superseded; before a trial is launched that might make one of the same name.
  void remove_superseded();
  /// Flushes the result files, when that is due, and compacts the journal, when that is. IoError when the journal's files were
  /// removed.
  void tidy();
  /// All of these with one event.
  Effects apply(EventBody body);

  ExperimentMachine& machine() noexcept { return machine_; }
  const ExperimentMachine& machine() const noexcept { return machine_; }
  /// The wall clock that events are stamped with.
  std::int64_t now_ms() const { return now_ms_(); }
  const std::filesystem::path& dir() const noexcept { return dir_; }
  std::filesystem::path trial_dir(const Trial& trial) const { return dir_ / trial.dir_name(); }
  /// Throws IoError.
  void make_trial_dir(const Trial& trial) { checkpoints_->make_trial_dir(trial_dir(trial)); }
  bool has_checkpoint(const Trial& trial, const CheckpointRef& checkpoint) const { return checkpoints_->contains(trial_dir(trial) / checkpoint.name); }
  /// The newest kept checkpoint that is really there, or null.
  const CheckpointRef* usable_checkpoint(const Trial& trial) const;
  /// Waits until the journal is on the disk; the derived files are written.
  void sync() {
    flush_files();
    log_->sync();
    log_->check_there();
  }
  /// What could not be written besides the journal; empties the list.
  std::vector<std::string> take_warnings() { return std::exchange(warnings_, {}); }

 private:
  void replay(std::map<TrialIndex, TrialState>& told);
  Effects step(const Event& event);
  bool take_up_files();
  void compact();
  void flush_files();
  void write_trial_files(Logger& logger, const Event& event, const Effects& effects);
  void clone_checkpoint(const Trial& trial);
  void copy_checkpoint(const Trial& trial);
  void remove_all_leftovers();
  void warn(std::string text);

  ExperimentMachine machine_;
  std::unique_ptr<EventLog> log_;
  std::filesystem::path dir_;
  std::vector<std::unique_ptr<Logger>> loggers_;
  Clock now_ms_;
  std::shared_ptr<CheckpointStore> checkpoints_;
  std::vector<std::vector<std::byte>> staged_;  // records
  std::vector<TrialIndex> clones_;        // copies of checkpoints to be made, of the staged events
  std::vector<Superseded> superseded_;
  std::size_t compact_bytes_{4u << 20};
  std::size_t tail_bytes_{0};      // journaled since the snapshot
  std::size_t snapshot_bytes_{0};
  std::chrono::steady_clock::time_point flushed_at_{};  // the derived files
  std::chrono::steady_clock::time_point looked_at_{};   // whether the journal's files are there
  bool comes_again_{false};        // the superseded must be gone before any trial is answered
  bool broken_{false};             // a write to the journal failed
  std::vector<std::string> warnings_;
  std::size_t warned_{0};
};

/// The first record of the log, if there is one. StorageCorruption when the first record is no header.
std::optional<ExperimentCreated> read_header(const EventLog& log);

}  // namespace manta::tune
