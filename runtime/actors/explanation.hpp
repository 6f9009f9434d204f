#pragma once
// What an owner knows about the task or call that makes an object, as a plain struct, and the words for it. The owner actor
// fills a WorkReport; whoever asked turns it into text. Internal; see Client::explain.
#include <functional>

#include "runtime/base/futex.hpp"
#include "runtime/cell.hpp"
#include "runtime/core/actor_table.hpp"
#include "runtime/core/placement_table.hpp"

namespace manta::detail {

struct WorkReport {
  enum class Stage : std::uint8_t {
    kUnanswered,  ///< the owner has not said anything in time, or is at its end
    kUnknown,     ///< no such work: it has just ended, or belongs to another Runtime of the program
    kArguments,   ///< waits for `arguments`
    kQueued,      ///< a task that waits for a lease
    kSent,        ///< a task that a worker has
    kBackOff,     ///< a task between two attempts
    kCall,        ///< a call: what its actor does says the rest
  };
  Stage stage = Stage::kUnanswered;
  std::string name{};
  std::vector<std::pair<std::size_t, std::shared_ptr<Cell>>> arguments{};  ///< that are not there; of the constructor for an actor that has none yet
  std::size_t ahead = 0;                ///< tasks or calls of this process that go first
  std::shared_ptr<Cell> first_ahead{};  ///< the result of the first of those calls
  int attempt = 1;
  ProcessId process = 0;                ///< that the work was sent to
  SteadyClock::time_point since{};      ///< when
  core::ResourceRequest request{};      ///< of the task, or of the actor of the call
  std::string group{};                  ///< the placement group that they come from; empty: the machine itself
  std::string actor{};
  core::ActorState actor_state = core::ActorState::kDead;
  bool borrowed = false;                ///< another process owns the actor: what it has said last, if anything, is `told`
  std::optional<core::ActorState> told{};
  int pauses_after = 0;                 ///< deaths of the actor's process while it started, in a row; 0: it does not pause
  bool sent = false;                    ///< the call has left for its actor
  bool asynchronous = false;            ///< a coroutine: when it runs, it may be waiting
  std::size_t at_once = 1;              ///< calls of its concurrency group that the actor runs at once
  std::size_t coroutines = 0;           ///< before it, of calls that have left for the actor
  std::size_t max_coroutines = SIZE_MAX;  ///< when so many have begun, nothing else does
  bool shared = false;                  ///< other processes have handles to the actor: their calls may be before it, which is not known here
};

/// What the words are about, beside the report.
struct ReportScene {
  ProcessId self = 0;
  Resources free{};
  std::vector<Resources> bundles{};     ///< what is free in the placement group that it takes from; empty: it is not placed
  std::string group_wait{};             ///< then: what the group waits for, by in_words
  Resources total{};
  SteadyClock::time_point now{};
};

/// `deeper` explains another object, in lines of its own. A pure function.
std::string in_words(const WorkReport& report, const ReportScene& scene, const std::function<std::string(Cell&)>& deeper);
/// What a group that is not placed waits for; `holders` describe the groups that are placed.
std::string in_words(const core::PlacementSpec& waiting, const std::vector<std::string>& holders, const ReportScene& scene);
std::string process_in_words(ProcessId process, ProcessId self);

/// Where a thread waits for a report. It is `done` also when the question is dropped unanswered.
struct ReportSlot {
  std::atomic<std::uint32_t> done{0};
  WorkReport report{};
};

/// The question's way to the owner and back; its destructor wakes whoever waits.
class ReportQuestion {
 public:
  explicit ReportQuestion(std::shared_ptr<ReportSlot> slot) : slot_(std::move(slot)) {}
  ReportQuestion(const ReportQuestion&) = delete;
  ~ReportQuestion() {
    slot_->done.store(1, std::memory_order_release);
    futex_wake_all(slot_->done);
  }
  WorkReport& report() { return slot_->report; }

 private:
  std::shared_ptr<ReportSlot> slot_;
};

}  // namespace manta::detail
