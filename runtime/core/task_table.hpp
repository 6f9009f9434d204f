#pragma once
// TaskTable: an owner's decisions about its tasks: when each is ready, which lease runs it, what happens when a worker
// dies. A pure state machine: events go in by methods, what is to be done comes out in TaskEffects; no threads, no clock.
// Owned by the owner actor. States: docs/states.md.
//
// Tasks of one shape (resources, isolation, environment) wait in one queue and share leases. A lease runs its tasks one
// after another; how many are handed to it at once follows from how long such tasks took before (kBatchTime in all), so
// that short tasks travel in batches and long ones never queue behind each other. Tasks submitted by a running task go
// to the front: newest first keeps the number of blocked parents small (design.md section 3). A lease goes back when it
// has nothing to do, and after kLeaseTime of work, so that whoever waits for more than one of them at once gets them.
#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <unordered_map>
#include <vector>

#include "runtime/core/lease_table.hpp"

namespace manta::core {

enum class TaskState : std::uint8_t { kWaitingForArguments, kReady, kAssigned, kJoined, kWaitingForRetry, kFinished };

/// A time in nanoseconds as a worker tells it, so that sums of it do not overflow: at least 0, at most eleven days and a half.
inline std::int64_t sound_time(std::int64_t nanoseconds) { return std::clamp<std::int64_t>(nanoseconds, 0, 1'000'000'000'000'000); }

/// How long calls of one function took lately. Shared by all its tasks.
struct DurationEstimate {
  std::int64_t nanoseconds = -1;  ///< -1: never seen
  std::int64_t own = -1;          ///< the same without tasks that they ran themselves while they waited for them
  void add(std::int64_t sample, std::int64_t joined = 0) {
    sample = sound_time(sample);
    joined = std::min(sound_time(joined), sample);
    nanoseconds = nanoseconds < 0 ? sample : (3 * nanoseconds + sample) / 4;
    own = own < 0 ? sample - joined : (3 * own + sample - joined) / 4;
  }
};

/// The part of a task that the table works on. The owner keeps it alive until it is finished.
struct TaskNode {
  TaskId id{};
  TaskState state{TaskState::kWaitingForArguments};
  bool nested = false;             ///< submitted by a running task
  std::uint16_t failures = 0;      ///< errors of its own after which it ran again
  std::uint32_t unresolved = 0;    ///< arguments that are not there yet
  std::uint32_t shape = 0;
  int max_retries = 0;             ///< -1: without end
  int crashes = 0;                 ///< workers that died while it ran
  bool suspect = false;            ///< lost in a batch, which may be its doing: from now on it runs alone
  bool unwanted = false;           ///< its ref is settled without it (cancelled, deadline): never runs again
  bool backs_off = false;          ///< waits before each retry, as the owner's clock says
  bool short_of_memory = false;    ///< its worker was ended to save memory: waits before it runs again
  std::uint8_t own_deaths = 0;     ///< workers that it ended by its own doing: a fault, abort, exit
  LeaseId lease{};                 ///< that it runs under, or ran under last
  std::int64_t position = 0;       ///< in its ReadyQueue
  DurationEstimate* estimate = nullptr;
  /// It has been handed out, and may have begun.
  bool may_run() const { return state == TaskState::kAssigned || state == TaskState::kJoined; }
};

/// Tasks of one shape that are ready, first to last. Every operation takes constant time, so that a million of them can be
/// cancelled one by one: one that is taken out of the middle leaves a gap, which goes when it comes to an end.
class ReadyQueue {
 public:
  bool empty() const { return count_ == 0; }
  std::size_t size() const { return count_; }
  TaskNode* front() const { return slots_.front(); }
  void push_front(TaskNode* task);
  void push_back(TaskNode* task);
  void pop_front() { erase(*front()); }
  void erase(TaskNode& task);
  std::size_t ahead_of(const TaskNode& task) const;  ///< takes time in proportion

 private:
  static constexpr std::size_t kFewSlots = 64;
  void close_gaps();
  std::deque<TaskNode*> slots_{};  ///< null: a gap; never at either end
  std::int64_t first_ = 0;         ///< position of slots_[0]
  std::size_t count_ = 0;
};

/// Tasks of equal shape can share a lease.
struct TaskShape {
  ResourceRequest request{};
  bool own_process = false;
  std::uint64_t environment = 0;  ///< tasks with different environments of their own never share
  bool retriable = true;          ///< may run again when its worker is ended
  auto operator<=>(const TaskShape&) const = default;
  bool operator==(const TaskShape&) const = default;
};

struct TaskEffects {
  struct Want {
    std::uint32_t shape;
    std::uint32_t count;
  };
  struct Assign {
    LeaseId lease;
    TaskNode* task;
  };
  std::vector<Want> wants{};
  std::vector<Assign> assigns{};
  std::vector<LeaseId> give_back{};
  std::vector<TaskNode*> crashed{};  ///< out of retries: settle with WorkerCrashed
  std::vector<TaskNode*> poisoned{}; ///< ended kPoisonedAfter workers by its own doing: settle with TaskPoisoned
  std::vector<TaskNode*> back_off{}; ///< call retry_due when its time has come
  std::vector<TaskNode*> isolate{};  ///< died in company: call run_in with the shape that has a process of its own
  std::vector<TaskNode*> ended{};    ///< unwanted, and gone with its worker: forget
};

class TaskTable {
 public:
  static constexpr std::int64_t kBatchTime = 500'000;  ///< nanoseconds of work handed to one lease at once
  static constexpr std::size_t kMaxBatch = 256;
  static constexpr std::int64_t kLeaseTime = 20'000'000;  ///< nanoseconds of work, then others get their turn
  static constexpr std::uint32_t kMaxWanted = 64;      ///< leases asked for at once, per shape
  static constexpr int kPoisonedAfter = 3;             ///< workers that a task may end by its own doing
  static constexpr std::size_t kEnough = 32;           ///< short tasks that keep a lease busy until it reports

  /// The shape's number. One whose tasks, leases and wishes are all gone is forgotten when new shapes come; its number is not used
  /// again soon, so that what comes late for it finds none.
  std::uint32_t shape_index(const TaskShape& shape);
  bool has_shape(std::uint32_t index) const { return slot_of(index) < shapes_.size() && shapes_[slot_of(index)].index == index; }
  const TaskShape& shape(std::uint32_t index) const { return at(index).shape; }  ///< REQUIRES has_shape
  std::size_t shapes() const { return indices_.size(); }

  void submit(TaskNode& task, TaskEffects& effects);
  void argument_ready(TaskNode& task, TaskEffects& effects);
  /// Takes a task out that will not run: an argument failed, or the runtime stops.
  void withdraw(TaskNode& task);
  void lease_granted(std::uint32_t shape, LeaseId lease, TaskEffects& effects);
  /// The task ran, whatever came of it. `nanoseconds`: how long, `joined` of them in tasks that it ran itself.
  void finished(TaskNode& task, std::int64_t nanoseconds, TaskEffects& effects, std::int64_t joined = 0);
  /// The worker gives it back unstarted, as another one takes long.
  void returned(TaskNode& task, TaskEffects& effects);
  /// The task that runs under the lease waits or takes long: nothing more goes there until it is done.
  void held_up(LeaseId lease);
  /// A task that runs under the lease submits tasks: it will wait for them, so nothing more goes behind it until it is done.
  void spawns(LeaseId lease);
  /// Whoever waits for the task, under `lease`, runs it itself: takes it out of the queue, or off the worker that has given it
  /// back unstarted. False when it is neither ready nor assigned.
  bool join(TaskNode& task, LeaseId lease);
  /// The task's own error is one after which it may run again: true when retries are left, and it will.
  bool failed(TaskNode& task, std::int64_t nanoseconds, TaskEffects& effects);
  /// The time between two attempts is over.
  void retry_due(TaskNode& task);
  struct Loss {
    bool own_doing = false;  ///< what ran in the process ended it
    bool shared = false;     ///< it had other leases too: whose doing it was is not known
    bool for_memory = false; ///< the node ended it to save memory
  };
  /// The lease's worker died. A task that was alone there counts a crash. Which one of a batch ran is not known, as
  /// results are told in groups: nobody is charged, and each goes alone from now on. Nor is anybody charged for a process
  /// that several leases shared: each goes on in a process of its own, where the next death has one possible cause.
  void lease_lost(LeaseId lease, Loss loss, TaskEffects& effects);
  /// The task runs under another shape from now on; one that is short of memory only after its back-off.
  void run_in(std::uint32_t shape, TaskNode& task);
  /// The node cannot give a lease for this shape: takes out the next task that would have had one; null when none waits.
  TaskNode* refused(std::uint32_t shape);
  /// The node gives no lease for this shape: nothing is asked for any more until tasks of it come.
  void refused_all(std::uint32_t shape) {
    if (has_shape(shape)) at(shape).wanted = 0;
  }
  /// After a group of events: hands out tasks, asks for leases, gives idle ones back.
  void settle(TaskEffects& effects);
  std::size_t unfinished() const { return unfinished_; }
  /// Of a ready task: those of its shape that go first; of an assigned one: those before it at its worker.
  std::size_t ahead_of(const TaskNode& task) const;
  /// True while one more ready task of the shape, submitted from outside, would change nothing until some task of it
  /// ends: all leases are asked for that may be, or a lease has enough short tasks in hand. After settle().
  bool saturated(std::uint32_t shape) const;

 private:
  struct HeldLease {
    std::uint32_t shape = 0;
    std::deque<TaskNode*> assigned{};
    std::int64_t estimated = 0;  ///< nanoseconds of the assigned tasks
    std::int64_t served = 0;     ///< nanoseconds that its finished tasks took
    bool short_only = true;      ///< all assigned tasks are known to be short
    bool held_up = false;        ///< its running task waits or takes long
    bool spawns = false;         ///< its running task has submitted tasks
    bool used = false;           ///< a process of its own serves one task only
    bool open = true;            ///< among its shape's open ones
  };
  struct ShapeQueue {
    TaskShape shape{};
    ReadyQueue ready{};
    std::size_t leases = 0;
    /// Those whose running task does not hold them up, and perhaps others. There may be very many tasks that wait, each with its lease, so
    /// nothing that happens to one looks at all of these.
    std::vector<LeaseId> open{};
    std::uint32_t wanted = 0;
    bool dirty = false;
    std::uint32_t index = 0;
    std::size_t tasks = 0;  ///< unfinished ones
  };
  // A shape's number: the place that it has, and how often another shape had that before.
  static constexpr std::uint32_t kSlotBits = 22;
  static constexpr std::size_t kFewShapes = 64;
  static std::uint32_t slot_of(std::uint32_t index) { return index & ((1u << kSlotBits) - 1); }
  ShapeQueue& at(std::uint32_t index) { return shapes_[slot_of(index)]; }
  const ShapeQueue& at(std::uint32_t index) const { return shapes_[slot_of(index)]; }
  void drop_unused_shapes();
  void make_ready(TaskNode& task, bool front);
  void mark(std::uint32_t shape);
  void unassign(TaskNode& task);
  static bool is_closed(const HeldLease& held) { return held.held_up || held.spawns; }
  void take_off(HeldLease& held, TaskNode& task);
  void leave(TaskNode& task, std::int64_t nanoseconds);
  void finish(TaskNode& task);
  static bool may_retry(const TaskNode& task) { return task.max_retries < 0 || task.crashes + task.failures < task.max_retries; }
  void retry(TaskNode& task, TaskEffects& effects, bool front);
  void crash(TaskNode& task, Loss loss, TaskEffects& effects);
  static bool runs_alone(const TaskNode& task) { return task.suspect || task.max_retries == 0; }
  bool has_room(const HeldLease& lease, const TaskNode& task) const;
  void assign(HeldLease& held, LeaseId id, TaskNode& task, TaskEffects& effects);
  void hand_out(ShapeQueue& queue, TaskEffects& effects);
  static bool worth_telling(std::uint32_t want, std::uint32_t wanted);

  std::vector<ShapeQueue> shapes_{};
  std::map<TaskShape, std::uint32_t> indices_{};
  std::vector<std::uint32_t> free_slots_{};
  std::size_t look_at_ = kFewShapes;  ///< shapes, when those that are not used are looked for
  std::vector<std::uint32_t> dirty_{};
  std::unordered_map<LeaseId, HeldLease> leases_{};
  std::size_t unfinished_ = 0;
};

}  // namespace manta::core
