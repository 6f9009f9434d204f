#include "runtime/core/placement_table.hpp"

#include <algorithm>

#include "runtime/base/error.hpp"

namespace manta::core {

bool PlacementTable::fits(const ResourceRequest& bundle, const ResourceRequest& request) {
  return request.cpus <= bundle.cpus && request.gpus <= bundle.gpus &&
         std::all_of(request.custom.begin(), request.custom.end(), [&](const auto& each) { return each.second <= bundle.custom[each.first]; });
}

bool PlacementTable::needs_more_machines(PlacementStrategy strategy, const std::vector<ResourceRequest>& bundles) {
  return strategy == PlacementStrategy::kStrictSpread && bundles.size() > 1;
}

namespace {
/// Of bundles that do not fit: by their sums they would.
bool gpus_are_split(const ResourceLedger& machine, const std::vector<ResourceRequest>& bundles) {
  Amount gpus;
  auto others = bundles;
  for (auto& each : others) gpus += std::exchange(each.gpus, Amount(0));
  auto rest = machine;
  return gpus <= machine.total()["GPU"] && rest.acquire_all(others);
}
}  // namespace

std::string PlacementTable::why_infeasible(ResourceLedger machine, PlacementStrategy strategy, const std::vector<ResourceRequest>& bundles) {
  if (needs_more_machines(strategy, bundles))
    return std::to_string(bundles.size()) + " bundles, each on a machine of its own, and there is one machine: use kSpread or kPack";
  for (std::size_t i = 0; i < bundles.size(); ++i)
    if (auto why = machine.why_infeasible(bundles[i]); !why.empty()) return "bundle " + std::to_string(i) + ": " + why;
  if (machine.acquire_all(bundles)) return {};
  return "its " + std::to_string(bundles.size()) + " bundles do not fit on this machine together, which has " + machine.total().to_string() +
         " in all" + (gpus_are_split(machine, bundles) ? ", as a fraction of a GPU must lie on one GPU" : "") +
         ": ask for less, or start the runtime with more";
}

bool PlacementTable::add(const PlacementSpec& spec) {
  if (!spec.name.empty() && find(spec.name)) return false;
  return groups_.try_emplace(spec.id, Group{.spec = spec}).second;
}

bool PlacementTable::place(GroupId id, ResourceLedger& machine) {
  auto it = groups_.find(id);
  if (it == groups_.end() || it->second.state != PlacementState::kWaiting) return false;
  const auto& spec = it->second.spec;
  if (needs_more_machines(spec.strategy, spec.bundles)) return false;
  auto grants = machine.acquire_all(spec.bundles);
  if (!grants) return false;
  for (auto& grant : *grants) {
    auto ledger = ResourceLedger::within(grant);
    it->second.bundles.push_back({.grant = std::move(grant), .ledger = std::move(ledger), .held = true});
  }
  it->second.state = PlacementState::kPlaced;
  return true;
}

std::optional<Grant> PlacementTable::acquire(const ResourceRequest& request, const std::function<bool(std::int32_t bundle)>& allowed) {
  auto it = groups_.find(request.group);
  if (it == groups_.end() || it->second.state != PlacementState::kPlaced) return std::nullopt;
  auto& bundles = it->second.bundles;
  for (std::int32_t i = 0; i < static_cast<std::int32_t>(bundles.size()); ++i) {
    if ((request.bundle >= 0 && request.bundle != i) || !allowed(i)) continue;
    auto& bundle = bundles[static_cast<std::size_t>(i)];
    auto grant = bundle.ledger.acquire(request);
    if (!grant) continue;
    grant->bundle = i;
    ++bundle.leases;
    return grant;
  }
  return std::nullopt;
}

PlacementTable::BundleState* PlacementTable::used(const Grant& grant) {
  auto it = groups_.find(grant.amounts.group);
  MANTA_CHECK(it != groups_.end() && grant.bundle >= 0 && static_cast<std::size_t>(grant.bundle) < it->second.bundles.size());
  return &it->second.bundles[static_cast<std::size_t>(grant.bundle)];
}

void PlacementTable::release(const Grant& grant, ResourceLedger& machine) {
  auto& bundle = *used(grant);
  bundle.ledger.release(grant);
  --bundle.leases;
  const auto id = grant.amounts.group;
  if (groups_.at(id).state != PlacementState::kRemoved) return;
  give_back_if_unused(bundle, machine);
  forget_if_empty(id);
}

void PlacementTable::release_all_but_gpus(Grant& grant) { used(grant)->ledger.release_all_but_gpus(grant); }
void PlacementTable::lend_cpus(Grant& grant) { used(grant)->ledger.lend_cpus(grant); }
void PlacementTable::reclaim_cpus(Grant& grant) { used(grant)->ledger.reclaim_cpus(grant); }

void PlacementTable::lose_gpu(int id) {
  for (auto& [group, state] : groups_)
    for (auto& bundle : state.bundles) bundle.ledger.lose_gpu(id);
}

void PlacementTable::give_back_if_unused(BundleState& bundle, ResourceLedger& machine) {
  if (bundle.leases == 0 && std::exchange(bundle.held, false)) machine.release(bundle.grant);
}

void PlacementTable::forget_if_empty(GroupId id) {
  const auto& bundles = groups_.at(id).bundles;
  if (std::none_of(bundles.begin(), bundles.end(), [](const BundleState& each) { return each.held; })) groups_.erase(id);
}

void PlacementTable::remove(GroupId id, ResourceLedger& machine) {
  auto it = groups_.find(id);
  if (it == groups_.end()) return;
  it->second.state = PlacementState::kRemoved;
  for (auto& bundle : it->second.bundles) give_back_if_unused(bundle, machine);
  forget_if_empty(id);
}

const PlacementTable::Group* PlacementTable::living(GroupId id) const {
  auto it = groups_.find(id);
  return it == groups_.end() || it->second.state == PlacementState::kRemoved ? nullptr : &it->second;
}

const PlacementSpec* PlacementTable::find(GroupId id) const {
  const auto* group = living(id);
  return group ? &group->spec : nullptr;
}

const PlacementSpec* PlacementTable::find(const std::string& name) const {
  for (const auto& [id, group] : groups_)
    if (group.spec.name == name && group.state != PlacementState::kRemoved) return &group.spec;
  return nullptr;
}

bool PlacementTable::placed(GroupId id) const {
  const auto* group = living(id);
  return group && group->state == PlacementState::kPlaced;
}

const ResourceLedger& PlacementTable::bundle(GroupId id, std::int32_t index) const {
  return groups_.at(id).bundles.at(static_cast<std::size_t>(index)).ledger;
}

std::vector<GroupId> PlacementTable::all() const {
  std::vector<GroupId> ids;
  for (const auto& [id, group] : groups_)
    if (group.state != PlacementState::kRemoved) ids.push_back(id);
  return ids;
}

}  // namespace manta::core
