#pragma once
// The directory of an experiment: results_dir/name, with the journal in it. Every refusal says what is in the way.
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "runtime/errors.hpp"
#include "tune/core/event_log.hpp"
#include "tune/core/events.hpp"

namespace manta::tune {

struct ExperimentDir {
  std::filesystem::path path{};  ///< absolute
  std::unique_ptr<EventLog> log{};
  std::optional<ExperimentCreated> header{};  ///< of the experiment that is there already
};

/// Makes or opens it. IoError when it cannot be made or written; InvalidArgument when an experiment of that name is
/// there and `resume` is false, or when the directory holds something else; StorageCorruption when it holds what an experiment
/// left, and the journal no record of one.
ExperimentDir open_experiment_dir(const std::filesystem::path& results_dir, const std::string& name, bool resume);

/// Whether the directory holds anything besides a journal: an experiment that has its first record makes the rest.
bool holds_more_than_journal(const std::filesystem::path& dir);
/// The error where it does, and the journal has no record.
StorageCorruption lost_journal(const std::filesystem::path& dir);

/// InvalidArgument that names every difference between the experiment that is there and the one that is to be resumed.
/// The seed counts only when the caller gave one.
void check_same_experiment(const std::filesystem::path& dir, const ExperimentCreated& there,
                           const ExperimentCreated& wanted, bool compare_seed);

/// Five hexadecimal digits that the experiment's trial ids begin with.
std::string trial_id_prefix(const ExperimentCreated& header);

}  // namespace manta::tune
