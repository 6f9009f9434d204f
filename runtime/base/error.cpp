#include "runtime/base/error.hpp"

#include <cxxabi.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <typeinfo>
#include <vector>

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

static std::string line_of(const ErrorInfo& link) {
  std::string text(to_string(link.code));
  if (!link.remote_type.empty()) text += "(" + link.remote_type + ")";
  if (!link.where.empty()) text += " in " + link.where;
  return text + ": " + link.message;
}

std::string ErrorInfo::to_string() const {
  const auto shown = as_cause(cause);
  std::string text = line_of(*this);
  std::string indent;
  const auto leave_out = [&](std::uint32_t count) {
    if (count > 0) text += "\n" + indent + "  … (" + std::to_string(count) + " more between)";
  };
  leave_out(left_out);
  for (const ErrorInfo* link = shown.get(); link; link = link->cause.get()) {
    text += "\n" + (indent += "  ") + "caused by " + line_of(*link);
    leave_out(link->left_out);
  }
  return text;
}

std::shared_ptr<const ErrorInfo> as_cause(std::shared_ptr<const ErrorInfo> error) {
  constexpr std::size_t kKept = kMaxErrorLinks - 1, kOldest = kKept / 2, kNewest = kKept - kOldest;
  std::vector<const ErrorInfo*> links;
  for (const ErrorInfo* link = error.get(); link; link = link->cause.get()) links.push_back(link);
  if (links.size() <= kKept) return error;
  const std::size_t oldest = links.size() - kOldest;
  std::uint32_t left_out = static_cast<std::uint32_t>(oldest - kNewest);
  for (std::size_t i = kNewest - 1; i < oldest; ++i) left_out += links[i]->left_out;
  auto shorter = links[oldest - 1]->cause;
  for (std::size_t i = kNewest; i-- > 0; left_out = 0) {
    ErrorInfo copy{.code = links[i]->code, .message = links[i]->message, .where = links[i]->where, .remote_type = links[i]->remote_type};
    copy.cause = std::move(shorter);
    copy.left_out = i + 1 == kNewest ? left_out : links[i]->left_out;
    shorter = std::make_shared<const ErrorInfo>(std::move(copy));
  }
  return shorter;
}

std::string as_message(std::string text) {
  constexpr std::size_t kMaxMessage = 64 * 1024;
  return text.size() > kMaxMessage ? text.substr(0, kMaxMessage) + "… (cut)" : text;
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

namespace {

/// Of what std::throw_with_nested has thrown the type that it was given.
std::string thrown_type(const std::type_info& type) {
  constexpr std::string_view kBefore = "std::_Nested_exception<";
  const auto name = demangle(type.name());
  if (!name.starts_with(kBefore) || !name.ends_with('>')) return name;
  const auto end = name.find_last_not_of(' ', name.size() - 2);  // it writes `> >`
  return name.substr(kBefore.size(), end + 1 - kBefore.size());
}

ErrorInfo info_without_nested() noexcept {
  try {
    throw;
  } catch (const Error& e) {
    return e.info();
  } catch (const std::exception& e) {
    const char* text = e.what();
    return {.code = ErrorCode::kTaskError, .message = text ? text : "its what() is a null pointer", .remote_type = thrown_type(typeid(e))};
  } catch (...) {
    const std::type_info* type = abi::__cxa_current_exception_type();
    return {.code = ErrorCode::kTaskError,
            .message = "an exception that is not a std::exception",
            .remote_type = type ? thrown_type(*type) : "unknown"};
  }
}

/// What the exception that is being handled was thrown with by std::throw_with_nested; null when it was not.
std::exception_ptr nested_exception() noexcept try {
  throw;
} catch (const std::nested_exception& e) {
  return e.nested_ptr();
} catch (...) {
  return nullptr;
}

ErrorInfo info_with_nested(std::size_t links) noexcept {
  auto info = info_without_nested();
  if (info.cause || links <= 1) return info;
  const auto nested = nested_exception();
  if (!nested) return info;
  try {
    std::rethrow_exception(nested);
  } catch (...) {
    auto cause = info_with_nested(links - 1);
    cause.message = as_message(std::move(cause.message));
    info.cause = std::make_shared<const ErrorInfo>(std::move(cause));
  }
  return info;
}

}  // namespace

ErrorInfo current_exception_info() noexcept { return info_with_nested(kMaxErrorLinks); }

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
