#pragma once
// What happens to an experiment, as values. Each event is one record of the journal; replaying the records from the first
// gives the experiment's whole state. Times are the driver's wall clock. A journal that was compacted begins with the
// experiment's state at that moment instead: an ExperimentCreated, an ExperimentSnapshot, and a TrialSnapshot for each trial.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "tune/config.hpp"
#include "tune/metrics.hpp"
#include "tune/objective.hpp"
#include "tune/trial.hpp"

namespace manta::tune {

/// The version of the rules by which results lead to decisions and proposals. A replay decides anew, so a program resumes only
/// what was begun by the rules it has itself. Raise it with every change after which the same events give other decisions
/// (rules_test.cpp notices most); options and defaults need no new version, they stand in `description`.
inline constexpr std::uint32_t kRules = 2;

/// Its key there of what the best checkpoint goes by, "max accuracy"; absent: the metric and its mode.
inline constexpr const char* kCheckpointScore = "checkpoint score";

/// The first record. `description` holds what must be the same when the experiment is resumed: names and texts.
struct ExperimentCreated {
  std::string name{};
  std::uint64_t seed{0};
  std::vector<std::pair<std::string, std::string>> description{};
  std::uint32_t rules{kRules};  ///< 0: from before they were counted
};
/// A driver took the experiment up: whatever was running is not any more.
struct SessionStarted {
  std::int64_t pid{0};
};
struct TrialCreated {
  TrialIndex trial{0};
  std::string tag{};
  Config config{};
};
struct TrialStarted {
  TrialIndex trial{0};
  std::uint64_t from_iteration{0};  ///< of the checkpoint that it goes on from; 0: from the beginning
  bool waits{false};                ///< a TrialBegun says when it runs: until then none of its time counts
};
/// It has its place and runs. Journaled only where that is asked for: with a time limit.
struct TrialBegun {
  TrialIndex trial{0};
};
/// A result. Written before the trial is told to go on.
struct TrialReported {
  TrialIndex trial{0};
  std::uint64_t iteration{0};
  Metrics metrics{};
  double time_this_iter_s{0};
  std::string checkpoint{};  ///< the directory's name; empty: none came with this result
  std::int64_t pid{0};
  std::uint64_t checkpoint_bytes{0};
};
/// A checkpoint that came without a new result. Either a trial that went on from a checkpoint reported an iteration again
/// that is recorded already (the first record stays, the checkpoint that came with it is taken), or the trial saved itself
/// while it left its worker.
struct TrialCheckpointed {
  TrialIndex trial{0};
  std::uint64_t iteration{0};
  std::string checkpoint{};
  std::uint64_t checkpoint_bytes{0};
};
struct TrialFinished {
  TrialIndex trial{0};
};
struct TrialFailed {
  TrialIndex trial{0};
  std::string error{};
  bool for_good{false};  ///< another attempt would fail too: max_failures does not count
  /// Whether it runs again, as it was decided when it failed: a later session may have another max_failures.
  std::optional<bool> again{};
};
/// The trial ran longer than it may and was killed.
struct TrialTimedOut {
  TrialIndex trial{0};
  std::string reason{};
};
/// Everything that is not over ends now: the time budget, a stopper, or fail_fast.
struct ExperimentStopped {
  std::string reason{};
};

/// What became of a trial by the event before. For readers of the journal, who have no scheduler: a replay decides for
/// itself and passes over it.
struct TrialDecided {
  TrialIndex trial{0};
  TrialState state{TrialState::kPending};
  double rung{0};               ///< above 0: the result filled a rung of that resource
  bool changed{false};          ///< its configuration is another from now on: an exploit, or the scheduler filled it in
  std::uint64_t iteration{0};
  double time_total_s{0};       ///< with `changed`: its donor's
  Config config{};
  std::string tag{};
  std::string error{};          ///< a failure that the event does not tell of itself: no result, or one without the metric
  std::uint32_t exploits{0};    ///< with `changed`: how many there were by then; 0 where an older version wrote it
  std::optional<ClonedCheckpoint> cloned{};  ///< with `changed`: its only checkpoint now, of `iteration`
};

/// Nothing ran and nothing could be started: the scheduler was asked to release or stop somebody.
struct SchedulerIdle {};

/// The state of everything but the trials: what they were is in the TrialSnapshots that follow.
struct ExperimentSnapshot {
  std::int64_t worked_ms{0};
  bool exhausted{false};
  std::string stopped_by{};
  std::uint64_t checkpoints_made{0};
  std::string searcher{};   ///< what its `save` gave
  std::string scheduler{};
  std::string stopper{};
};
struct TrialSnapshot {
  std::shared_ptr<const Trial> state{};  ///< without id and name, which follow from its index
  std::int64_t running_since_ms{0};      ///< counts while it runs; 0: it waits for its place
};

using EventBody = std::variant<ExperimentCreated, SessionStarted, TrialCreated, TrialStarted, TrialReported,
                               TrialCheckpointed, TrialFinished, TrialFailed, SchedulerIdle, TrialTimedOut, ExperimentStopped,
                               ExperimentSnapshot, TrialSnapshot, TrialDecided, TrialBegun>;

/// The trial that an event is about, if it is about one.
inline std::optional<TrialIndex> trial_of(const EventBody& body) {
  return std::visit(
      [](const auto& event) -> std::optional<TrialIndex> {
        if constexpr (requires { event.trial; }) return event.trial;
        return std::nullopt;
      },
      body);
}

struct Event {
  std::int64_t time_ms{0};  ///< since 1970, UTC
  EventBody body{};
};

}  // namespace manta::tune
