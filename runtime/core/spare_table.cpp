#include "runtime/core/spare_table.hpp"

#include <algorithm>

namespace manta::core {

namespace {

constexpr int kMostFailures = 2;

}  // namespace

std::optional<ProcessId> SpareTable::begin(const Kind& kind, std::int64_t now_ms, bool may_adopt) {
  if (!on()) return std::nullopt;
  Actors& actors = kinds_[kind];
  ++actors.live;
  actors.began_ms = now_ms;
  actors.follow = actors.follow || (actors.ended_ms && now_ms - *actors.ended_ms <= kSoonMs);
  const auto found = std::find_if(actors.spares.begin(), actors.spares.end(), [](const Spare& spare) { return spare.ready; });
  if (found == actors.spares.end() || !may_adopt) return std::nullopt;
  const ProcessId process = found->process;
  actors.spares.erase(found);
  --count_;
  actors.failures = 0;
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

bool SpareTable::gone(ProcessId spare) {
  for (auto& [kind, actors] : kinds_) {
    if (std::erase_if(actors.spares, [&](const Spare& each) { return each.process == spare; }) == 0) continue;
    --count_;
    if (++actors.failures < kMostFailures) return true;
    actors.failures = 0;
    actors.follow = false;
    return true;
  }
  return false;
}

bool SpareTable::worth_it(const Actors& actors, std::int64_t now_ms) const {
  if (!actors.follow || now_ms - actors.began_ms > kUnusedMs) return false;
  return actors.live > 0 || now_ms - actors.ended_ms.value_or(now_ms) <= kSoonMs;
}

void SpareTable::drop_beyond(Actors& actors, std::size_t keep, std::vector<ProcessId>& dropped) {
  if (actors.spares.size() <= keep) return;
  for (std::size_t i = keep; i < actors.spares.size(); ++i) dropped.push_back(actors.spares[i].process);
  count_ -= actors.spares.size() - keep;
  actors.spares.resize(keep);
}

SpareTable::Look SpareTable::look(std::int64_t now_ms, bool memory_short) {
  Look result;
  for (auto& [kind, actors] : kinds_) {
    if (worth_it(actors, now_ms)) {
      for (std::size_t spares = actors.spares.size(); !memory_short && spares < actors.live && count_ + result.make.size() < limit_; ++spares)
        result.make.push_back(kind);
      // Fewer actors than before, and that for a while: not just the gap between one and the next.
      if (actors.live > 0 && now_ms - actors.ended_ms.value_or(now_ms) > kSoonMs) drop_beyond(actors, actors.live, result.drop);
      result.again = true;
      continue;
    }
    drop_beyond(actors, 0, result.drop);
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
