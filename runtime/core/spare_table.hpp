#pragma once
// SpareTable: the node's decision on how many worker processes it keeps ready for actors that will have a process of their own.
// Where one such actor began soon after another one had ended, the next is likely to follow, and finds its process forked and
// started already: it takes the place of milliseconds. A spare is ended when nobody took it. Pure: no clock, no thread; time is
// handed in. Owned by the node actor.
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runtime/base/amount.hpp"
#include "runtime/base/ids.hpp"

namespace manta::core {

class SpareTable {
 public:
  /// What a process has to be started with; spares of one kind do not serve another.
  struct Kind {
    std::map<std::string, std::string> environment{};
    Amount cpus{};
    auto operator<=>(const Kind&) const = default;
  };
  static constexpr std::int64_t kSoonMs = 1000;    ///< an actor that begins so soon after the end of another follows it
  static constexpr std::int64_t kHandoverMs = 250;  ///< one that ends so soon after another has begun is followed by that: it took
                                                   ///< its leave first, but the way of that is longer
  static constexpr std::int64_t kUnusedMs = 60'000;  ///< the actors are long ones then: a spare would save nothing to speak of

  /// `limit`: spares of all kinds together; 0: none are made.
  explicit SpareTable(std::size_t limit) : limit_(limit) {}
  bool on() const { return limit_ > 0; }

  /// An actor of that kind begins; gives the spare that becomes its process, if one is ready and may be taken.
  std::optional<ProcessId> begin(const Kind& kind, std::int64_t now_ms, bool may_adopt = true);
  void end(const Kind& kind, std::int64_t now_ms);
  void launching(const Kind& kind, ProcessId spare);
  void ready(ProcessId spare);
  /// It could not be launched, or has ended. True when it was a spare. After two in a row none of that kind are made until actors
  /// follow each other again.
  bool gone(ProcessId spare);

  struct Look {
    std::vector<Kind> make{};       ///< to be launched
    std::vector<ProcessId> drop{};  ///< to be ended; not spares any more
    bool again{false};              ///< look again in a second or so
  };
  /// `memory_short`: none is made.
  Look look(std::int64_t now_ms, bool memory_short = false);
  /// Memory runs short: all that there are.
  std::vector<ProcessId> drop_all();

 private:
  struct Spare {
    ProcessId process = 0;
    bool ready = false;
  };
  struct Actors {
    std::size_t live = 0;
    bool follow = false;  ///< one has begun where another had ended
    std::int64_t began_ms = 0;
    std::optional<std::int64_t> ended_ms{};
    std::vector<Spare> spares{};
    int failures = 0;  ///< in a row
  };
  void drop_beyond(Actors& actors, std::size_t keep, std::vector<ProcessId>& dropped);
  bool worth_it(const Actors& actors, std::int64_t now_ms) const;

  std::size_t limit_;
  std::size_t count_ = 0;  ///< spares of all kinds
  std::map<Kind, Actors> kinds_{};
};

}  // namespace manta::core
