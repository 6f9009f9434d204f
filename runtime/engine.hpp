#pragma once
// The face that the runtime's typed public headers see of what is behind them. Internal; implemented in
// runtime/actors. Thread-safe.
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/function.hpp"
#include "runtime/options.hpp"
#include "runtime/stats.hpp"

namespace manta::detail {

template <class Rep, class Period>
Deadline deadline_in(std::chrono::duration<Rep, Period> timeout) {
  constexpr double kForever = 1e9;  // seconds; beyond, the clock would overflow
  const double seconds = std::chrono::duration<double>(timeout).count();
  if (seconds > kForever) return {};
  if (!(seconds >= 0)) return SteadyClock::now();  // NaN too
  return SteadyClock::now() + std::chrono::ceil<SteadyClock::duration>(timeout);
}

std::string describe_group(GroupId group, const std::string& name);

/// A placement group as the engine hands it out.
struct GroupHandle {
  GroupId id{};
  std::shared_ptr<const PlacementGroupOptions> options{};
  std::shared_ptr<Cell> placed{};  ///< null when it was found, not made
};

class Engine;

/// What an actor's options say about the calls that any handle makes.
struct CallRules {
  int max_pending_calls = 0;  ///< unfinished ones by one link; 0: no limit
  bool serial = false;        ///< it runs one call at a time
  std::vector<std::string> groups{};  ///< its concurrency groups
};

/// One actor as its creator sees it; shared by all handles. The last one to go ends the actor.
class ActorLink {
 public:
  virtual ~ActorLink() = default;
  /// `options`: null for the usual call.
  virtual void call(std::shared_ptr<TaskRecord> record, std::shared_ptr<const CallOptions> options) = 0;
  virtual void kill() = 0;
  virtual std::string description() const = 0;
  virtual CallRules rules() const = 0;
  /// The same for all links to one actor; names the process that owns it.
  virtual std::uint64_t id() const noexcept = 0;
  /// Of this process. Throws RuntimeStopped.
  virtual std::shared_ptr<Engine> engine() const = 0;
};

class Engine {
 public:
  virtual ~Engine() = default;

  /// Errors that are known at once (bad options, infeasible resources, stopped) are thrown.
  virtual void submit(std::shared_ptr<TaskRecord> record, std::shared_ptr<const TaskOptions> options) = 0;
  virtual std::shared_ptr<ActorLink> spawn(std::shared_ptr<TaskRecord> constructor,
                                           std::shared_ptr<const ActorOptions> options, const FunctionEntry& type) = 0;
  /// The actor of that name. Throws NotFound, or InvalidArgument when it is of another type.
  virtual std::shared_ptr<ActorLink> find_actor(const std::string& name, const FunctionEntry& type) = 0;
  /// Registers a value that exists. Large ones go to the arena where workers are processes.
  virtual void put(Cell& cell, const PutOptions& options, const std::string& standard_tag) = 0;
  virtual std::shared_ptr<Cell> find_durable(const TypeOps& ops, const std::string& name, const std::string& tag) = 0;
  virtual bool remove_durable(const std::string& name) = 0;
  virtual std::vector<std::string> list_durable(const std::string& prefix) = 0;

  /// Blocks until settled; the calling task gives its CPU to others meanwhile. False at the deadline.
  virtual bool wait(Cell& cell, Deadline deadline) = 0;
  /// The same for `count` of several, with `fail_fast` also when one has failed; false at the deadline.
  virtual bool wait_some(std::span<Cell* const> cells, std::size_t count, Deadline deadline, bool fail_fast) = 0;
  /// The same until `word`, which whoever changes it wakes, holds another value; false at the deadline. `cells`: what it stands for, to
  /// be explained when that takes long.
  virtual bool wait_while(std::atomic<std::uint32_t>& word, std::uint32_t value, Deadline deadline, std::span<Cell* const> cells) = 0;
  /// See Client::cancel.
  virtual void cancel(Cell& cell, const CancelOptions& options) = 0;
  /// Nobody wants what that call of an actor does, but for whoever waits for its end: it is taken back, or told to stop as by cancel, and its ref
  /// is settled by what becomes of it, not before. Of no effect when it has ended.
  virtual void give_up(Cell& cell) = 0;
  /// See Client::explain.
  virtual std::string explain(Cell& cell) = 0;
  /// The same for the message of a Timeout, which it does not hold up by more than some 100 ms: of what another process owns it says no
  /// more than that, and it is empty when there is no answer so soon. With it, for whom the actor of a call waits in turn.
  virtual std::string explain_late(const std::shared_ptr<Cell>&) { return {}; }
  /// Runs a callback of the user's on the thread that is for them.
  virtual void post_callback(std::function<void()> callback) = 0;

  /// Throws InvalidArgument and InfeasibleResources for what can never be.
  virtual GroupHandle place_group(std::shared_ptr<const PlacementGroupOptions> options) = 0;
  /// Settled when the group is placed; fails when it is not there any more.
  virtual std::shared_ptr<Cell> watch_group(GroupId group) = 0;
  virtual void remove_group(GroupId group) = 0;
  /// All, for an empty name.
  virtual std::vector<GroupHandle> find_groups(const std::string& name) = 0;

  virtual Resources total_resources() const = 0;
  virtual Resources available_resources() const = 0;
  virtual RuntimeStats stats() const = 0;

  /// The runtime's own, of one that is made for a task and forwards to it; null: this is it.
  virtual std::shared_ptr<Engine> behind() const { return nullptr; }
};

/// Whether a Timeout at that deadline says what was waited for. A short wait may be one of very many looks, which an explanation would make slow.
bool is_long_wait(Deadline deadline) noexcept;
/// `late`: is explained; null: nothing is.
[[noreturn]] void throw_timeout(Engine& engine, const std::shared_ptr<Cell>& late, const std::string& message);
/// Waits until the cell is settled. Throws Timeout.
void wait_in_time(Engine& engine, const std::shared_ptr<Cell>& cell, Deadline deadline, const std::string& message);

}  // namespace manta::detail
