#include "runtime/base/error.hpp"

#include <cxxabi.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <typeinfo>

namespace manta {

namespace {

constexpr std::string_view kNames[] = {
    "Unknown",          "TaskError",       "WorkerCrashed",     "TaskPoisoned",        "ActorDied",
    "ActorUnavailable", "ActorCreationFailed", "OwnerDied",     "NodeDied",            "ObjectLost",
    "ObjectStoreFull",  "OutOfDisk",       "OutOfMemory",       "ResourceExhausted",   "InfeasibleResources",
    "HeadUnavailable",  "Timeout",         "Cancelled",         "DeadlockDetected",    "InvalidArgument",
    "NotFound",         "FunctionNotFound", "ProtocolError",    "VersionMismatch",     "AuthError",
    "StorageCorruption", "IoError",        "RuntimeStopped"};

template <std::uint16_t... I>
[[noreturn]] void throw_by_code(ErrorInfo&& info, std::integer_sequence<std::uint16_t, I...>) {
  const auto code = static_cast<std::uint16_t>(info.code);
  ((code == I + 1 ? throw ErrorOf<static_cast<ErrorCode>(I + 1)>(std::move(info)) : void()), ...);
  throw Error(std::move(info));
}

}  // namespace

std::string_view to_string(ErrorCode code) noexcept {
  const auto index = static_cast<std::size_t>(code);
  return index < std::size(kNames) ? kNames[index] : kNames[0];
}

std::string ErrorInfo::to_string() const {
  std::string text;
  std::string indent;
  for (const ErrorInfo* link = this; link; link = link->cause.get()) {
    if (link != this) text += "\n" + indent + "caused by ";
    text += manta::to_string(link->code);
    if (!link->remote_type.empty()) text += "(" + link->remote_type + ")";
    if (!link->where.empty()) text += " in " + link->where;
    text += ": " + link->message;
    indent += "  ";
  }
  return text;
}

Error::Error(ErrorInfo info) {
  auto state = std::make_shared<State>();
  state->text = info.to_string();
  state->info = std::move(info);
  state_ = std::move(state);
}

void throw_error(ErrorInfo info) {
  throw_by_code(std::move(info),
                std::make_integer_sequence<std::uint16_t, static_cast<std::uint16_t>(ErrorCode::kRuntimeStopped)>{});
}

ErrorInfo current_exception_info() noexcept {
  try {
    throw;
  } catch (const Error& e) {
    return e.info();
  } catch (const std::exception& e) {
    return {.code = ErrorCode::kTaskError, .message = e.what(), .remote_type = demangle(typeid(e).name())};
  } catch (...) {
    const std::type_info* type = abi::__cxa_current_exception_type();
    return {.code = ErrorCode::kTaskError,
            .message = "an exception that is not a std::exception",
            .remote_type = type ? demangle(type->name()) : "unknown"};
  }
}

std::string demangle(const char* mangled) {
  int status = 0;
  char* text = abi::__cxa_demangle(mangled, nullptr, nullptr, &status);
  std::string name = status == 0 && text ? text : mangled;
  std::free(text);
  return name;
}

void bug(const char* condition, const char* file, int line) noexcept {
  std::fprintf(stderr, "manta: bug: %s does not hold at %s:%d (pid %d)\n", condition, file, line, ::getpid());
  std::abort();
}

}  // namespace manta
