// The node's watch over memory: see core/memory_guard.hpp. It runs while there are worker processes.
#include <cstdio>

#include "runtime/actors/node.hpp"
#include "runtime/base/log.hpp"
#include "runtime/process/process_info.hpp"

namespace manta::detail {

namespace {

constexpr std::chrono::milliseconds kPeriod{250};

std::string gib(std::uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f GiB", static_cast<double>(bytes) / (1 << 30));
  return text;
}

std::string in_use(const MemoryUse& use, double threshold) {
  char percent[32];
  std::snprintf(percent, sizeof percent, "%.4g %%", 100 * threshold);
  return gib(use.used_bytes) + " of " + gib(use.total_bytes) + " of memory were in use, more than " + percent;
}

}  // namespace

void Node::watch_memory() {
  if (!memory_.on() || !options_.memory_meter || std::exchange(memory_watched_, true)) return;
  watch_timer_.at(SteadyClock::now() + kPeriod, [this] { memory_read(read_meter()); });
}

/// It may be the user's, and throw: then nothing is known of this moment.
MemoryUse Node::read_meter() noexcept {
  try {
    return options_.memory_meter();
  } catch (...) {
    if (!std::exchange(meter_failed_, true))
      log(LogLevel::kWarning, "memory_meter threw: " + current_exception_info().message + "; nothing is done about memory while it does");
    return {};
  }
}

void Node::memory_read(const MemoryUse& use) { actor_->tell(MemoryRead{use}); }

void Node::on(MemoryRead& event) {
  memory_watched_ = false;
  memory_short_ = false;
  if (stopping_ || processes_.empty()) return;
  watch_memory();
  if (!memory_.exceeded(event.use)) {
    memory_warned_ = false;
    return;
  }
  memory_short_ = true;
  if (const auto spares = spares_.drop_all(); !spares.empty()) return drop_spares(spares);  // the next reading says whether that was enough
  std::vector<core::MemoryGuard::Candidate> candidates;
  for (const auto& [id, process] : processes_) {
    if (!process.running || process.leaving || process.ended || process.leases.empty()) continue;
    core::MemoryGuard::Candidate candidate{.process = id, .retriable = true, .newest = *process.leases.rbegin()};
    for (const auto lease : process.leases)
      if (const auto* held = table_.find(lease)) candidate.retriable &= held->retriable;
    candidates.push_back(candidate);
  }
  if (const auto process = memory_.choose(event.use, candidates))
    return end_for_memory(*process, event.use);
  if (candidates.empty() && !std::exchange(memory_warned_, true))
    log(LogLevel::kWarning, in_use(event.use, memory_.threshold()) + ", and no worker process runs work that could be ended");
}

void Node::end_for_memory(ProcessId id, const MemoryUse& use) {
  auto& process = processes_.at(id);
  const auto message = "was ended to protect the machine: " + in_use(use, memory_.threshold()) + ", " +
                       gib(resident_bytes(process.pid)) + " of it by this process";
  process.ended_for = ErrorInfo{.code = ErrorCode::kOutOfMemory, .message = message,
                                .where = "worker process " + std::to_string(process.pid)};
  log(LogLevel::kWarning, "worker process " + std::to_string(process.pid) + " " + message);
  launcher_.kill(id);
}

}  // namespace manta::detail
