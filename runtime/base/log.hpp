#pragma once
// Manta's own messages to the person at the terminal: one line each on stderr, "manta[pid] warning: …".
// Thread-safe; never throws. The level is read once from MANTA_LOG (debug, info, warning, error, off; default warning).
#include <string_view>

namespace manta {

enum class LogLevel { kDebug, kInfo, kWarning, kError, kOff };

void log(LogLevel level, std::string_view text) noexcept;
void set_log_level(LogLevel level) noexcept;

}  // namespace manta
