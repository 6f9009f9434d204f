#pragma once
// The one error family of Manta.
//
// An ErrorInfo is a value: what happened, to which task, actor or object, what to do next, and the chain of causes. It
// crosses process borders. An Error is the exception that carries one; each code has a subclass of its own, so that a
// caller can catch `manta::WorkerCrashed` or the whole family by `manta::Error`. Immutable, so safe to share.
//
//   try { rt.get(ref); } catch (const manta::TaskError& e) { log(e.info().to_string()); }
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <string_view>

namespace manta {

/// What went wrong, by what the caller can do about it.
enum class ErrorCode : std::uint16_t {
  kTaskError = 1,        ///< The task's own code threw. Look at the cause; not retried unless asked for.
  kWorkerCrashed,        ///< The process that ran it died, in every allowed attempt. Look at its log.
  kTaskPoisoned,         ///< The task itself kills its workers. Fix the task.
  kActorDied,            ///< The actor is gone for good. Make a new one.
  kActorUnavailable,     ///< The call may or may not have run. Ask the actor, or make the call idempotent and retry.
  kActorCreationFailed,  ///< The actor's constructor threw. Look at the cause.
  kOwnerDied,            ///< The process that owned the object is gone. Make the object again.
  kNodeDied,             ///< The machine is gone.
  kObjectLost,           ///< No copy is left and it cannot be made again.
  kObjectStoreFull,      ///< Free refs or raise the arena's budget; the message lists the biggest holders.
  kOutOfDisk,            ///< Free space on the named file system; the operation can then be tried again.
  kOutOfMemory,          ///< Ended to protect the machine. Ask for `memory`, or run less at once.
  kResourceExhausted,    ///< A limit was reached. Wait and try again, or raise the limit.
  kInfeasibleResources,  ///< No machine has that much. Ask for less; the message says what there is.
  kHeadUnavailable,      ///< The head does not answer. Try again later.
  kTimeout,              ///< Not ready in time. The work goes on; wait again.
  kCancelled,            ///< Cancelled on request.
  kDeadlockDetected,     ///< Calls of actors wait for each other in a cycle, which the message says; actor.hpp: which are found.
  kInvalidArgument,      ///< The call is wrong. The message says what is allowed.
  kNotFound,             ///< Nothing of that name. The message says what there is.
  kFunctionNotFound,     ///< The peer does not know the function: another build of the program.
  kProtocolError,        ///< Bytes that are no valid message.
  kVersionMismatch,      ///< Another version of the program or of the format.
  kAuthError,            ///< The peer is not who it must be.
  kStorageCorruption,    ///< Bytes at rest are damaged. The message names the file and the way to repair.
  kIoError,              ///< The operating system refused. The message has its reason.
  kRuntimeStopped,       ///< The runtime has been shut down.
};

/// The code's name, as in the documentation: "WorkerCrashed".
std::string_view to_string(ErrorCode code) noexcept;

/// What is known about one failure. A plain value.
struct ErrorInfo {
  ErrorCode code{ErrorCode::kTaskError};
  std::string message{};      ///< what happened and what to do
  std::string where{};        ///< "task square #12 (attempt 2)", "actor Counter#3", "object 17"; may be empty
  std::string remote_type{};  ///< the C++ type of the exception that user code threw; may be empty
  std::shared_ptr<const ErrorInfo> cause{};
  std::uint32_t left_out{};  ///< links of the chain that stood between this one and its cause (as_cause)
  bool did_not_run{};        ///< of a task or call that never began, as an argument of it could not be had: the code is the argument's

