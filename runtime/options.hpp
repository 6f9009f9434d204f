#pragma once
// The options of the runtime, of tasks, actors, put and wait. Plain structs for designated initialisers; every field has a
// default; limits name their unit.
//
//   rt.task<train>({.name = "fit", .num_cpus = 2, .max_retries = 0, .isolation = manta::own_process}).remote(x);
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/base/amount.hpp"
#include "runtime/base/memory_use.hpp"
#include "runtime/base/placement.hpp"

namespace manta {

namespace detail {
struct FunctionEntry;
}

/// Where a task or actor runs. kShared: on the runtime's workers (threads of this process, or shared worker processes).
/// kOwnProcess: in a process of its own, so that a crash costs nobody else; ended when the task or actor ends. With worker processes what
/// asks for GPUs always has one, as it sees its own GPUs only.
enum class Isolation : std::uint8_t { kShared, kOwnProcess };
inline constexpr Isolation own_process = Isolation::kOwnProcess;

namespace detail {
struct FunctionEntry;
}
/// Which exceptions of a task's own code make it run again: write retry_on<E…> or retry_on_all (retry.hpp). Default: none.
class RetryOn {
 public:
  constexpr RetryOn() = default;
  /// Internal. The second argument makes the filter known to every process of the program.
  constexpr RetryOn(detail::FunctionEntry* filter, const bool*) : filter_(filter) {}
  constexpr detail::FunctionEntry* filter() const noexcept { return filter_; }

