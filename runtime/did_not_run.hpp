#pragma once
// did_not_run: whether a task or call failed before it began, as an argument of it could not be had. Its error has the code of the
// argument's, which says nothing of the actor that was called. Internal.
#include "runtime/base/error.hpp"

namespace manta::detail {

/// What the message of such an error begins with.
inline constexpr char kDidNotRun[] = "it did not run: ";
inline bool did_not_run(const ErrorInfo& error) { return error.message.starts_with(kDidNotRun); }

}  // namespace manta::detail
