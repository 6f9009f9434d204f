#pragma once
// Trial: all that is known about one trial, in the driver. A plain value: the reporter, the loggers and the result grid
// read it; only the experiment's state machine changes it.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tune/boxed.hpp"
#include "tune/config.hpp"
#include "tune/metrics.hpp"
#include "tune/objective.hpp"
#include "tune/resources.hpp"

namespace manta::tune {

/// kPending: waits for its first or next run. kRunning: has an actor. kPaused: waits for its scheduler. kTerminated: came
/// to its end or was stopped by the scheduler. kError: failed more often than max_failures allows.
enum class TrialState : std::uint8_t { kPending, kRunning, kPaused, kTerminated, kError };

/// "PENDING", "RUNNING", "PAUSED", "TERMINATED", "ERROR".
std::string_view to_string(TrialState state) noexcept;

struct CheckpointRef {
  std::uint64_t iteration{0};
  std::string name{};             ///< the directory's name inside the trial's: "checkpoint_000003"
  std::optional<double> score{};  ///< what checkpoints are compared by, in the result that came with it
  std::uint64_t bytes{0};         ///< of its files
  std::uint64_t order{0};         ///< checkpoints of an experiment are numbered as they come
};

/// Where a trial's checkpoint was copied from at an exploit.
struct ClonedCheckpoint {
  TrialIndex donor{0};
  std::string donor_name{};  ///< the directory's name inside the donor's
  std::string name{};        ///< and inside the trial's own
};

/// What a trial's last result came with, while an exploit has given the trial another configuration, iteration and time since.
struct BeforeExploit {
  Config config{};
  std::uint64_t iteration{0};
  double time_total_s{0};

  bool operator==(const BeforeExploit&) const = default;
};

/// The last, smallest and largest number that a trial reported under a name. NaN and infinities count as last only.
struct MetricRange {
  std::string name{};
  double last{0};
  double min{0};
  double max{0};
};

struct Trial {
  TrialIndex index{0};
  std::string id{};    ///< "3f2a1_00007": unique in the experiment, the same when the experiment is run again
  std::string name{};  ///< "train_cifar_3f2a1_00007"
  std::string tag{};   ///< what was drawn for it: "l1=64,lr=0.0123"
  std::string exploit_tag{};  ///< what the last exploit changed: "lr=0.02@perturbed"; empty: none
  Config config{};            ///< it runs with; when it has ended: that of its last result
  Boxed<BeforeExploit> before_exploit{};  ///< of the last result, while the trial has gone on as something else and reported nothing since
  TrialState state{TrialState::kPending};
  std::uint32_t attempts{0};
  std::uint32_t failures{0};
  std::uint64_t iteration{0};  ///< training_iteration that it is at: of its last result; after an exploit of what it took over, until a result or its end
  std::uint64_t results{0};    ///< rows in its files; more than `iteration` when it went back to a copy of another trial's state
  double time_total_s{0};      ///< time in the user's code until then
  Metrics last{};
  std::vector<MetricRange> ranges{};
  std::vector<CheckpointRef> checkpoints{};  ///< those that are kept, oldest first
  Boxed<ClonedCheckpoint> cloned{};          ///< of the last exploit, until the trial starts again
  std::uint32_t exploits{0};                 ///< how often it went on as a copy of another trial
  Boxed<TrialResources> resources{};         ///< when the scheduler has changed them
  std::string error{};                       ///< of the last failure, or that the trial was ended at its time limit
  bool timed_out{false};                     ///< ended at its time limit
  bool copy_only{false};  ///< it went on as another trial's copy and has reported nothing since: its checkpoints are not its last result's
  double time_running_s{0};                  ///< wall clock in its actors, up to its last start
  std::int64_t pid{0};                       ///< the process that reported last

  /// Takes a result in: iteration, time, last, ranges.
  void record(std::uint64_t iteration, const Metrics& metrics, double time_this_iter_s);
  /// An exploit's, before iteration and time change. Remembers all three of the last result until there is another result.
  void take_config(Config changed);
  /// At its end: an exploit that no result followed came to nothing.
  void go_back_to_result();
  const Config& config_of_result() const noexcept { return before_exploit ? before_exploit->config : config; }
  std::uint64_t iteration_of_result() const noexcept { return before_exploit ? before_exploit->iteration : iteration; }
  double time_of_result_s() const noexcept { return before_exploit ? before_exploit->time_total_s : time_total_s; }
  /// Of the last result: "training_iteration", "time_total_s", or a reported metric.
  std::optional<double> value(std::string_view name) const { return ResultView{iteration_of_result(), time_of_result_s(), last}.get(name); }
  bool ended() const noexcept { return state == TrialState::kTerminated || state == TrialState::kError; }
  const MetricRange* range(std::string_view metric) const noexcept;
  /// The directory's name inside the experiment's: the id and what of the tag a file name can hold.
  std::string dir_name() const;
};

/// Sets id, "<prefix>_00007", and name, "<trainable>_<id>", by the index.
void name_trial(Trial& trial, const std::string& prefix, const std::string& trainable);

}  // namespace manta::tune
