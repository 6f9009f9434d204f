#pragma once
// PBT replay, as Ray's PopulationBasedTrainingReplay: one trial that follows the schedule of hyper-parameters which a trial
// of an earlier PBT experiment ended up with, for training again what PBT found.
//
//   options.num_samples = 1;
//   options.scheduler = tune::pbt_replay("manta_results/my_pbt/pbt_policy_3f2a1_00002.txt");
//
// The trial begins with the first configuration of the chain, whatever the search space gives, and at each change's step
// goes on from its own checkpoint with the next one. The file's last lines say which chain counts: what a later exploit
// overwrote is passed over.
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "tune/schedulers/scheduler.hpp"

namespace manta::tune {

/// The scheduler for TuneOptions. InvalidArgument, when the experiment starts, when the file cannot be read or holds no
/// policy (its trial was never changed), and when a second trial is made.
SchedulerSpec pbt_replay(std::filesystem::path policy_file);

struct PbtPolicy {
  Config initial{};
  std::vector<std::pair<std::uint64_t, Config>> changes{};  ///< at that iteration, to that configuration; in order
};
/// Reads a policy file. InvalidArgument as above.
PbtPolicy read_pbt_policy(const std::filesystem::path& policy_file);

}  // namespace manta::tune
