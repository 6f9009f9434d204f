#pragma once
// Owner: the role of a process that submits. Owns its tasks, its actors and the objects they make: decides by TaskTable
// and ActorTable, and does what they say. One per process. The public operations are thread-safe and never block, except
// that a value too large to travel inline is written to the object store by the calling thread.
#include <variant>

#include "runtime/actors/bin.hpp"
#include "runtime/actors/id_table.hpp"
#include "runtime/actors/joined_task.hpp"
#include "runtime/actors/lane.hpp"
#include "runtime/actors/lineage.hpp"
#include "runtime/actors/owned_work.hpp"
#include "runtime/actors/timer.hpp"
#include "runtime/actors/use_gate.hpp"
#include "runtime/actors/work_counts.hpp"
#include "runtime/actors/reference_keeper.hpp"
#include "runtime/actors/worker_host.hpp"
#include "runtime/core/burst_meter.hpp"
#include "runtime/promise.hpp"

namespace manta::detail {

class ReportQuestion; struct WorkReport;

class Owner : public std::enable_shared_from_this<Owner> {
 public:
  struct Options {
    bool portable = false;     ///< work may run in other processes
    Resources total{};         ///< what the machine has, to refuse at once what can never fit
    std::uint64_t inline_bytes = 0;
    std::uint64_t max_queued_bytes = 0;  ///< 0: no limit
    std::shared_ptr<UseGate> gate = std::make_shared<UseGate>();
  };
  Owner(caf::actor_system& system, IdSource& ids, Router& router, WorkerHost& host, StoreAccess& store, Lane& lane, Bin& bin,
        ReferenceKeeper& references, Lineage& lineage, Options options);
  ~Owner();

  void submit(std::shared_ptr<TaskRecord> record, std::shared_ptr<const TaskOptions> options, bool nested);
  /// `actor`: the id of the new one. With a name, which the caller has claimed for it, the owner releases that at its end.
  std::shared_ptr<ActorLink> spawn(std::shared_ptr<TaskRecord> constructor, std::shared_ptr<const ActorOptions> options, ActorId actor);
  /// `holds_back`: calls after it are sent once it is done, as it may run again; of no effect for a coroutine.
  void call(ActorId actor, std::shared_ptr<TaskRecord> record, std::shared_ptr<const CallOptions> options, bool portable,
            bool holds_back = false);
  /// `name`: the actor's, which is free when these return; empty: none.
  void dropped(ActorId actor, const std::string& name = {});
  void kill(ActorId actor, const std::string& name = {});
  std::shared_ptr<Engine> engine() const { return router_.engine(); }
  UseGate& gate() const { return *options_.gate; }  ///< for whoever comes by a link or a cell: what this stands on may go
  /// Whether one more task may be queued. When not, it may be as soon as room_word() changes.
  bool has_room() const { return options_.max_queued_bytes == 0 || queued_bytes_.load(std::memory_order_relaxed) < options_.max_queued_bytes; }
  std::atomic<std::uint32_t>& room_word() { return room_word_; }

  /// Asks for a task of this process that nobody has begun, to run it here; the answer goes to `joined`.
  void join(TaskId task, std::shared_ptr<JoinedTask> joined);
  /// See Client::cancel, and Engine::give_up.
  void cancel(Cell& cell, const CancelOptions& options);
  void give_up(Cell& cell);
  /// Cancels what those tasks and calls submitted, and in turn what that submitted.
  void cancel_children(std::vector<TaskId> parents);
  /// A task that makes a lost object again: its arguments are encoded. Does not block.
  void resubmit(std::shared_ptr<OwnedTask> task);
  // Actors that other processes own: owner_borrowing.cpp.
  void borrow(ActorId actor, std::string description, std::shared_ptr<void> borrow);
  void kill_elsewhere(ActorId actor);
  void deliver(ProcessId from, wire::ActorRequest request);
  void deliver(ProcessId from, wire::ActorPlace place);
  void process_gone(ProcessId process);
  /// Gives `told` the id of the actor that the call is for; 0 when this process does not know such a call.
  void ask_target(TaskId call, std::shared_ptr<Promise<std::uint64_t>> told);

  /// What the task or call waits for; the actor answers at once. Unknown when there is no such work.
  WorkReport report_on(TaskId work);

  /// A message from the node or a worker.
  void deliver(wire::Message message);
  /// Fails what has not begun, ends all actors; from now on everything that is submitted fails with RuntimeStopped.
  void stop();
  /// Tasks, calls and actors that are not at their end.
  WorkCounts::Now unfinished() const { return counts_.now(); }
  std::uint64_t queued_bytes() const { return queued_bytes_.load(std::memory_order_relaxed); }
  void abandon();  ///< fails what is left
  /// Ends the actor: when it returns, no event is being handled and none will be.
  void end();

