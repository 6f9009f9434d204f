#pragma once
// ReportLine: how the session of a trial asks its driver itself, without a message of the runtime between.
#include <optional>

#include "tune/core/trial_messages.hpp"

namespace manta::tune {

/// `ask` is for one thread at a time, the rest for any.
class ReportLine {
 public:
  virtual ~ReportLine() = default;

  /// Tells a result and waits for the decision. None: the trial is not heard any more, and what was told may never be.
  virtual std::optional<Decision> ask(TrialReply reply) = 0;
  /// Lets go of whoever asks.
  virtual void close() = 0;
  virtual bool closed() const noexcept = 0;
};

}  // namespace manta::tune
