#pragma once
// What an owner knows about a task, a call or a constructor that it made. Made by the submitting thread, then touched by the
// owner actor only.
#include <algorithm>
#include <cmath>

#include "runtime/actors/executor.hpp"
#include "runtime/core/actor_table.hpp"
#include "runtime/core/task_table.hpp"

namespace manta::detail {

struct Recipe;

/// By whom a work's waiters wait once it needs none: Cell::forget(&kNobody) finds those of all such works at once.
inline constexpr char kNobody = 0;

/// What a task or an actor holds while it is there.
template <class Options>
core::ResourceRequest request_of(const Options& options) {
  core::ResourceRequest request{.cpus = options.num_cpus, .gpus = options.num_gpus, .custom = options.resources,
                                .group = options.placement.group, .bundle = options.placement.bundle};
  if (options.memory_bytes) request.custom.set("memory", bytes_as_amount(options.memory_bytes));
  return request;
}

/// Of work that says nothing itself: when its process was ended for memory, as others need time to end, and of constructors that end
/// theirs again and again.
inline constexpr Backoff kMemoryBackoff{.initial = std::chrono::seconds(1)};

/// Before the retry of that number, counted from 1.
inline std::chrono::nanoseconds time_before(int retry, const Backoff& backoff) {
  const double time = static_cast<double>(backoff.initial.count()) * std::pow(backoff.factor, std::max(0, retry - 1));
  return time < static_cast<double>(backoff.max.count()) ? std::chrono::nanoseconds(static_cast<std::int64_t>(time)) : backoff.max;
}

struct OwnedWork {
  enum class Kind : std::uint8_t { kTask, kCall, kConstructor };
  virtual ~OwnedWork() = default;
  explicit OwnedWork(Kind k) : kind(k) {}

  /// For messages: the one that its options give, else the function's.
  virtual std::shared_ptr<const std::string> name() const = 0;
  /// What only work that may run in another process has. There may be a million of them, so what few need is apart.
  struct Portable {
    EncodedValue arguments{};
    std::shared_ptr<Recipe> recipe{};  ///< of a task that makes a lost object again: the one it does it by
  };
  Portable& need_encoded() {
    if (!encoded) encoded = std::make_unique<Portable>();
    return *encoded;
  }

  Kind kind;
  bool portable = false;                      ///< may run in another process: encode what it takes
  std::atomic<bool> needs_none{false};        ///< of its arguments any more: what waits for them is taken back
  bool placing_arguments = false;             ///< the lane reads them, so they stay; of the owner actor
  bool has_children = false;                  ///< it has submitted work to this owner; of the owner actor
  bool cancelled_with_children = false;       ///< what it submits from now on is not wanted either; of the owner actor
  std::shared_ptr<TaskRecord> record{};
  std::unique_ptr<Portable> encoded{};        ///< null unless portable
  TaskId parent{};                            ///< the work that submitted it
  SteadyClock::time_point sent_at{};          ///< to its worker, the last time
};

/// For a Timer: what is to happen to the work is over when it is at its end.
inline std::function<bool()> until_done(std::weak_ptr<const OwnedWork> work) {
  return [work = std::move(work)] { return work.expired(); };
}

struct OwnedTask final : OwnedWork, core::TaskNode {
  OwnedTask() : OwnedWork(Kind::kTask) {}
  std::shared_ptr<const std::string> name() const override {
    if (options->name.empty()) return shared_name(*record->function);
    return {options, &options->name};
  }
  std::shared_ptr<const TaskOptions> options{};
  static constexpr std::uint64_t kBytes = 512;  ///< what one costs with arguments that take little, about
  std::uint64_t charged_bytes = 0;  ///< of the owner's limit; those beyond kBytes until it is first handed out
};

struct OwnedCall final : OwnedWork, core::CallNode {
  OwnedCall() : OwnedWork(Kind::kCall) {}
  std::shared_ptr<const std::string> name() const override { return shared_name(*record->function); }
  std::shared_ptr<const CallOptions> options{};  ///< null for the usual call
  int failures = 0;                              ///< times it threw what it may be retried on
};

struct OwnedConstructor final : OwnedWork {
  OwnedConstructor() : OwnedWork(Kind::kConstructor) {}
  std::shared_ptr<const std::string> name() const override { return label; }
  std::shared_ptr<const std::string> label{};
  TaskId id{};
  ActorId actor{};
  std::uint32_t unresolved = 0;
  int starts = 0;
  bool killed = false;
  bool ended_at_stop = false;                     ///< by the runtime's end alone: what runs has the time that all have
  bool unsent = false;                            ///< it could not be sent to its place, which is about to be told
  bool named = false;                             ///< its name is in the node's directory
  bool alone = false;                             ///< a generator task that died in company: now it has a process of its own
  bool failed_unseen = false;                     ///< its constructor failed, and no call has been told why
  std::vector<ProcessId> followers{};             ///< processes that call it and follow where it lives
  std::shared_ptr<void> borrow{};                 ///< not null: another process owns it, and this keeps it alive
  int links = 1;                                  ///< of a borrowed one, whose handles may come and go
  std::optional<core::ActorState> told{};         ///< of a borrowed one: what its owner has said of it last
  std::shared_ptr<const ActorOptions> options{};
  std::shared_ptr<const ErrorInfo> last_error{};  ///< why its constructor failed, or its process ended
};

/// Why a task, or what generates, has failed whose processes died, in so many of its attempts; `code` is WorkerCrashed or OutOfMemory, `last` how
/// the last one ended.
std::string death_in_words(ErrorCode code, const std::string& last, int deaths, int attempts);
/// Of what has been cancelled with its parent.
ErrorInfo child_cancelled(const OwnedWork& work, TaskId id);
/// Of what the end of the runtime has overtaken.
std::shared_ptr<const ErrorInfo> stopped_error();

}  // namespace manta::detail
