#include "runtime/base/log.hpp"

#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <string>

#include "runtime/base/standard_streams.hpp"

namespace manta {

namespace {

constexpr std::string_view kLevelNames[] = {"debug", "info", "warning", "error", "off"};

LogLevel level_from_environment() {
  const char* text = std::getenv("MANTA_LOG");
  for (int i = 0; text && i < 5; ++i)
    if (kLevelNames[i] == text) return static_cast<LogLevel>(i);
  return LogLevel::kWarning;
}

std::atomic<LogLevel>& threshold() {
  static std::atomic<LogLevel> level{level_from_environment()};
  return level;
}

}  // namespace

void set_log_level(LogLevel level) noexcept { threshold() = level; }

void log(LogLevel level, std::string_view text) noexcept {
  if (level < threshold()) return;
  try {
    std::string line = "manta[" + std::to_string(::getpid()) + "] " +
                       std::string(kLevelNames[static_cast<int>(level)]) + ": " + std::string(text) + "\n";
    if (!is_standard_stream(STDERR_FILENO)) return;
    [[maybe_unused]] auto written = ::write(STDERR_FILENO, line.data(), line.size());  // one write: lines stay whole
  } catch (...) {
  }
}

}  // namespace manta
