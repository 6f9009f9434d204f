#pragma once
// TrialHost: where trials run, as the driver's loop sees it. The runtime's actors, or a script for tests. A trial that was
// launched gives events until one with `gone`: after a report it waits for an answer. Used by the driver's thread only.
#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "tune/core/trial_messages.hpp"

namespace manta::tune {

struct HostEvent {
  TrialIndex trial{0};
  TrialReply reply{};
  bool crashed{false};  ///< the actor itself died: `reply.error` says how
  bool for_good{false};  ///< another attempt would fail too
  bool begun{false};    ///< only this: it has its place and runs; `reply` is empty

  /// Nothing runs for this trial any more.
  bool gone() const noexcept { return !begun && (crashed || reply.kind != TrialReply::kReported); }
};

class TrialHost {
 public:
  virtual ~TrialHost() = default;

  /// Starts a trial; what goes wrong comes as an event.
  virtual void launch(const TrialSpec& spec, const std::filesystem::path& log_file) = 0;
  /// Whether an event tells when a launched trial begins to run: it may wait for its place long after `launch`.
  virtual bool tells_begin() const { return false; }
  /// Answers a report. After kStop or kPause the trial unwinds and is gone.
  virtual void answer(TrialIndex trial, Decision decision) = 0;
  /// Ends it now; no event comes any more.
  virtual void kill(TrialIndex trial) = 0;
  /// What has happened, waiting up to `timeout` for the first; empty when nothing has. A virtual clock goes on by `timeout` then.
  virtual std::vector<HostEvent> wait(std::chrono::milliseconds timeout) = 0;
};

}  // namespace manta::tune