  /// One line per link of the chain: "TaskError: task f #3: … \n  caused by std::runtime_error: …"; of a long one the newest and the root.
  std::string to_string() const;
};

/// The longest chain that errors of the runtime's own have.
inline constexpr std::size_t kMaxErrorLinks = 16;
/// An error as the cause of one more: a chain that would get too long loses links from its middle, which `left_out` counts. So the
/// failure that goes through a hundred thousand tasks, each an argument of the next, has the text of sixteen.
std::shared_ptr<const ErrorInfo> as_cause(std::shared_ptr<const ErrorInfo> error);

/// A text that the user's code gave, as a message: of one of more than 64 KiB the beginning.
std::string as_message(std::string text);

/// Base of every exception that Manta throws.
class Error : public std::exception {
 public:
  explicit Error(ErrorInfo info);
  const char* what() const noexcept override { return state_->text.c_str(); }
  ErrorCode code() const noexcept { return state_->info.code; }
  const ErrorInfo& info() const noexcept { return state_->info; }

 private:
  struct State {
    ErrorInfo info;
    std::string text;
  };
  std::shared_ptr<const State> state_;  // copying an exception must not throw
};

template <ErrorCode C>
class ErrorOf : public Error {
 public:
  explicit ErrorOf(ErrorInfo info) : Error(std::move(info)) {}
  explicit ErrorOf(std::string message) : Error(ErrorInfo{.code = C, .message = std::move(message)}) {}
};

using TaskError = ErrorOf<ErrorCode::kTaskError>;
using WorkerCrashed = ErrorOf<ErrorCode::kWorkerCrashed>;
using TaskPoisoned = ErrorOf<ErrorCode::kTaskPoisoned>;
using ActorDied = ErrorOf<ErrorCode::kActorDied>;
using ActorUnavailable = ErrorOf<ErrorCode::kActorUnavailable>;
using ActorCreationFailed = ErrorOf<ErrorCode::kActorCreationFailed>;
using OwnerDied = ErrorOf<ErrorCode::kOwnerDied>;
using NodeDied = ErrorOf<ErrorCode::kNodeDied>;
using ObjectLost = ErrorOf<ErrorCode::kObjectLost>;
using ObjectStoreFull = ErrorOf<ErrorCode::kObjectStoreFull>;
using OutOfDisk = ErrorOf<ErrorCode::kOutOfDisk>;
using OutOfMemory = ErrorOf<ErrorCode::kOutOfMemory>;
using ResourceExhausted = ErrorOf<ErrorCode::kResourceExhausted>;
using InfeasibleResources = ErrorOf<ErrorCode::kInfeasibleResources>;
using HeadUnavailable = ErrorOf<ErrorCode::kHeadUnavailable>;
using Timeout = ErrorOf<ErrorCode::kTimeout>;
using Cancelled = ErrorOf<ErrorCode::kCancelled>;
using DeadlockDetected = ErrorOf<ErrorCode::kDeadlockDetected>;
using InvalidArgument = ErrorOf<ErrorCode::kInvalidArgument>;
using NotFound = ErrorOf<ErrorCode::kNotFound>;
using FunctionNotFound = ErrorOf<ErrorCode::kFunctionNotFound>;
using ProtocolError = ErrorOf<ErrorCode::kProtocolError>;
using VersionMismatch = ErrorOf<ErrorCode::kVersionMismatch>;
using AuthError = ErrorOf<ErrorCode::kAuthError>;
using StorageCorruption = ErrorOf<ErrorCode::kStorageCorruption>;
using IoError = ErrorOf<ErrorCode::kIoError>;
using RuntimeStopped = ErrorOf<ErrorCode::kRuntimeStopped>;

/// Throws the subclass of Error that belongs to info.code.
[[noreturn]] void throw_error(ErrorInfo info);

/// The exception that is being handled, as an ErrorInfo with code kTaskError: the error of the family as it is, any
/// other std::exception with its type and text, anything else (`throw 1`) by its type. What std::throw_with_nested has put into it
/// is its cause, and so on, up to kMaxErrorLinks in all. Call inside a catch block.
ErrorInfo current_exception_info() noexcept;

/// The name of a C++ type for messages, demangled.
std::string demangle(const char* mangled);

/// Ends the process with a message: a bug in Manta itself. On in every build.
[[noreturn]] void bug(const char* condition, const char* file, int line) noexcept;

}  // namespace manta

#define MANTA_CHECK(condition) ((condition) ? (void)0 : ::manta::bug(#condition, __FILE__, __LINE__))
