// The node's look at its GPUs: one that a driver no longer answers for is taken out of the ledger, and what had it is ended, so
// that it runs again on another.
#include <algorithm>
#include <cstdlib>

#include "runtime/actors/node.hpp"
#include "runtime/base/log.hpp"

namespace manta::detail {

namespace {

constexpr int kGoneAfter = 2;  // looks in a row: a driver that is being restarted answers the next time

std::chrono::milliseconds period() {
  const char* text = std::getenv("MANTA_GPU_CHECK_MS");  // for tests
  const auto given = text ? std::strtoll(text, nullptr, 10) : 0;
  return given > 0 ? std::chrono::milliseconds(std::min(given, 1'000'000LL)) : std::chrono::milliseconds(30'000);
}

}  // namespace

void Node::watch_gpus() {
  if (!options_.find_gpus || options_.gpu_names.empty()) return;
  watch_timer_.at(SteadyClock::now() + period(), [this] { gpus_seen(options_.find_gpus()); });
}

void Node::gpus_seen(std::optional<std::vector<std::string>> names) { actor_->tell(GpusSeen{std::move(names)}); }

void Node::on(GpusSeen& event) {
  if (stopping_) return;
  for (std::size_t id = 0; event.names && id < options_.gpu_names.size(); ++id) {
    auto& missing = gpus_missing_[id];
    if (missing >= kGoneAfter) continue;
    const bool there = std::find(event.names->begin(), event.names->end(), options_.gpu_names[id]) != event.names->end();
    missing = there ? 0 : missing + 1;
    if (missing == kGoneAfter) lose_gpu(id);
  }
  watch_gpus();
}

void Node::lose_gpu(std::size_t id) {
  const auto& name = options_.gpu_names[id];
  const auto holders = table_.lose_gpu(static_cast<int>(id), effects_);
  log(LogLevel::kError, "GPU " + name + " has vanished: it is used no more, and what had it (" + std::to_string(holders.size()) +
                            (holders.size() == 1 ? " task or actor" : " tasks and actors") + ") is ended");
  for (const auto& [process, entry] : processes_)
    if (entry.running && !entry.ended) tell_total(process);
  for (const auto lease : holders) {
    const auto place = places_.find(lease);
    if (place == places_.end()) continue;
    const auto it = processes_.find(place->second);
    if (it == processes_.end() || !it->second.own || it->second.leaving || it->second.ended_for) continue;  // a thread's code sees it itself
    it->second.ended_for = ErrorInfo{.code = ErrorCode::kWorkerCrashed, .message = "was ended, as its GPU " + name + " has vanished",
                                     .where = "worker process " + std::to_string(it->second.pid)};
    if (it->second.running) launcher_.kill(place->second);
  }
}

/// What a worker process has heard in its hello may be less by now.
void Node::tell_total(ProcessId process) { router_.send(process, wire::ResourcesReport{.total = table_.ledger().total()}); }

}  // namespace manta::detail
