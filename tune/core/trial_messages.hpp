#pragma once
// What goes between the driver and a trial's actor. Plain values, serialised by the runtime's codec.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/placement_group.hpp"
#include "tune/metrics.hpp"
#include "tune/resources.hpp"
#include "tune/schedulers/scheduler.hpp"

namespace manta::tune {

/// All that an actor must know to run one attempt of a trial.
struct TrialSpec {
  TrialIndex index{0};
  std::string id{};
  std::string name{};
  std::string dir{};         ///< the trial's directory, absolute
  std::string config{};      ///< encode_config
  std::string checkpoint{};  ///< directory to go on from, absolute; empty: from the beginning
  std::uint64_t iteration{0};  ///< of that checkpoint
  std::uint64_t seed{0};       ///< the trial's own
  std::uint64_t checkpoint_frequency{1};
  bool checkpoint_at_end{false};
  bool keep_trainable{false};       ///< the actor may get another trial: a class that can reset_config stays
  std::uint32_t buffer_results{1};  ///< so many results may come in one reply
  PlacementGroup group{};           ///< the trial's bundles, if it has any
  TrialResources resources{};       ///< for the host; not sent

  template <class Archive>
  void serialize(Archive& archive) {
    archive(index, id, name, dir, config, checkpoint, iteration, seed, checkpoint_frequency, checkpoint_at_end, keep_trainable,
            buffer_results, group);
  }
};

/// The trial's next word: a result (it now waits for the decision), its end, or its failure. A checkpoint that comes with
/// the end was saved because the trial had to leave; `error` there says that this went wrong.
struct TrialReply {
  enum Kind : std::uint8_t { kReported, kFinished, kFailed };
  std::uint8_t kind{kFinished};
  std::uint64_t iteration{0};
  std::vector<std::string> names{};
  std::vector<double> values{};
  double time_this_iter_s{0};
  std::string checkpoint{};  ///< the directory's name; empty: none
  std::string error{};
  std::int64_t pid{0};
  std::uint64_t checkpoint_bytes{0};
  std::vector<TrialReply> earlier{};  ///< results before this word that were not told yet

  template <class Archive>
  void serialize(Archive& archive) {
    archive(kind, iteration, names, values, time_this_iter_s, checkpoint, error, pid, checkpoint_bytes, earlier);
  }
  Metrics metrics() const {
    Metrics metrics;
    for (std::size_t i = 0; i < names.size() && i < values.size(); ++i) metrics.set(names[i], values[i]);
    return metrics;
  }
};

}  // namespace manta::tune
