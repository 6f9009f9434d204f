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

template <class Archive>
void save(Archive& archive, const Metrics& metrics) {
  archive(static_cast<std::uint64_t>(metrics.size()));
  for (const auto& [name, value] : metrics) archive(name, value);
}
template <class Archive>
void load(Archive& archive, Metrics& metrics) {
  std::uint64_t size = 0;
  archive(size);
  for (; size > 0; --size) {
    std::string name;
    double value = 0;
    archive(name, value);
    metrics.set(name, value);
  }
}

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
  std::uint64_t ticket{0};          ///< of its ReportSlot in the driver's process
  std::string desk{};               ///< address of the driver's ReportDesk; empty: it has none
  TrialResources resources{};       ///< for the host; not sent

  template <class Archive>
  void serialize(Archive& archive) {
    archive(index, id, name, dir, config, checkpoint, iteration, seed, checkpoint_frequency, checkpoint_at_end, keep_trainable,
            buffer_results, group, ticket, desk);
  }
};

/// The trial's next word: a result (it now waits for the decision), its end, or its failure. A checkpoint that comes with
/// the end was saved because the trial had to leave; `error` there says that this went wrong.
struct TrialReply {
  enum Kind : std::uint8_t { kReported, kFinished, kFailed };
  std::uint8_t kind{kFinished};
  std::uint64_t iteration{0};
  Metrics metrics{};
  double time_this_iter_s{0};
  std::string checkpoint{};  ///< the directory's name; empty: none
  std::string error{};
  std::int64_t pid{0};
  std::uint64_t checkpoint_bytes{0};
  std::vector<TrialReply> earlier{};  ///< results before this word that were not told yet; they have none themselves

  template <class Archive>
  void save(Archive& archive) const {
    alone(archive, *this);
    archive(static_cast<std::uint64_t>(earlier.size()));
    for (const TrialReply& each : earlier) alone(archive, each);
  }
  /// Not by recursion: a word of a few MB could nest as deep as the stack of the driver's thread.
  template <class Archive>
  void load(Archive& archive) {
    load_alone(archive, *this);
    std::uint64_t count = 0;
    archive(count);
    earlier.clear();
    for (; count > 0; --count) load_alone(archive, earlier.emplace_back());
  }

 private:
  template <class Archive, class Reply>
  static void alone(Archive& archive, Reply& reply) {
    archive(reply.kind, reply.iteration, reply.metrics, reply.time_this_iter_s, reply.checkpoint, reply.error, reply.pid, reply.checkpoint_bytes);
  }
  template <class Archive>
  static void load_alone(Archive& archive, TrialReply& reply) {
    alone(archive, reply);
    if (reply.kind > kFailed) throw ProtocolError("a trial's word is of an unknown kind");
  }
};

}  // namespace manta::tune