 private:
  struct Submitted { std::shared_ptr<OwnedTask> task; };
  struct Spawned { std::shared_ptr<OwnedConstructor> constructor; };
  struct Called { std::shared_ptr<OwnedCall> call; };
  struct ArgumentSettled {
    std::shared_ptr<OwnedWork> work;
    std::shared_ptr<const ErrorInfo> error;
    std::size_t index;
    std::shared_ptr<const EncodedValue> placed{};  ///< for kByValue
  };
  static constexpr std::size_t kByValue = SIZE_MAX;  ///< as an index: all arguments by value, stored once more as that copy was lost
  struct Dropped { ActorId actor; };
  struct Killed { ActorId actor; };
  struct Stop { bool everything; };
  enum class Settled : std::uint8_t { kAtOnce, kByItsEnd };  ///< when the ref of what is cancelled is
  struct Cancel { TaskId id; CancelOptions options; Settled settled = Settled::kAtOnce; };
  struct CancelChildren { std::vector<TaskId> parents; };
  struct DeadlinePassed { TaskId id; };
  struct RetryDue { TaskId id; };
  struct RestartDue { ActorId actor; };
  struct Overdue { TaskId id; LeaseId lease; };  ///< still runs a while after it was asked to stop
  struct Borrowed { std::shared_ptr<OwnedConstructor> actor; };
  struct Requested { ProcessId from; wire::ActorRequest request; };
  struct Placed { ProcessId from; std::unique_ptr<wire::ActorPlace> place; };
  struct Gone { ProcessId process; };
  struct KillDue { ActorId actor; LeaseId lease; };
  struct JoinAsked { TaskId task; JoinQuestion question; };
  struct Asked { TaskId work; std::shared_ptr<ReportQuestion> question; };
  using Created = std::shared_ptr<wire::ActorCreated>;  ///< pooled: made on one thread and freed on another, with what stays in between
  using Delivered = std::unique_ptr<wire::Message>;  ///< large; what comes often is an event of its own
  struct TargetAsked { TaskId call; std::shared_ptr<Promise<std::uint64_t>> told; };
  using Event = std::variant<Submitted, Spawned, Called, ArgumentSettled, Dropped, Killed, Stop, Cancel, CancelChildren, DeadlinePassed,
                             RetryDue, Overdue, Borrowed, Requested, Placed, Gone, TargetAsked, Asked, KillDue, JoinAsked, wire::TasksDone, wire::ActorDone,
                             wire::LeaseGranted, RestartDue, Created, Delivered>;
  struct HeldLease { wire::LeaseInfo info{}; ProcessId worker = 0; bool own_process = false; };
  class ArgumentWaiter; class RebuildWaiter; class Remade;

  // On the calling thread.
  template <class WorkOptions>
  void check(const WorkOptions& options, const std::string& what) const;
  void check_spawn(const OwnedConstructor& actor) const;
  void prepare(const std::shared_ptr<OwnedWork>& work);
  EncodedValue encode_arguments(const OwnedWork& work);
  using Pending = std::vector<std::pair<std::size_t, std::shared_ptr<Cell>>>;  // arguments that are not there, or failed
  void watch_arguments(const std::shared_ptr<OwnedWork>& work, const Pending& pending);
  /// `may_block`: what is settled is encoded here; else it is pending until the lane has done so.
  Pending pending_arguments(OwnedWork& work, bool may_block = true);
  void argument_settled(const std::shared_ptr<OwnedWork>& work, std::size_t index, std::shared_ptr<Cell> cell);
  bool needs_encoding(Cell& cell) const;
  Result<EncodedValue> encode_cell(Cell& cell);
  bool fail_at_once(OwnedWork& work);
  std::shared_ptr<const ActorOptions> share_options(std::shared_ptr<const ActorOptions> options);