 private:
  detail::FunctionEntry* filter_ = nullptr;
};

/// The time between two attempts of a task: `initial` before the first retry, each further one `factor` times as long, at
/// most `max`. No thread and no CPU is held meanwhile.
struct Backoff {
  std::chrono::nanoseconds initial{0};  ///< 0: at once
  double factor{2};                     ///< 1 or more
  std::chrono::nanoseconds max{std::chrono::seconds(60)};
  bool operator==(const Backoff&) const = default;
};

/// What a task needs and what happens when it fails. Bad values give InvalidArgument at submit, amounts that no machine
/// has InfeasibleResources with what there is.
struct TaskOptions {
  std::string name{};           ///< for messages; default: the function's name
  Amount num_cpus{1};           ///< logical CPUs held while it runs; 0 is allowed
  Amount num_gpus{0};           ///< a fraction shares one GPU with others; above 1 only whole numbers. Given on when its process, which
                                ///< has its context and memory, has ended, or has been asked to 5 s ago
  std::uint64_t memory_bytes{0};  ///< it starts only when so much is not promised to others; not a limit while it runs
  Resources resources{};        ///< custom resources by name
  bool wait_if_infeasible{false};  ///< more than the machine has is not refused at submit: it waits, and `explain` says so
  Placement placement{};        ///< `group.bundle(i)` or `group.any()`: takes from a placement group instead of the machine
  int max_retries{3};           ///< runs again this often when its worker process died; -1: without end
  RetryOn retry_on{};           ///< ... or when it threw one of these
  Backoff backoff{};            ///< time between attempts
  std::chrono::nanoseconds deadline{0};  ///< from submit to the end: then its ref fails with Timeout at once, and it is
                                         ///< stopped as by cancel; in a process of its own by SIGTERM after 1 s, by
                                         ///< SIGKILL 5 s later. On a thread its CPUs stay taken until it returns. 0: none
  std::size_t max_unread{64};   ///< of a Generator only: items that it may be ahead of its reader; 1 to 1,000,000.
                                ///< So many calls are made when the stream is opened
  Isolation isolation{Isolation::kShared};
  std::map<std::string, std::string> env{};  ///< environment of its process; needs own_process. With num_gpus not CUDA_VISIBLE_DEVICES,
                                             ///< which says which GPUs it got. Beside it a worker process has what the driver had at
                                             ///< Runtime::start: a later setenv there is seen by none; and a library that read its own when it was loaded, the driver's
  std::filesystem::path log_file{};          ///< own_process: stdout and stderr are also written here; a relative one is meant where the
                                             ///< process that submits stands
  bool echo_output{true};                    ///< own_process: print its output on the driver's terminal, with a prefix; what runs
                                             ///< elsewhere prints where that process does, whatever this says
};

/// What an actor holds for life and what happens when its process dies.
struct ActorOptions {
  std::string name{};         ///< find_actor finds it by this name, which no other actor of the machine may have
  std::string label{};        ///< for messages only; default: the name, else the class's name
  bool get_if_exists{false};  ///< spawn gives the actor that has the name, if there is one; its arguments are not used then
  bool detached{false};       ///< outlives its program: InvalidArgument without a cluster
  Amount num_cpus{0};         ///< held for life; 0: an idle actor costs nothing
  Amount num_gpus{0};         ///< as for tasks
  std::uint64_t memory_bytes{0};
  Resources resources{};
  bool wait_if_infeasible{false};
  Placement placement{};      ///< as for tasks
  int max_restarts{0};        ///< constructed again this often when its process died; -1: without end. Where its process dies
                              ///< in the constructor twice in a row, a pause comes before the next: 1 s, doubled each time, at most 60 s
  int max_task_retries{0};    ///< calls that were in flight then run again this often; 0: at most once
  bool cpus_while_idle{true}; ///< false: its CPUs go to others while no call runs. The next call takes them back without waiting
                              ///< for them, so for a while more may run than there are CPUs
  int max_concurrency{1};     ///< calls that run at once, each on a thread; above 1 the class must be thread-safe
  std::map<std::string, int> concurrency_groups{};  ///< by name: calls of the group that run at once, beside max_concurrency
  int max_coroutines{1000};   ///< calls of methods that are coroutines (Async<T>) and have begun; the next ones wait
  int max_pending_calls{-1};  ///< unfinished calls through one spawn's handles; a call more throws; -1: no limit. Calls from another
                              ///< process than the one that spawned are counted there. Set it for a slow actor: nothing else
                              ///< bounds what waits for it, max_queued_bytes does not count calls
  bool unordered{false};      ///< a call overtakes those before it that wait for their arguments, late ones or lost ones
  Isolation isolation{Isolation::kShared};
  std::map<std::string, std::string> env{};
  std::filesystem::path log_file{};
  bool echo_output{true};     ///< as for tasks
  std::vector<std::pair<const detail::FunctionEntry*, std::string>> method_groups{};  ///< internal: ActorBuilder::in_group
  bool of_stream{false};      ///< internal: runs a generator task, whose user knows of no actor
  Backoff backoff{};          ///< internal: of such a one
  bool operator==(const ActorOptions&) const = default;
};

/// What one call wants: `handle.options({.retry_on = manta::retry_on<Busy>, .deadline = 1s}).call<&C::read>(…)`.
struct CallOptions {
  std::string concurrency_group{};  ///< runs in this group; default: the method's own (ActorBuilder::in_group), else none
  int max_retries{3};     ///< runs again this often when it threw one of retry_on, ahead of the calls that wait; -1: without end.
                          ///< Of an actor that runs one call at a time, later calls of this caller begin when it is done
  RetryOn retry_on{};     ///< as for tasks
  std::chrono::nanoseconds deadline{0};  ///< from the call to its end: then its ref fails with Timeout at once, and it is
                                         ///< stopped as by cancel. 0: none
  std::size_t max_unread{64};  ///< of a method that is a Generator only: as TaskOptions::max_unread
  bool uncounted{false};       ///< internal: beside max_pending_calls
};

struct PutOptions {
  std::string durable_name{};  ///< not empty: also kept on disk under this name, synced, for later runs
  std::string type_tag{};      ///< of a durable object only: says what the bytes are to next year's build; default: the type's
                               ///< standard tag
};

struct CancelOptions {
  bool force{false};     ///< end the process at once; only of a task with own_process
  bool recursive{true};  ///< the tasks and calls that it submitted, too; not those by another Runtime of the program, nor what an
                         ///< earlier attempt of a task submitted in another process
};

struct WaitOptions {
  std::size_t count{1};                               ///< return as soon as this many are ready
  std::optional<std::chrono::nanoseconds> timeout{};  ///< or after this time, whatever is ready; none: wait for ever
};

enum class Workers : std::uint8_t { kThread, kProcess };

/// How the runtime is started. `Runtime::start(argc, argv)` fills it from --workers=thread|process, --num-cpus=N,
/// --num-gpus=N, --memory-mib=N, --memory-threshold=SHARE, --resource=NAME=AMOUNT, --arena-mib=N, --spill-dir=DIR,
/// --file-fallback=on|off, --durable-dir=DIR, --log-dir=DIR. Relative folders are meant from where the program is when it starts.
struct RuntimeOptions {
  Workers workers{Workers::kThread};  ///< with kProcess, or own_process, the program has one more child: wait for yours by pid, or wait() never ends
  std::optional<Amount> num_cpus{};              ///< default: the CPUs this process may run on; with 0 only work of 0 CPUs runs; at
                                                 ///< most 1,000,000
  std::optional<Amount> num_gpus{};              ///< default: what NVML finds; a number pretends
  std::optional<std::uint64_t> memory_bytes{};   ///< to promise to tasks and actors; default: 70 % of what is available
  double memory_threshold{0.95};  ///< when more than this share of memory (the machine's, or its cgroup's) is in use, worker
                                  ///< processes are ended, newest first, before the kernel does it: their tasks run again
                                  ///< after a back-off, or fail with OutOfMemory; 1: never
  std::function<MemoryUse()> memory_meter{};     ///< says how much is in use; default: the kernel's figures. While there are worker
                                                 ///< processes a thread of the runtime calls it four times a second: it must
                                                 ///< not block. That it throws is logged once, and counts as nothing known
  Resources resources{};
  std::optional<std::uint64_t> arena_bytes{};    ///< default: 30 % of the memory that is available; 0 is refused, and so is more than that
                                                 ///< memory
  std::uint64_t lineage_bytes{std::uint64_t{1} << 30};  ///< kept to make lost objects again, by process; the oldest goes beyond
  std::uint64_t inline_bytes{100 * 1024};        ///< larger values go to the arena when they leave their process
  std::filesystem::path spill_dir{};             ///< default: a fresh folder in manta-spill-UID (0700) in /tmp, or /var/tmp if /tmp is in memory
  bool file_fallback{true};  ///< an object that finds no room in the arena, or is larger, lies in a file there; false: it is
                             ///< refused with ObjectStoreFull, or InvalidArgument
  std::filesystem::path durable_dir{};           ///< not the spill_dir; default: ${XDG_DATA_HOME:-~/.local/share}/manta/durable
  std::optional<std::size_t> spare_processes{};  ///< at most so many that are kept ready where actors with processes of their own
                                                 ///< follow each other; some MB each; default: as many as CPUs, at most 4; 0: none
  std::filesystem::path log_dir{};               ///< worker output is also written here, a NAME-PID.log each (_ for /); default: none
  /// Memory of tasks that are not done, for each process that submits; 0: no limit. A task counts about 512 bytes and, until it is handed
  /// to a worker, what its arguments by value take in the submitting process: strings, standard containers of these and of plain
  /// values, Buffers and Arrays that nobody else holds; of classes of your own their sizeof, so that what they point to is not
  /// counted. Nor are the copies of what goes to other processes by the arena: they take its room, which holds a submit up while objects
  /// are spilled, and is ObjectStoreFull in the end. Nor objects that refs refer to, generators, and calls of actors (see
  /// max_pending_calls).
  std::uint64_t max_queued_bytes{std::uint64_t{1} << 30};
  std::chrono::milliseconds submit_timeout{30'000};  ///< how long a submit waits for room there, before ResourceExhausted; max(): for ever
  std::chrono::milliseconds shutdown_timeout{5000};  ///< how long the destructor waits for running work; max(): until it ends
};

}  // namespace manta
