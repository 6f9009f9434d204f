#include "runtime/core/spare_table.hpp"

#include <algorithm>

namespace manta::core {

std::optional<ProcessId> SpareTable::begin(const Kind& kind, std::int64_t now_ms) {
  if (!on()) return std::nullopt;
  Actors& actors = kinds_[kind];
  ++actors.live;
  actors.began_ms = now_ms;
  actors.follow = actors.follow || (actors.ended_ms && now_ms - *actors.ended_ms <= kSoonMs);
  const auto found = std::find_if(actors.spares.begin(), actors.spares.end(), [](const Spare& spare) { return spare.ready; });
  if (found == actors.spares.end()) return std::nullopt;
  const ProcessId process = found->process;
  actors.spares.erase(found);
  --count_;
  return process;
}

void SpareTable::end(const Kind& kind, std::int64_t now_ms) {
  const auto found = kinds_.find(kind);
  if (found == kinds_.end() || found->second.live == 0) return;
  --found->second.live;
  found->second.ended_ms = now_ms;
  found->second.follow = found->second.follow || (found->second.live > 0 && now_ms - found->second.began_ms <= kHandoverMs);
}

void SpareTable::launching(const Kind& kind, ProcessId spare) {
  kinds_[kind].spares.push_back({spare, false});
  ++count_;
}

void SpareTable::ready(ProcessId spare) {
  for (auto& [kind, actors] : kinds_)
    for (Spare& each : actors.spares)
      if (each.process == spare) each.ready = true;
}

void SpareTable::gone(ProcessId spare) {
  for (auto& [kind, actors] : kinds_) count_ -= std::erase_if(actors.spares, [&](const Spare& each) { return each.process == spare; });
}

bool SpareTable::worth_it(const Actors& actors, std::int64_t now_ms) const {
  if (!actors.follow || now_ms - actors.began_ms > kUnusedMs) return false;
  return actors.live > 0 || now_ms - actors.ended_ms.value_or(now_ms) <= kSoonMs;
}

SpareTable::Look SpareTable::look(std::int64_t now_ms) {
  Look result;
  for (auto& [kind, actors] : kinds_) {
    if (worth_it(actors, now_ms)) {
      for (std::size_t spares = actors.spares.size(); spares < actors.live && count_ + result.make.size() < limit_; ++spares)
        result.make.push_back(kind);
      result.again = true;
      continue;
    }
    for (const Spare& spare : actors.spares) result.drop.push_back(spare.process);
    count_ -= actors.spares.size();
    actors.spares.clear();
    actors.follow = false;
  }
  std::erase_if(kinds_, [&](const auto& each) {
    const Actors& actors = each.second;
    if (actors.live > 0 || actors.follow) return false;
    const bool forgotten = now_ms - actors.ended_ms.value_or(now_ms) > kSoonMs;
    result.again = result.again || !forgotten;
    return forgotten;
  });
  return result;
}

std::vector<ProcessId> SpareTable::drop_all() {
  std::vector<ProcessId> all;
  for (auto& [kind, actors] : kinds_) {
    for (const Spare& spare : actors.spares) all.push_back(spare.process);
    actors.spares.clear();
    actors.follow = false;
  }
  count_ = 0;
  return all;
}

}  // namespace manta::core