  // In the actor.
  void handle(std::vector<Event>& events);
  void look_for_ebb();
  void on(Submitted& event);
  void on(Spawned& event);
  void on(Called& event);
  void on(ArgumentSettled& event);
  void on(Dropped& event);
  void on(Killed& event);
  void on(Stop& event);
  void on(Cancel& event);
  void on(CancelChildren& event); void on(DeadlinePassed& event);
  void on(RetryDue& event); void on(RestartDue& event);
  void on(Overdue& event); void on(Borrowed& event); void on(Requested& event);
  void on(Placed& event); void on(Gone& event);
  void on(TargetAsked& event); void on(Asked& event);
  void on(JoinAsked& event);
  bool may_join(const OwnedTask& task, const JoinedTask& joined) const;
  bool note_parent(const OwnedWork& work);
  void describe_task(const OwnedTask& task, WorkReport& report) const;
  void describe_call(const OwnedCall& call, WorkReport& report) const;
  void on(KillDue& event);
  void end_process_of(ActorId actor, LeaseId lease);
  wire::ActorPlace place_of(ActorId actor) const;
  void tell_followers(const std::vector<ActorId>& moved);
  void end_orphan(ActorId actor);
  void end_at_stop(ActorId actor);
  void leave_borrowed_to_owner(core::ActorEffects& effects);
  void release_name(OwnedConstructor& actor);
  void release_names(const std::vector<ActorId>& moved);
  void free_name(ActorId actor, const std::string& name);
  void end_borrowed(ActorId actor);
  void on(wire::TasksDone& done);
  void on(wire::ActorDone& done);
  void on(Created& created) { on_created(*created); }
  void on(Delivered& delivered);
  void on(wire::LeaseGranted& granted);
  void on_refused(const wire::LeaseRefused& refused);
  void on_lost(const wire::LeaseLost& lost);
  void end_group(GroupId group, const ErrorInfo& error);
  void end_tasks(bool running);
  void on_task_ended(const wire::Ended& ended);
  void on_call_ended(const wire::Ended& ended);
  void on_task_outcome(wire::Outcome& outcome);
  void on_call_outcome(wire::Outcome& outcome);
  void drop_result(const wire::Outcome& outcome);
  bool recover(const std::shared_ptr<OwnedTask>& task, wire::Outcome& outcome);
  bool recover(const std::shared_ptr<OwnedCall>& call, wire::Outcome& outcome);
  bool recover(const std::shared_ptr<OwnedConstructor>& constructor, LeaseId lease, wire::Outcome& outcome);
  void place_arguments_again(const std::shared_ptr<OwnedWork>& work);
  void divert_results(OwnedTask& task);
  void hand_on(const std::shared_ptr<Recipe>& recipe, std::size_t output, Cell& made, Cell& result);
  void take_placed(const ArgumentSettled& event);
  void empty_place(ActorId actor, LeaseId lease);
  /// `run_again`: once the lost argument is there, or at once; false when it cannot.
  bool recover(const std::shared_ptr<OwnedWork>& work, wire::Outcome& outcome, const std::function<bool(bool waits)>& run_again);
  void wait_again(OwnedTask& task, std::int64_t nanoseconds);
  void on_created(wire::ActorCreated& created);
  void abandon(const std::shared_ptr<OwnedTask>& task, ErrorInfo why, const CancelOptions& options);
  void abandon(const std::shared_ptr<OwnedCall>& call, ErrorInfo why, const CancelOptions& options, Settled settled = Settled::kAtOnce);
  void end_process_of(OwnedTask& task, const wire::ReleaseLease& how);
  void isolate(OwnedTask& task);
  void arm_retry(const OwnedTask& task);
  bool retry(OwnedCall& call);
  void settle_crashed(OwnedTask& task, ErrorCode code);
  void on_destroyed(const wire::ActorDestroyed& destroyed);
  void log_if_unseen(OwnedConstructor& actor) const;
  void perform();
  void perform_child_cancels();
  void perform_failures(const core::TaskEffects& effects);
  void perform_tasks();
  void perform_actors();
  void perform_deaths(const core::ActorEffects& effects);
  void arm_restart(ActorId actor, int restarts);
  bool has_own_process(const OwnedConstructor& actor) const;
  void create_elsewhere(OwnedConstructor& constructor, const HeldLease& held, int attempt);
  void send_tasks(LeaseId lease, std::span<OwnedTask* const> tasks);
  void send_calls(ActorId actor, LeaseId lease, std::span<OwnedCall* const> calls);
  void want(const core::TaskEffects::Want& want);
  void want_actor(ActorId actor, std::uint32_t count);
  Work typed_work(OwnedWork& work, TaskId id, int attempt);
  Work typed_call(OwnedCall& call);
  Result<wire::Task> wire_call(OwnedCall& call, ProcessId to);
  Result<wire::Task> wire_task(OwnedWork& work, TaskId id, int attempt, ProcessId to);
  void settle(OwnedWork& work, wire::Outcome& outcome);
  void fail_call(OwnedCall& call, core::CallFailure why);
  void forget_task(OwnedTask& task); void forget_call(OwnedCall& call);
  void forget_unwanted(OwnedTask& task);
  void end_call(OwnedCall& call); void release(OwnedTask& task);
  void uncharge_arguments(OwnedTask& task);
  void let_go_arguments(OwnedWork& work);
  void throw_away_arguments(OwnedWork& work); void throw_away_record(const OwnedWork& work); void throw_away_settled(); void throw_away_left(OwnedWork& work);
  void let_go_if_over(OwnedConstructor& actor);
  void take_back_waiters();
  void take_back_in(std::chrono::nanoseconds time);
  void take_back_later();
  void trim_after_ebb();
  void count_ends();
  core::TaskShape shape_of(const OwnedTask& task) const;
  std::uint32_t shape_index(const OwnedTask& task);
  std::uint32_t shape_index(const core::TaskShape& shape, const std::shared_ptr<const TaskOptions>& options);
  void tell_submitters();  ///< whether what they submit next may wait
  bool keeps_its_thread_busy(ActorId actor) const;
  std::string describe(const OwnedConstructor& actor) const;

