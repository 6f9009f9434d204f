#pragma once
// Logger: writes files from what happens to trials. What loggers write is derived: a resume calls them again for every
// event since the journal's last snapshot, and the files come out the same. Called by the driver's thread only; what is
// written may be ahead of the journal by one turn of the driver. A logger throws IoError when it cannot write, once for each
// file; the experiment then goes on and says so. Rows that cannot be written wait (8 MiB of them at most) until they can be.
#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "tune/core/events.hpp"
#include "tune/trial.hpp"

namespace manta::tune {

class Logger {
 public:
  virtual ~Logger() = default;

  /// The trial was made: its directory is there; files of an earlier life are begun anew.
  virtual void on_created(const Trial&, const std::filesystem::path& /*dir*/) {}
  /// A resume: the trial is as it was at the journal's last snapshot. Cuts off what its files hold beyond `trial.results` rows.
  /// False when they hold less; then everything is told again from the beginning.
  virtual bool on_restored(const Trial&, const std::filesystem::path& /*dir*/) { return true; }
  /// A new result: trial.last is the row's, and so are iteration_of_result(), time_of_result_s() and config_of_result(). The trial may have
  /// gone on as another one's copy with it, and trial.iteration be the donor's.
  virtual void on_result(const Trial&, const std::filesystem::path& /*dir*/, const TrialReported&, std::int64_t /*time_ms*/) {}
  /// The trial failed, perhaps to be tried again: trial.error says why.
  virtual void on_failure(const Trial&, const std::filesystem::path& /*dir*/, std::int64_t /*time_ms*/) {}
  /// The trial goes on as a copy of the donor, from iteration trial.iteration with trial.config; it was at `from_iteration`.
  virtual void on_exploit(const Trial&, const std::filesystem::path& /*dir*/, const Trial& /*donor*/, std::uint64_t /*from_iteration*/) {}
  /// The trial reached its last state.
  virtual void on_ended(const Trial&) {}
  /// What has been told is in the files when it returns.
  virtual void flush() {}
};

/// params.json when the trial is made; result.jsonl, one object a line for each result; error.txt, one block for each
/// failure. Numbers are written so that they read back bit for bit; JSON has no NaN or infinity, so these are the texts
/// "NaN", "Infinity" and "-Infinity". A metric called like one of the tuner's own entries ("pid", "time_total_s") is written
/// as "metrics/pid".
std::unique_ptr<Logger> make_json_logger();

/// progress.csv: one row a result. Columns are those of the first result; when a later one brings new names, the file is
/// rewritten with columns for these at the end. NaN and infinities are written as nan, inf and -inf.
/// Where the file cannot be rewritten now, that row is written without the new names, and a later row tries again. Metrics
/// called like another column, config/… among them, get metrics/ before their names.
std::unique_ptr<Logger> make_csv_logger();

/// pbt_global.txt and pbt_policy_<trial id>.txt in the experiment's directory, one line of JSON for each exploit:
/// [trial, donor, trial's step, donor's step, donor's configuration, new configuration, how often the trial was changed].
/// tune::pbt_replay reads them. Nothing is written where nobody is copied.
std::unique_ptr<Logger> make_policy_logger();

/// events.out.tfevents.manta, for `tensorboard --logdir` on the experiment's directory: every metric as a scalar over the
/// iterations, the parameters and how it ended for the hparams tab. Begun with the first result.
std::unique_ptr<Logger> make_tensorboard_logger();

}  // namespace manta::tune
