#pragma once
// Node: the role that owns a machine's resources and worker processes. Grants leases by LeaseTable, makes worker processes
// through the zygote, notices their deaths, tells owners what they lost. One per machine; in embedded mode it lives in the
// driver. Thread-safe; never blocks its callers: forks happen on a lane.
#include <map>
#include <set>

#include "runtime/actors/control.hpp"
#include "runtime/actors/lane.hpp"
#include "runtime/actors/router.hpp"
#include "runtime/actors/timer.hpp"
#include "runtime/core/lease_table.hpp"
#include "runtime/core/memory_guard.hpp"
#include "runtime/core/spare_table.hpp"
#include "runtime/core/task_table.hpp"
#include "runtime/options.hpp"

namespace manta::detail {

/// How the node makes and ends worker processes; behind an interface so that the node can be tested without any.
class ProcessLauncher {
 public:
  virtual ~ProcessLauncher() = default;
  struct Started {
    ProcessId process = 0;
    int pid = 0;
  };
  /// May block. The process's messages and its end are reported by the launcher to the node.
  virtual Result<Started> launch(ProcessId process, const wire::ProcessOptions& options,
                                 const std::map<std::string, std::string>& environment, Amount cpus) = 0;
  /// The same for a process that has no name and no log file yet: a spare.
  virtual Result<Started> prepare(ProcessId process, const std::map<std::string, std::string>& environment, Amount cpus) = 0;
  /// Gives them to a spare. False when it has ended. Does not block.
  virtual bool adopt(ProcessId process, const wire::ProcessOptions& options) = 0;
  virtual void kill(ProcessId process) = 0;
  /// SIGTERM, and five seconds later SIGKILL if it is still there.
  virtual void terminate(ProcessId process) = 0;
};

class Node {
 public:
  struct Options {
    Workers workers = Workers::kThread;
    std::size_t shared_processes = 1;        ///< at most so many shared worker processes
    std::size_t spare_processes = 0;         ///< at most so many that are kept ready, see core/spare_table.hpp
    std::vector<std::string> gpu_names{};    ///< by id, what goes into CUDA_VISIBLE_DEVICES
    /// How long a process that leaves may keep its GPUs; longer it stays only as others refer to what it owns, and they are given on.
    std::chrono::milliseconds stays_long{5000};
    double memory_threshold = 1;             ///< as in RuntimeOptions
    std::function<MemoryUse()> memory_meter{};  ///< asked by a thread of the node's own
    /// Likewise: which GPUs are there, by their names, and others; nullopt: it cannot be said just now. Null: all stay.
    std::function<std::optional<std::vector<std::string>>()> find_gpus{};
  };
  Node(caf::actor_system& system, core::LeaseTable table, Router& router, ProcessLauncher& launcher, Lane& lane,
       std::function<void(ProcessId)> on_gone, Options options);
  ~Node();

  /// A message of an owner or of a worker process.
  void deliver(ProcessId from, wire::Message message);
  /// A worker process has ended: "was killed by signal 9 (Killed)". own_doing: what ran in it did that;
  /// unused: it was a spare, and the actor that it was given to had not begun there.
  void process_ended(ProcessId process, std::string how, bool own_doing = false, bool unused = false);
  /// What the meter says: a worker process may be ended.
  void memory_read(const MemoryUse& use);
  /// The GPUs that are there: one that is missing twice in a row is gone for good, and what has it is ended.
  void gpus_seen(std::optional<std::vector<std::string>> names);
  Resources available() const;
  Resources total() const;
  std::size_t leases_held() const;
  /// Purposes whose options are kept, because leases in processes of their own are wanted for them.
  std::size_t options_kept() const;
  /// Tells all worker processes to end; those that do not are killed by the launcher's end.
  void stop();
  /// Ends the actor: no event is handled any more, so that nothing is posted to the lane.
  void end();