  IdSource& ids_;
  Router& router_;
  WorkerHost& host_;
  StoreAccess& store_;
  Lane& lane_;
  Bin& bin_;
  ReferenceKeeper& references_;
  Lineage& lineage_;
  const Options options_;
  core::TaskTable task_table_{};
  core::ActorTable actor_table_{};
  core::TaskEffects task_effects_{};
  core::ActorEffects actor_effects_{};
  IdTable<TaskId, OwnedTask> tasks_{};
  IdTable<TaskId, OwnedCall> calls_{};
  std::vector<std::shared_ptr<OwnedWork>> settled_{};  ///< kept until the effects that may name them are performed
  std::unordered_map<ActorId, std::shared_ptr<OwnedConstructor>> actors_{};
  std::unordered_map<LeaseId, HeldLease> leases_{};
  std::unordered_map<LeaseId, std::shared_ptr<const ErrorInfo>> lost_{};
  std::unordered_map<const FunctionEntry*, core::DurationEstimate> estimates_{};
  const FunctionEntry* last_function_ = nullptr;  ///< of the task submitted last, and its estimate: mostly the next one's
  core::DurationEstimate* last_estimate_ = nullptr;
  std::size_t ends_ = 0;          ///< of what has ended in this group of events, not taken off counts_ yet
  std::uint64_t freed_bytes_ = 0;  ///< likewise of queued_bytes_
  std::unordered_map<std::uint32_t, std::shared_ptr<const TaskOptions>> shape_options_{};
  std::unordered_map<TaskId, std::shared_ptr<JoinedTask>> joined_{};  ///< tasks that whoever waits for them runs
  std::unordered_set<TaskId> cancelled_parents_{};  ///< their children are to be cancelled
  bool has_children_ = false;  ///< work that other work has submitted; perhaps it has ended
  core::BurstMeter work_bursts_{}, actor_bursts_{};
  std::atomic<bool> trim_due_{false};
  Bin::Load let_go_{};  ///< for the bin, when this group of events has been handled
  std::vector<std::shared_ptr<Cell>> unwanted_at_{};  ///< cells that works waited for which need none any more
  ActorId last_called_{};
  std::shared_ptr<const TaskOptions> last_options_{};  ///< of the task submitted last, and their shape: mostly the next one's
  std::uint32_t last_shape_ = 0;
  // For the submitting threads.
  std::atomic<const TaskOptions*> saturated_{nullptr};  ///< last_options_ while one more such task would change nothing
  std::atomic<std::uint64_t> busy_actor_{0};  ///< last_called_ while one more usual call to it would change nothing
  std::atomic<std::size_t> calls_waiting_{0};
  std::atomic<bool> defaults_fit_{false};
  std::mutex actor_options_mutex_;
  std::shared_ptr<const ActorOptions> actor_options_{};  ///< of the actor spawned last; guarded by it
  WorkCounts counts_{};
  std::atomic<std::uint64_t> queued_bytes_{0};
  std::atomic<std::uint32_t> room_word_{0};
  std::atomic<bool> stopped_{false};
  std::unique_ptr<ControlActor<Event>> actor_;
  Timer timer_;  ///< tells the actor, so it ends first
  std::mutex unwanted_mutex_;  // guards what follows
  std::vector<std::shared_ptr<Cell>> unwanted_later_{};  ///< of unwanted_at_, those where many wait
  bool look_due_ = false;
};

}  // namespace manta::detail
