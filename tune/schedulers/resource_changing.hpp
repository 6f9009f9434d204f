#pragma once
// Resources that change while trials run, as Ray's ResourceChangingScheduler: what finished trials leave free goes to those
// that are left. Another scheduler decides which trials go on; when one does, an allocation says what it shall hold, and
// if that is something else the trial pauses and goes on from its checkpoint with it. Trials need checkpoints, and read
// what they have from TrialContext.
//
//   .scheduler = tune::resource_changing({.scheduler = tune::asha({.max_t = 50}), .allocation = tune::distribute_resources()})
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "tune/schedulers/scheduler.hpp"

namespace manta::tune {

/// What an allocation may look at. Borrowed: valid during the call.
struct AllocationRequest {
  TrialIndex trial{0};  ///< that reported and goes on
  const ResultView& result;
  const std::map<TrialIndex, TrialResources>& live;  ///< of all trials that have not ended, this one too
  const std::map<TrialIndex, double>& scores;        ///< last values of the metric, larger is better, of those that reported
  const TrialResources& base;                        ///< what this trial began with, by TuneOptions::resources_of where there is one
  const Resources& total;                            ///< of the machine or cluster
  const std::map<TrialIndex, TrialResources>& bases;  ///< what each of `live` began with
};

/// A rule, and its text: two that differ in the text are different experiments. `decide` says what the trial shall hold;
/// nothing: as it is. Pure.
struct Allocation {
  std::string description{};
  std::function<std::optional<TrialResources>(const AllocationRequest&)> decide{};
};

struct DistributeOptions {
  bool add_bundles{false};    ///< to TrialResources::workers instead of the trial itself; of a trial that has bundles, one
                              ///< more bundle a step instead of a larger first one
  Resources increase_by{};    ///< in one step; default: 1 GPU where a trial has any, else 1 CPU
  std::int64_t increase_by_times{-1};  ///< at most so many steps; -1: no end
  Resources reserve{};        ///< left alone
};
/// Ray's DistributeResources: what is free is shared out evenly between all trials that have not ended.
Allocation distribute_resources(DistributeOptions options = {});
/// Ray's DistributeResourcesToTopJob: all that is free goes to the trial with the best last result.
Allocation distribute_resources_to_top_job(DistributeOptions options = {});

struct ResourceChangingOptions {
  SchedulerSpec scheduler{fifo()};
  Allocation allocation{distribute_resources()};
};

/// The scheduler for TuneOptions.
SchedulerSpec resource_changing(ResourceChangingOptions options = {});

}  // namespace manta::tune
