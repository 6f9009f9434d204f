#pragma once
// What processes of one run say to each other, as plain values. messages.capnp is their form on the wire; encode and
// decode go between the two. Values: copy and share them freely.
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "runtime/base/error.hpp"
#include "runtime/base/ids.hpp"
#include "runtime/base/result.hpp"
#include "runtime/base/buffer.hpp"
#include "runtime/core/actor_directory.hpp"
#include "runtime/core/actor_table.hpp"
#include "runtime/core/lease_table.hpp"
#include "runtime/core/reference_table.hpp"

namespace manta::wire {

/// A ref to an object, or a handle to an actor, inside a value.
inline constexpr std::uint8_t kLastReferenceKind = 1;  // ReferenceKind of runtime/codec.hpp
struct Reference {
  core::ReferenceId id = 0;
  std::uint8_t kind = 0;  ///< detail::ReferenceKind
  std::string name{};     ///< an actor's, for messages; so what follows
  std::int32_t max_pending_calls = 0;  ///< 0: no limit
  bool serial = false;                 ///< it runs one call at a time
  std::vector<std::string> groups{};   ///< its concurrency groups
};
struct ValueReferences {
  std::vector<Reference> list{};
  std::shared_ptr<const void> accepted{};  ///< what they became in this process (detail::References); never sent
};

/// Bytes, or a place in the node's object store.
struct Value {
  Buffer bytes{};
  ObjectId stored{};           ///< 0: the bytes are inline
  std::uint64_t stored_size = 0;
  std::shared_ptr<ValueReferences> references{};  ///< null: none
};

struct Task {
  TaskId id{};
  std::uint64_t module = 0, offset = 0;  ///< the function's key
  std::string name{};
  std::uint32_t attempt = 1;
  Value arguments{};
  std::vector<Value> refs{};
  std::uint64_t retry_module = 0, retry_offset = 0;  ///< key of its RetryOn's filter; 0: none
  std::string group{};  ///< of a call: the concurrency group that the caller named
  std::uint32_t losses = 0;  ///< of a call: the last Outcome::losses that its caller has had of its actor's place
};

/// How many calls of an actor run at once.
struct Concurrency {
  struct Method {
    std::uint64_t module = 0, offset = 0;
    auto operator<=>(const Method&) const = default;
  };
  struct Group {
    std::string name{};
    std::uint32_t limit = 1;
    std::vector<Method> methods{};
  };
  std::uint32_t limit = 1;  ///< of calls that are in no group
  std::uint32_t coroutines = 1000;
  std::vector<Group> groups{};
  bool serial() const { return limit <= 1 && groups.empty(); }
};

struct LeaseInfo {
  LeaseId id{};
  Amount cpus{};
  std::vector<int> gpu_ids{};
  bool lend_idle_cpus = false;  ///< an actor's: others have its CPUs while no call runs
};

struct Unstarted {};
struct Outcome {
  TaskId id{};
  std::int64_t nanoseconds = 0;
  std::int64_t joined_nanoseconds = 0;  ///< of them, in tasks that it ran itself while it waited; not sent
  std::variant<Value, ErrorInfo, Unstarted> result{};
  std::vector<Value> more{};  ///< results beyond the first
  bool retry = false;  ///< an error of the task's own, after which it may run again
  ObjectId lost{};  ///< with an error: the stored argument that could not be read
  std::uint32_t losses = 0;  ///< of a call that comes back, lost or unstarted: how many of its caller's were lost there
  std::vector<std::shared_ptr<const void>> keep{};  ///< what its values refer to lives at least until it is sent; never sent
};

/// What came of work whose value is in its owner's cell already, as owner and worker are in one process. Not sent.
struct Ended {
  TaskId id{};
  std::int64_t nanoseconds = 0;
  std::int64_t joined_nanoseconds = 0;
};

// Node and worker get to know each other.
struct Hello { ProcessId process = 0; std::uint64_t build_id = 0, inline_bytes = 0; Resources total{}; Amount cpus{}; std::uint64_t max_queued_bytes = 0; std::int64_t submit_timeout_ms = 0; std::uint64_t lineage_bytes = 0; };
struct Ready { std::uint64_t build_id = 0; };
struct Shutdown {};  // leave now
struct Retire {};    // no more work will come: leave when no other process refers to an object of yours

// Owner and node.
struct ProcessOptions {
  std::string name{};
  std::map<std::string, std::string> environment{};
  std::string log_file{};
  bool echo = true;
};
struct WantLeases {
  core::Purpose purpose = 0;
  std::uint32_t count = 0;
  core::ResourceRequest shape{};
  bool own_process = false;
  ProcessOptions options{};
  bool retriable = false;  ///< what runs under them may run again
};
struct LeaseGranted { core::Purpose purpose = 0; LeaseInfo lease{}; ProcessId worker = 0; };
struct LeaseRefused { core::Purpose purpose = 0; ErrorInfo error{}; };
/// own_doing: what alone ran in the process ended it; shared: several leases had it; unused: nothing had begun there.
struct LeaseLost { LeaseId lease{}; ErrorInfo error{}; bool own_doing = false, shared = false, unused = false; };
struct ReleaseLease { LeaseId lease{}; bool kill = false, terminate = false; };  // its own process: kill at once, or SIGTERM and 5 s later SIGKILL
struct SetBlocked { LeaseId lease{}; bool blocked = false; };

// Owner and worker.
struct RunTasks { ProcessId owner = 0; LeaseInfo lease{}; std::vector<Task> tasks{}; };
struct TasksDone { LeaseId lease{}; std::vector<Outcome> outcomes{}; bool held_up = false; std::vector<Ended> ended{}; };  // held_up: no more, please, until the running one is done
struct CreateActor { ProcessId owner = 0; ActorId actor{}; LeaseInfo lease{}; std::string name{}; Task constructor{}; Concurrency concurrency{}; };
struct ActorCreated { ActorId actor{}; LeaseId lease{}; Outcome outcome{}; };
struct CallActor { ActorId actor{}; std::vector<Task> calls{}; };
struct ActorDone { ActorId actor{}; std::vector<Outcome> outcomes{}; std::vector<Ended> ended{}; };
struct DestroyActor { ActorId actor{}; bool kill = false; };
struct ActorDestroyed { ActorId actor{}; bool exited = false; };  // exited: by itself
/// Tasks under a lease or calls of an actor that nobody wants any more; recursive: nor what they submitted. Of neither: it is the
/// runtime's end. All that runs in that process is told, but its waits go on, so that it may save what it has; the rest fails.
struct CancelWork { LeaseId lease{}; ActorId actor{}; std::vector<TaskId> tasks{}; bool recursive = true; };
struct OwnerGone { ProcessId owner = 0; };  // also to every process: that one has ended

// Any two processes, about refs inside values. ObjectSettled answers kFetch; the outcome's id is the object's.
struct ReferenceUpdates { std::vector<core::ReferenceUpdate> list{}; };
struct ObjectSettled { Outcome outcome{}; };

// A process that has a ref, and the one that owns it: what its object waits for, in words.
struct ExplainRequest { std::uint64_t request = 0; core::ReferenceId reference = 0; };
struct ExplainReply { std::uint64_t request = 0; std::string text{}; };

// A process that calls an actor, and the process that owns it. kFollow: tell me where it lives, now and whenever that
// changes. kLend: send me a handle to it (answered by ActorLent; without one when its last handle has gone).
enum class ActorOperation : std::uint8_t { kFollow = 1, kKill, kLend };
struct ActorRequest { ActorId actor{}; ActorOperation operation{}; std::uint64_t request = 0; };
struct ActorPlace {
  ActorId actor{};
  core::ActorState state{};
  LeaseId lease{};
  ProcessId worker = 0;
  std::optional<ErrorInfo> error{};
  int max_task_retries = 0;
  bool unordered = false;
  bool creation_failed = false;
};
/// To the node: the running call of `waiter` waits for a call of `target`; 0: no longer. And its answer, when that never ends. Without
/// `what` it is a question, whose answer says in words for whom `target` waits, and that one; `waiter` names it.
/// No target: it waits no more. With a round: its wait stands, in answer to that round's question.
struct ActorWaiting { ActorId waiter{}; ActorId target{}; std::string what{}; std::uint64_t round{}; };
/// With a round, and no error: whether that wait stands, as it seems to be in a cycle; with both: it is, as all have said in that round.
struct DeadlockFound { ActorId waiter{}; ErrorInfo error{}; std::uint64_t round{}; };
struct ActorLent { std::uint64_t request = 0; Value value{}; };

// Any process and the node's directory of named actors. The answer to kClaim names whoever has the name then.
enum class NameOperation : std::uint8_t { kClaim = 1, kFind, kRelease };
struct NameRequest { std::uint64_t request = 0; NameOperation operation{}; std::string name{}; ActorId actor{}; core::ActorClass type{}; };
struct NameReply { std::uint64_t request = 0; ActorId actor{}; std::optional<ErrorInfo> error{}; };

// Any process and the node's object store. request 0: no answer is wanted.
enum class StoreOperation : std::uint8_t { kCreate = 1, kSeal, kAbort, kPin, kUnpin, kFree };
struct StoreRequest { std::uint64_t request = 0; StoreOperation operation{}; ObjectId id{}; std::uint64_t size = 0; ProcessId owner = 0; };
/// To the owner: made for it by a process that has died; those whose arrival it was never told are to be freed.
struct Orphans { std::vector<ObjectId> objects{}; };
struct StoreReply {
  std::uint64_t request = 0;
  ObjectId id{};
  std::uint32_t extent = 0;
  std::uint64_t offset = 0, size = 0, extent_bytes = 0;
  std::optional<ErrorInfo> error{};
  std::vector<std::uint32_t> retired{};  ///< extents that it has been sent and that are no more: nobody reads there any longer
};

// A worker process and the node's durable objects.
enum class DurableOperation : std::uint8_t { kPut = 1, kFind, kRemove, kList };
struct DurableRequest { std::uint64_t request = 0; DurableOperation operation{}; std::string name{}, type_tag{}; Value value{}; std::string after{}; };
struct DurableReply { std::uint64_t request = 0; Value value{}; std::vector<std::string> names{}; bool more = false; std::optional<ErrorInfo> error{}; };

struct ResourcesReport { std::uint64_t request = 0; Resources total{}, available{}; };

// Placement groups: any process and the node.
struct GroupInfo { core::PlacementSpec spec{}; bool placed = false; std::vector<Resources> free{}; };  // free: of each bundle of one that is placed
struct PlaceGroup { GroupInfo group{}; };                       // the sender becomes its owner and hears of it
struct WatchGroup { GroupId group{}; };                         // the sender hears when it is placed, or that it is not there
struct GroupPlaced { GroupId group{}; std::optional<ErrorInfo> error{}; };
struct RemoveGroup { GroupId group{}; };
struct GroupRemoved { GroupId group{}; ErrorInfo error{}; };    // to all who have something in it
struct FindGroups { std::uint64_t request = 0; std::string name{}; };  // no name: all
struct Groups { std::uint64_t request = 0; std::vector<GroupInfo> groups{}; };

using Message = std::variant<Hello, Ready, WantLeases, LeaseGranted, LeaseRefused, LeaseLost, ReleaseLease, SetBlocked, RunTasks,
                             TasksDone, CreateActor, ActorCreated, CallActor, ActorDone, DestroyActor, ActorDestroyed,
                             OwnerGone, StoreRequest, StoreReply, ResourcesReport, Shutdown, CancelWork, DurableRequest,
                             DurableReply, Orphans, ReferenceUpdates, ObjectSettled, Retire, ActorRequest, ActorPlace, ActorLent,
                             NameRequest, NameReply, ActorWaiting, DeadlockFound, PlaceGroup, WatchGroup, GroupPlaced,
                             RemoveGroup, GroupRemoved, FindGroups, Groups, ExplainRequest, ExplainReply>;

/// The message as one Cap'n Proto message in a flat array, a multiple of 8 bytes.
Buffer encode(const Message& message);
/// The message in those bytes; inline values share `bytes`. ProtocolError for anything that is not one: limits on
/// nesting and size are checked before anything is allocated.
Result<Message> decode(const Buffer& bytes);

}  // namespace manta::wire
