#pragma once
// ReferenceTable: who refers to what, across processes. One per process: it counts, for the objects and actors of this
// process, who elsewhere has refs to them, and for refs to those of others what has to be given back. A pure state
// machine: events go in by methods, messages to send and objects to let go come out in ReferenceEffects. Scheme and proof:
// docs/design/0005-references-across-processes.md.
//
// Each hand-over of a ref to another process is one unit. The owner counts units by (who has them, who gave them), as
// signed numbers: a unit may be returned before its giver's word of it arrives. An object is let go when all its counts are
// zero. Needed of the network: messages from one process to another arrive in the order in which they were sent, and
// a process's end is told after its last message.
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "runtime/base/ids.hpp"
#include "runtime/base/number_ranges.hpp"

namespace manta::core {

/// An object or actor that is referred to; its id names the process that made it, its owner.
using ReferenceId = std::uint64_t;

enum class ReferenceOperation : std::uint8_t {
  kLend = 1,   ///< to the owner, before the ref itself goes out: `process` will have `units` from me
  kReturn,     ///< to the owner: my units from `process` are given back
  kRecount,    ///< from the owner: how many units of the dead `process` have you got?
  kRecounted,  ///< the answer
  kFetch,      ///< to the owner: send me the value when it is there (the table has no part in it)
  kRebuild,    ///< to the owner: what I got, the stored object `units`, is lost: make it again and send me that (no part either)
};
struct ReferenceUpdate {
  ReferenceOperation operation{};
  ReferenceId id = 0;
  ProcessId process = 0;
  std::int64_t units = 0;
  bool operator==(const ReferenceUpdate&) const = default;
};

struct ReferenceEffects {
  struct Send {
    ProcessId to;
    ReferenceUpdate update;
  };
  std::vector<Send> sends{};
  std::vector<ReferenceId> released{};  ///< ours, and nobody elsewhere refers to it any more
  std::vector<ReferenceId> orphaned{};  ///< borrowed, and its owner is gone
};

class ReferenceTable {
 public:
  explicit ReferenceTable(ProcessId self) : self_(self) {}

  /// A ref is about to be sent to `to`: perform the effects first. This process has a ref to it until they are sent.
  void give(ReferenceId id, ProcessId to, ReferenceEffects& effects);
  /// A ref has come from `from`. True when it is borrowed (its owner is another process).
  bool accept(ReferenceId id, ProcessId from);
  /// The last local ref to a borrowed object went.
  void dropped(ReferenceId id, ReferenceEffects& effects);
  void deliver(ProcessId from, const ReferenceUpdate& update, ReferenceEffects& effects);
  /// A process has ended; all its messages have arrived.
  void process_gone(ProcessId process, ReferenceEffects& effects);

  bool is_gone(ProcessId process) const { return gone_.contains(process); }
  bool lent(ReferenceId id) const { return lent_.contains(id); }  ///< somebody elsewhere refers to it
  std::size_t lent_count() const { return lent_.size(); }
  std::size_t borrowed_count() const { return borrowed_.size(); }
  std::size_t gone_ranges() const { return gone_.ranges(); }  ///< what the memory of the dead takes

 private:
  struct Count {
    ProcessId holder = 0;
    ProcessId giver = 0;
    std::int64_t units = 0;
  };
  struct Units {
    ProcessId giver = 0;
    std::int64_t units = 0;
  };
  struct Recount {
    ProcessId owner = 0;
    ProcessId giver = 0;
    ReferenceId id = 0;
  };
  void add(ReferenceId id, ProcessId holder, ProcessId giver, std::int64_t units, ReferenceEffects& effects);
  void answer(const Recount& recount, ReferenceEffects& effects);
  void forget_holder(ProcessId process, ReferenceEffects& effects);

  const ProcessId self_;
  std::unordered_map<ReferenceId, std::vector<Count>> lent_{};       ///< ours; counts that are not zero
  std::unordered_map<ReferenceId, std::vector<Units>> borrowed_{};   ///< others', to be given back
  std::vector<Recount> recounts_{};                                  ///< wait for the end of the giver's messages
  NumberRanges gone_{};                                              ///< ids are never used again
};

}  // namespace manta::core