 private:
  struct FromProcess { ProcessId from; wire::Message message; };
  struct Launched { ProcessId process; Result<ProcessLauncher::Started> result; };
  struct Ended { ProcessId process; std::string how; bool own_doing, unused; };
  struct MemoryRead { MemoryUse use; };
  struct GpusSeen { std::optional<std::vector<std::string>> names; };
  struct StaysLong { LeaseId lease; };
  struct LookAtSpares {};
  struct Stopped {};
  using Event = std::variant<FromProcess, Launched, Ended, MemoryRead, GpusSeen, StaysLong, LookAtSpares, Stopped>;
  struct Process {
    int pid = 0;
    bool own = false;
    bool running = false;              ///< launched: grants can be told
    bool started = false;              ///< it has said that it is ready
    bool leaving = false;              ///< told to end
    bool given_up = false;             ///< by its lease's owner, and the lease is kept until it has ended
    bool killed = false;               ///< at the end of its lease
    bool ended = false;
    std::optional<ErrorInfo> ended_for{};  ///< why the node killed it, whatever ran in it
    std::set<LeaseId> leases{};
    std::vector<core::Lease> ungranted{};  ///< wait for the launch
    std::optional<core::SpareTable::Kind> kind{};  ///< of an actor's own, until its actor has left
  };

  void handle(std::vector<Event>& events);
  void on(FromProcess& event);
  void on(Launched& event);
  void on(Ended& event);
  void on(MemoryRead& event);
  void on(LookAtSpares& event);
  void on(Stopped& event);
  void watch_memory();
  MemoryUse read_meter() noexcept;
  void end_for_memory(ProcessId process, const MemoryUse& use);
  void on(GpusSeen& event);
  void on(StaysLong& event);
  void watch_gpus();
  void lose_gpu(std::size_t id);
  void tell_total(ProcessId process);
  void on(const wire::PlaceGroup& message, ProcessId from);
  void on(const wire::WatchGroup& message, ProcessId from);
  void on(const wire::FindGroups& message, ProcessId from);
  void remove_group(GroupId group, std::optional<ErrorInfo> why = {});
  ErrorInfo gone(GroupId group, const std::string& name) const;
  void tell_watchers(GroupId group, const std::optional<ErrorInfo>& error);
  void tell(const core::LeaseEffects& effects);
  void perform();
  void forget_options();
  void place(const core::Lease& lease);
  ProcessId shared_process();
  bool has_shared_process() const;
  ProcessId launch(bool own, const wire::ProcessOptions& options, const core::Lease* lease);
  core::SpareTable::Kind kind_of(const wire::ProcessOptions& options, const core::Lease* lease) const;
  ProcessId process_for_actor(const wire::ProcessOptions& options, const core::Lease& lease);
  void actor_left(Process& process);
  void look_at_spares_after(std::chrono::milliseconds time);
  void make_spare(const core::SpareTable::Kind& kind);
  void drop_spares(const std::vector<ProcessId>& spares);
  void tell_granted(const core::Lease& lease, ProcessId worker);
  enum class End : std::uint8_t { kLeave, kTerminate, kKill };
  void release(LeaseId lease, End end);
  bool keeps_lease(const core::Lease& lease, End end);
  void let_go(LeaseId lease);
  void drop_owner(ProcessId owner);
  void publish_available();

  core::LeaseTable table_;
  Router& router_;
  ProcessLauncher& launcher_;
  Lane& lane_;
  const std::function<void(ProcessId)> on_gone_;
  const Options options_;
  core::LeaseEffects effects_{};
  ProcessId next_process_ = 1;
  SteadyClock::time_point no_launch_before_{};  ///< of a shared process, while there is another one
  std::map<ProcessId, Process> processes_{};
  std::map<LeaseId, ProcessId> places_{};
  std::map<std::pair<ProcessId, core::Purpose>, wire::ProcessOptions> wanted_options_{};  ///< until the leases wanted are placed
  std::set<std::pair<ProcessId, core::Purpose>> maybe_satisfied_{};  ///< those of which some have been placed just now, or refused
  std::map<GroupId, std::vector<ProcessId>> group_watchers_{};  ///< of groups that are not placed
  bool stopping_ = false;
  core::MemoryGuard memory_;
  bool memory_watched_ = false;
  bool memory_warned_ = false;
  bool memory_short_ = false;  ///< at the last reading
  bool meter_failed_ = false;  ///< and that has been logged; of the timer's thread
  core::SpareTable spares_;
  std::set<std::pair<ProcessId, core::Purpose>> spare_died_{};  ///< whose next process is none that was kept ready
  std::optional<SteadyClock::time_point> spares_due_{};  ///< when they are looked at next
  std::map<std::size_t, int> gpus_missing_{};  ///< how often in a row
  mutable std::mutex published_mutex_;
  Resources published_{}, published_total_{};
  std::size_t published_leases_ = 0, published_options_ = 0;
  std::unique_ptr<ControlActor<Event>> actor_;
  Timer watch_timer_;  // tells the actor, so it ends first
};

}  // namespace manta::detail
