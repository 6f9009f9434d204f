#include "runtime/core/lease_table.hpp"

#include <algorithm>
#include <map>

namespace manta::core {

namespace {

bool uses_any(const ResourceRequest& shape, const std::set<std::string>& names) {
  if (names.empty()) return false;
  if (shape.cpus > Amount(0) && names.contains("CPU")) return true;
  if (shape.gpus > Amount(0) && names.contains("GPU")) return true;
  return std::any_of(shape.custom.begin(), shape.custom.end(),
                     [&](const auto& each) { return each.second > Amount(0) && names.contains(each.first); });
}

}  // namespace

/// Resources that are kept, on the machine or in a bundle, for requests that were passed over too often.
struct LeaseTable::Kept {
  std::map<std::pair<GroupId, std::int32_t>, std::set<std::string>> names{};
  bool concern(const ResourceRequest& shape, std::int32_t bundle) const {
    if (names.empty()) return false;
    auto it = names.find({shape.group, bundle});
    return it != names.end() && uses_any(shape, it->second);
  }
};

void LeaseTable::want(const LeaseRequest& request, LeaseEffects& effects) {
  auto same = [&](const Waiting& w) { return !w.places && w.request.owner == request.owner && w.request.purpose == request.purpose; };
  auto it = std::find_if(waiting_.begin(), waiting_.end(), same);
  if (request.count && request.shape.group && !groups_.find(request.shape.group)) {
    effects.refused.push_back({request.owner, request.purpose, request.shape.group});
  } else if (const auto why = request.count ? why_lost(request.shape) : std::string(); !why.empty()) {
    effects.refused.push_back({request.owner, request.purpose, {}, why});
  } else if (it == waiting_.end()) {
    if (request.count)
      waiting_.insert(request.nested ? waiting_.begin() : waiting_.end(), {.request = request, .arrival = ++arrivals_});
  } else if (request.count) {
    it->request.count = request.count;
  } else {
    waiting_.erase(it);
  }
  grant_what_fits(effects);
}

bool LeaseTable::wants(ProcessId owner, Purpose purpose) const {
  return std::any_of(waiting_.begin(), waiting_.end(), [&](const Waiting& each) {
    return !each.places && each.request.owner == owner && each.request.purpose == purpose;
  });
}

std::string LeaseTable::why_lost(const ResourceRequest& shape) const {
  if (!lost_something_) return {};
  if (!shape.group) return at_start_.why_infeasible(shape).empty() ? ledger_.why_infeasible(shape) : std::string();
  if (!groups_.placed(shape.group)) return {};
  std::string why;
  for (std::int32_t i = 0; i < static_cast<std::int32_t>(groups_.find(shape.group)->bundles.size()); ++i) {
    if (shape.bundle >= 0 && shape.bundle != i) continue;
    if (groups_.bundle(shape.group, i).why_infeasible(shape).empty()) return {};
    why = "no bundle that it may use has " + shape.to_string() + " any more: make another group";
  }
  return why;
}

std::string LeaseTable::why_lost(const PlacementSpec& spec) const {
  if (!lost_something_ || !PlacementTable::why_infeasible(at_start_, spec.strategy, spec.bundles).empty()) return {};
  return PlacementTable::why_infeasible(whole_, spec.strategy, spec.bundles);
}

std::vector<LeaseId> LeaseTable::lose_gpu(int id, LeaseEffects& effects) {
  ledger_.lose_gpu(id);
  groups_.lose_gpu(id);
  whole_.lose_gpu(id);
  lost_something_ = true;
  for (const auto& each : waiting_)
    if (each.places)
      if (auto why = why_lost(*groups_.find(each.places)); !why.empty()) effects.unplaceable.push_back({each.places, std::move(why)});
  std::erase_if(waiting_, [&](const Waiting& each) {
    const auto why = each.places ? std::string() : why_lost(each.request.shape);  // a group is removed as a whole
    if (!why.empty()) effects.refused.push_back({each.request.owner, each.request.purpose, {}, why});
    return !why.empty();
  });
  std::vector<LeaseId> holders;
  for (const auto& [lease, held] : leases_)
    if (std::find(held.grant.gpu_ids.begin(), held.grant.gpu_ids.end(), id) != held.grant.gpu_ids.end()) holders.push_back(lease);
  std::sort(holders.begin(), holders.end());
  return holders;
}

bool LeaseTable::add_group(const PlacementSpec& spec, LeaseEffects& effects) {
  if (!groups_.add(spec)) return false;
  waiting_.push_back({.request = {.owner = spec.owner, .count = 1, .for_life = true}, .arrival = ++arrivals_, .places = spec.id});
  grant_what_fits(effects);
  return true;
}

std::vector<LeaseId> LeaseTable::remove_group(GroupId group, LeaseEffects& effects) {
  if (!groups_.find(group)) return {};
  for (const auto& each : waiting_)
    if (each.request.shape.group == group) effects.refused.push_back({each.request.owner, each.request.purpose, group});
  std::erase_if(waiting_, [&](const Waiting& each) { return each.places == group || each.request.shape.group == group; });
  std::vector<LeaseId> held;
  for (const auto& [id, lease] : leases_)
    if (lease.grant.amounts.group == group) held.push_back(id);
  std::sort(held.begin(), held.end());
  groups_.remove(group, ledger_);
  grant_what_fits(effects);
  return held;
}

std::vector<GroupId> LeaseTable::groups_of(ProcessId owner) const {
  auto groups = groups_.all();
  std::erase_if(groups, [&](GroupId id) { return groups_.find(id)->owner != owner; });
  return groups;
}

ResourceLedger LeaseTable::later(GroupId group, std::int32_t bundle) const {
  auto ledger = group ? groups_.bundle(group, bundle) : ledger_;
  for (const auto& [id, lease] : leases_)
    if (!lease.for_life && !lease.blocked && lease.grant.amounts.group == group && lease.grant.bundle == bundle) ledger.release(lease.grant);
  return ledger;
}

void LeaseTable::keep_for(const Waiting& entry, Kept& kept) const {
  const auto& shape = entry.request.shape;
  auto keep = [&](const ResourceLedger& now, ResourceLedger then, std::int32_t bundle) {
    if (then.acquire(shape)) kept.names[{shape.group, bundle}].merge(now.lacking(shape));
  };
  if (entry.places) {
    const auto& spec = *groups_.find(entry.places);
    const auto& bundles = spec.bundles;
    if (PlacementTable::needs_more_machines(spec.strategy, bundles)) return;  // nothing that comes back helps it
    auto then = later({}, -1);
    if (!PlacementTable::acquire_all(then, bundles)) return;
    auto now = ledger_;
    for (const auto& bundle : bundles)
      if (!now.acquire(bundle)) kept.names[{GroupId{}, -1}].merge(now.lacking(bundle));
  } else if (!shape.group) {
    keep(ledger_, later({}, -1), -1);
  } else if (groups_.placed(shape.group)) {
    for (std::int32_t i = 0; i < static_cast<std::int32_t>(groups_.find(shape.group)->bundles.size()); ++i)
      if (shape.bundle < 0 || shape.bundle == i) keep(groups_.bundle(shape.group, i), later(shape.group, i), i);
  }
}

std::optional<Grant> LeaseTable::acquire(const ResourceRequest& shape, const Kept& kept) {
  if (shape.group) return groups_.acquire(shape, [&](std::int32_t bundle) { return !kept.concern(shape, bundle); });
  return kept.concern(shape, -1) ? std::nullopt : ledger_.acquire(shape);
}

bool LeaseTable::place_group(Waiting& entry, const Kept& kept, LeaseEffects& effects) {
  for (const auto& bundle : groups_.find(entry.places)->bundles)
    if (kept.concern(bundle, -1)) return false;
  if (!groups_.place(entry.places, ledger_)) return false;
  entry.request.count = 0;
  effects.placed.push_back(entry.places);
  return true;
}

bool LeaseTable::grant_some(Waiting& entry, const Kept& kept, LeaseEffects& effects) {
  if (entry.places) return place_group(entry, kept, effects);
  bool granted = false;
  while (entry.request.count > 0) {
    auto grant = acquire(entry.request.shape, kept);
    if (!grant) break;
    granted = true;
    --entry.request.count;
    Lease lease{.id = ids_->next<LeaseId>(), .owner = entry.request.owner, .purpose = entry.request.purpose,
                .grant = std::move(*grant), .own_process = entry.request.own_process,
                .for_life = entry.request.for_life, .retriable = entry.request.retriable};
    effects.granted.push_back(lease);
    leases_.emplace(lease.id, std::move(lease));
  }
  return granted;
}

void LeaseTable::requeue(std::size_t index) {
  const auto place = waiting_.begin() + static_cast<std::ptrdiff_t>(index);
  const auto arrival = place->arrival;
  const auto group = place->request.shape.group;
  for (auto& other : waiting_)  // those that could have had it
    if (other.arrival < arrival && other.request.shape.group == group) ++other.passed_over;
  auto rest = std::move(*place);
  rest.passed_over = 0;
  rest.arrival = ++arrivals_;  // what it still wants counts as asked for now
  const auto next = waiting_.erase(place);
  if (rest.request.count) waiting_.insert(rest.request.nested ? next : waiting_.end(), std::move(rest));
}

void LeaseTable::grant_what_fits(LeaseEffects& effects) {
  auto starved = [](const Waiting& w) { return w.passed_over >= kMaxPassedOver; };
  std::stable_partition(waiting_.begin(), waiting_.end(), starved);
  Kept kept;
  for (std::size_t i = 0; i < waiting_.size();) {
    if (grant_some(waiting_[i], kept, effects)) {
      requeue(i);
    } else {
      if (starved(waiting_[i])) keep_for(waiting_[i], kept);
      ++i;
    }
  }
}

void LeaseTable::release(LeaseId lease, LeaseEffects& effects) {
  auto it = leases_.find(lease);
  if (it == leases_.end()) return;
  it->second.grant.amounts.group ? groups_.release(it->second.grant, ledger_) : ledger_.release(it->second.grant);
  leases_.erase(it);
  grant_what_fits(effects);
}

void LeaseTable::set_blocked(LeaseId lease, bool blocked, LeaseEffects& effects) {
  auto it = leases_.find(lease);
  if (it == leases_.end()) return;
  it->second.blocked = blocked;
  auto& grant = it->second.grant;
  if (grant.amounts.group)
    blocked ? groups_.lend_cpus(grant) : groups_.reclaim_cpus(grant);
  else
    blocked ? ledger_.lend_cpus(grant) : ledger_.reclaim_cpus(grant);
  if (blocked) grant_what_fits(effects);
}

std::vector<LeaseId> LeaseTable::drop_owner(ProcessId owner, LeaseEffects& effects) {
  std::erase_if(waiting_, [&](const Waiting& w) { return w.request.owner == owner; });
  std::vector<LeaseId> held;
  for (const auto& [id, lease] : leases_)
    if (lease.owner == owner) held.push_back(id);
  std::sort(held.begin(), held.end());
  grant_what_fits(effects);
  return held;
}

const Lease* LeaseTable::find(LeaseId lease) const {
  auto it = leases_.find(lease);
  return it == leases_.end() ? nullptr : &it->second;
}

}  // namespace manta::core
