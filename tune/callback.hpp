#pragma once
// Callback: a program's own code at each event of an experiment.
//
//   struct Notify final : tune::Callback {
//     void on_trial_error(const tune::Trial& trial) override { send_mail(trial.name + ": " + trial.error); }
//   };
//   options.callbacks = {std::make_shared<Notify>()};
//
// Shared by the options and the run; called by the thread that called tune::run, one call at a time, after the journal has
// the event, in the order of the list. A call that takes long holds the experiment up. What a callback throws becomes a
// warning. A resume does not repeat the events of earlier sessions; the last ones before a kill may never have been told.
#include <cstddef>
#include <filesystem>
#include <vector>

#include "tune/objective.hpp"
#include "tune/trial.hpp"

namespace manta::tune {

class Callback {
 public:
  virtual ~Callback() = default;

  /// The first call. `dir` is the experiment's; `earlier`: so many trials were made by earlier sessions, 0 where there were none.
  virtual void on_experiment_begin(const std::filesystem::path& /*dir*/, std::size_t /*earlier*/) {}
  /// It was made, with its configuration, and waits for a worker.
  virtual void on_trial_create(const Trial&) {}
  /// It got a worker: for the first time, after a pause or after a failure (`trial.attempts` counts).
  virtual void on_trial_start(const Trial&) {}
  virtual void on_trial_result(const Trial&, const ResultView&) {}
  /// A checkpoint is there, in `dir`; it may be gone when newer ones have come.
  virtual void on_checkpoint(const Trial&, const std::filesystem::path& /*dir*/) {}
  virtual void on_trial_pause(const Trial&) {}
  /// It will go on as a copy of `donor`, with another configuration (PBT): `trial.config`, and what was changed in
  /// `trial.exploit_tag`. The donor is the trial itself where only its configuration is another (PBT replay).
  virtual void on_exploit(const Trial& /*trial*/, const Trial& /*donor*/) {}
  /// It came to its end, or was stopped or ended early.
  virtual void on_trial_complete(const Trial&) {}
  /// It failed and will be tried again.
  virtual void on_trial_retry(const Trial&) {}
  /// It failed for good: `trial.error`.
  virtual void on_trial_error(const Trial&) {}
  /// The last call, also when a signal ended the run.
  virtual void on_experiment_end(const std::vector<Trial>&) {}
};

}  // namespace manta::tune
