#include "runtime/core/reference_table.hpp"

#include <algorithm>

namespace manta::core {

namespace {
/// Wraps: what a process tells of itself may be anything.
std::int64_t sum(std::int64_t a, std::int64_t b) { return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b)); }
}  // namespace

void ReferenceTable::add(ReferenceId id, ProcessId holder, ProcessId giver, std::int64_t units, ReferenceEffects& effects) {
  auto& counts = lent_[id];
  auto it = std::find_if(counts.begin(), counts.end(), [&](const Count& c) { return c.holder == holder && c.giver == giver; });
  if (it == counts.end()) it = counts.insert(it, {holder, giver, 0});
  it->units = sum(it->units, units);
  if (it->units != 0) return;
  *it = counts.back();
  counts.pop_back();
  if (!counts.empty()) return;
  lent_.erase(id);
  effects.released.push_back(id);
}

void ReferenceTable::give(ReferenceId id, ProcessId to, ReferenceEffects& effects) {
  const auto owner = maker_of(id);
  if (to == owner || gone_.contains(to)) return;  // home again, or nowhere
  if (owner == self_)
    add(id, to, self_, 1, effects);
  else
    effects.sends.push_back({owner, {ReferenceOperation::kLend, id, to, 1}});
}

bool ReferenceTable::accept(ReferenceId id, ProcessId from) {
  if (maker_of(id) == self_) return false;
  auto& units = borrowed_[id];
  auto it = std::find_if(units.begin(), units.end(), [&](const Units& u) { return u.giver == from; });
  it == units.end() ? units.push_back({from, 1}) : static_cast<void>(++it->units);
  return true;
}

void ReferenceTable::dropped(ReferenceId id, ReferenceEffects& effects) {
  const auto it = borrowed_.find(id);
  if (it == borrowed_.end()) return;
  if (!gone_.contains(maker_of(id)))
    for (const auto& each : it->second)
      effects.sends.push_back({maker_of(id), {ReferenceOperation::kReturn, id, each.giver, each.units}});
  borrowed_.erase(it);
}

void ReferenceTable::answer(const Recount& recount, ReferenceEffects& effects) {
  std::int64_t held = 0;
  if (const auto it = borrowed_.find(recount.id); it != borrowed_.end())
    for (const auto& each : it->second)
      if (each.giver == recount.giver) held = each.units;
  effects.sends.push_back({recount.owner, {ReferenceOperation::kRecounted, recount.id, recount.giver, held}});
}

void ReferenceTable::deliver(ProcessId from, const ReferenceUpdate& update, ReferenceEffects& effects) {
  switch (update.operation) {
    case ReferenceOperation::kLend:
      if (update.process == self_) return;  // none lends to the owner: a message of no sense
      if (!gone_.contains(update.process)) add(update.id, update.process, from, update.units, effects);
      return;
    case ReferenceOperation::kReturn: return add(update.id, from, update.process, -update.units, effects);
    case ReferenceOperation::kRecount: {
      const Recount recount{from, update.process, update.id};
      return gone_.contains(recount.giver) ? answer(recount, effects) : recounts_.push_back(recount);
    }
    case ReferenceOperation::kRecounted: {
      const auto it = lent_.find(update.id);
      if (it == lent_.end()) return;
      for (const auto& each : it->second)
        if (each.holder == from && each.giver == update.process)
          return add(update.id, from, update.process, sum(update.units, -each.units), effects);
      return;
    }
    case ReferenceOperation::kFetch:
    case ReferenceOperation::kRebuild: return;
  }
}

void ReferenceTable::forget_holder(ProcessId process, ReferenceEffects& effects) {
  for (auto it = lent_.begin(); it != lent_.end();) {
    std::erase_if(it->second, [&](const Count& each) { return each.holder == process; });
    for (const auto& each : it->second)  // what it said that it would give may never have left it
      if (each.giver == process)
        effects.sends.push_back({each.holder, {ReferenceOperation::kRecount, it->first, process, 0}});
    if (it->second.empty()) effects.released.push_back(it->first);
    it = it->second.empty() ? lent_.erase(it) : std::next(it);
  }
}

void ReferenceTable::process_gone(ProcessId process, ReferenceEffects& effects) {
  if (!gone_.insert(process)) return;
  forget_holder(process, effects);
  for (auto it = borrowed_.begin(); it != borrowed_.end();) {
    const bool orphan = maker_of(it->first) == process;
    if (orphan) effects.orphaned.push_back(it->first);
    it = orphan ? borrowed_.erase(it) : std::next(it);
  }
  std::erase_if(recounts_, [&](const Recount& each) {
    if (each.giver == process && !gone_.contains(each.owner)) answer(each, effects);
    return each.giver == process || each.owner == process;
  });
}

}  // namespace manta::core
