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
  using Place = std::pair<GroupId, std::int32_t>;  // of the machine: {{}, -1}
  std::map<Place, std::set<std::string>> names{};
  std::map<Place, ResourceLedger> later{};  // what there will be: as asked for the first time
  bool for_groups = false;                  // what is kept for one may change with each grant
  struct Asked {
    const Waiting* entry;
    std::size_t grants;  // that there had been
  };
  std::vector<Asked> asked{};  // no two alike
  std::size_t grants = 0;      // of this pass: each may leave an earlier one lacking more
  bool full() const { return asked.size() >= kMostKeptFor; }
  bool concern(const ResourceRequest& shape, std::int32_t bundle) const {
    if (names.empty()) return false;
    auto it = names.find({shape.group, bundle});
    return it != names.end() && uses_any(shape, it->second);
  }
};

void LeaseTable::want(const LeaseRequest& request, LeaseEffects& effects) {
  const auto known = wanted_.find({request.owner, request.purpose});
  if (request.count && request.shape.group && !groups_.find(request.shape.group)) {
    effects.refused.push_back({request.owner, request.purpose, request.shape.group});
  } else if (const auto why = request.count ? why_lost(request.shape) : std::string(); !why.empty()) {
    effects.refused.push_back({request.owner, request.purpose, {}, why});
  } else if (known == wanted_.end()) {
    if (request.count) return enter({.request = request, .arrival = ++arrivals_}, effects);
  } else if (request.count) {
    known->second->request.count = request.count;
  } else {
    if (starved(*known->second)) settled_ = false;  // nothing is kept for it any more
    leave(known->second);
  }
  if (!settled_) grant_what_fits(effects);
}

/// One that has just come gets what it can have, and waits for the rest.
void LeaseTable::enter(Waiting entry, LeaseEffects& effects) {
  starved_first();
  auto place = waiting_.end();
  if (entry.request.nested) place = std::find_if(waiting_.begin(), waiting_.end(), [this](const Waiting& each) { return !starved(each); });
  if (!settled_ && !waiting_.empty()) {
    insert(place, std::move(entry));
    return grant_what_fits(effects);
  }
  Kept kept;
  for (auto each = waiting_.begin(); each != waiting_.end() && starved(*each) && !kept.full(); ++each) keep_for(*each, kept);
  if (grant_some(entry, kept, effects)) {
    passes_over(entry, waiting_.end());
    if (entry.request.for_life || kept.for_groups) unsettle(kept);
    entry.arrival = ++arrivals_;
  }
  if (entry.request.count) insert(place, std::move(entry));
  if (!settled_) grant_what_fits(effects);
}

/// What is held for life does not come back: nothing may be kept any more for one that hoped for it, and a group may be there.
void LeaseTable::unsettle(Kept& kept) {
  settled_ = false;
  kept.later.clear();
}

/// What it needs of the machine, for certain.
Resources LeaseTable::needs_of(const Waiting& entry) const {
  if (!entry.places) return entry.request.shape.group ? Resources() : entry.request.shape.all();
  Resources sum;
  for (const auto& bundle : entry.spec->bundles)
    for (const auto& [name, amount] : bundle.all()) sum.set(name, sum[name] + amount);
  return sum;
}

LeaseTable::Line::iterator LeaseTable::insert(Line::iterator before, Waiting entry) {
  const auto place = waiting_.insert(before, std::move(entry));
  demands_.add(needs_of(*place));
  if (!place->places) wanted_[{place->request.owner, place->request.purpose}] = place;
  return place;
}

LeaseTable::Line::iterator LeaseTable::leave(Line::iterator place) {
  demands_.remove(needs_of(*place));
  if (!place->places) wanted_.erase({place->request.owner, place->request.purpose});
  return waiting_.erase(place);
}

/// A pass is to follow: nothing is kept any more for those that leave.
template <class Predicate>
void LeaseTable::leave_if(Predicate&& predicate) {
  for (auto each = waiting_.begin(); each != waiting_.end();) each = predicate(*each) ? leave(each) : std::next(each);
}

bool LeaseTable::wants(ProcessId owner, Purpose purpose) const { return wanted_.contains({owner, purpose}); }

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
  leave_if([&](const Waiting& each) {
    const auto why = each.places ? std::string() : why_lost(each.request.shape);  // a group is removed as a whole
    if (!why.empty()) effects.refused.push_back({each.request.owner, each.request.purpose, {}, why});
    return !why.empty();
  });
  std::vector<LeaseId> holders;
  for (const auto& [lease, held] : leases_)
    if (std::find(held.grant.gpu_ids.begin(), held.grant.gpu_ids.end(), id) != held.grant.gpu_ids.end()) holders.push_back(lease);
  std::sort(holders.begin(), holders.end());
  grant_what_fits(effects);  // what was kept for those that are refused
  return holders;
}

bool LeaseTable::add_group(const PlacementSpec& spec, LeaseEffects& effects) {
  if (!groups_.add(spec)) return false;
  Waiting entry;
  entry.request.owner = spec.owner;
  entry.request.for_life = true;
  entry.arrival = ++arrivals_;
  entry.places = spec.id;
  entry.spec = groups_.find(spec.id);
  enter(std::move(entry), effects);
  return true;
}

std::vector<LeaseId> LeaseTable::remove_group(GroupId group, LeaseEffects& effects) {
  if (!groups_.find(group)) return {};
  for (const auto& each : waiting_)
    if (each.request.shape.group == group) effects.refused.push_back({each.request.owner, each.request.purpose, group});
  leave_if([&](const Waiting& each) { return each.places == group || each.request.shape.group == group; });
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

/// They need the same: what is kept for one is kept for the other.
bool LeaseTable::alike(const Waiting& one, const Waiting& other) {
  if (one.spec && other.spec) return one.spec->strategy == other.spec->strategy && one.spec->bundles == other.spec->bundles;
  return one.spec == other.spec && one.request.shape == other.request.shape;
}

void LeaseTable::keep_for(const Waiting& entry, Kept& kept) const {
  const auto known = std::find_if(kept.asked.begin(), kept.asked.end(), [&entry](const auto& each) { return alike(*each.entry, entry); });
  if (known != kept.asked.end()) {
    if (std::exchange(known->grants, kept.grants) == kept.grants) return;
  } else {
    if (kept.full()) return;
    kept.asked.push_back({&entry, kept.grants});
  }
  const auto& shape = entry.request.shape;
  auto then = [&](GroupId group, std::int32_t bundle) {
    const auto known = kept.later.find({group, bundle});
    return known != kept.later.end() ? known->second : kept.later.emplace(Kept::Place(group, bundle), later(group, bundle)).first->second;
  };
  auto keep = [&](const ResourceLedger& now, std::int32_t bundle) {
    if (then(shape.group, bundle).acquire(shape)) kept.names[{shape.group, bundle}].merge(now.lacking(shape));
  };
  if (entry.places) {
    const auto& bundles = entry.spec->bundles;
    if (PlacementTable::needs_more_machines(entry.spec->strategy, bundles)) return;  // nothing that comes back helps it
    auto free = then({}, -1);
    if (!free.acquire_all(bundles)) return;
    kept.for_groups = true;
    auto now = ledger_;
    for (const auto& bundle : bundles)
      if (!now.acquire(bundle)) kept.names[{GroupId{}, -1}].merge(now.lacking(bundle));
  } else if (!shape.group) {
    keep(ledger_, -1);
  } else if (groups_.placed(shape.group)) {
    for (std::int32_t i = 0; i < static_cast<std::int32_t>(groups_.find(shape.group)->bundles.size()); ++i)
      if (shape.bundle < 0 || shape.bundle == i) keep(groups_.bundle(shape.group, i), i);
  }
}

/// Nobody who waits can do without what is kept for others.
bool LeaseTable::keeps_all(const Kept& kept) const {
  const auto of_machine = kept.names.find({GroupId{}, -1});
  return of_machine != kept.names.end() &&
         std::any_of(of_machine->second.begin(), of_machine->second.end(), [this](const auto& name) { return demands_.all_need(name); });
}

std::optional<Grant> LeaseTable::acquire(const ResourceRequest& shape, const Kept& kept) {
  if (shape.group) return groups_.acquire(shape, [&](std::int32_t bundle) { return !kept.concern(shape, bundle); });
  return kept.concern(shape, -1) ? std::nullopt : ledger_.acquire(shape);
}

bool LeaseTable::place_group(Waiting& entry, const Kept& kept, LeaseEffects& effects) {
  for (const auto& bundle : entry.spec->bundles)
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

/// Those before `end` that could have had what it got.
void LeaseTable::passes_over(const Waiting& granted, Line::const_iterator end) {
  for (auto other = waiting_.begin(); other != end; ++other)
    if (other->arrival < granted.arrival && other->request.shape.group == granted.request.shape.group)
      unsorted_ |= ++other->passed_over == kMaxPassedOver;
}

/// After it got something. What is to be looked at next.
LeaseTable::Line::iterator LeaseTable::requeue(Line::iterator place) {
  const bool was_starved = starved(*place);
  const bool in_order = !place->request.nested && !was_starved;  // all behind it came later
  passes_over(*place, in_order ? place : waiting_.end());
  auto rest = *place;
  rest.passed_over = 0;
  rest.arrival = ++arrivals_;  // what it still wants counts as asked for now
  const auto next = leave(place);
  if (!rest.request.count) return next;
  const bool goes_on = rest.request.nested || next == waiting_.end();
  unsorted_ |= rest.request.nested && was_starved;
  const auto again = insert(rest.request.nested ? next : waiting_.end(), std::move(rest));
  return goes_on ? again : next;
}

void LeaseTable::starved_first() {
  if (!std::exchange(unsorted_, false)) return;
  Line first;
  for (auto each = waiting_.begin(); each != waiting_.end();) {
    const auto next = std::next(each);
    if (starved(*each)) first.splice(first.end(), waiting_, each);
    each = next;
  }
  waiting_.splice(waiting_.begin(), first);
}

bool LeaseTable::group_is_starved() {
  starved_first();
  const auto found = std::find_if(waiting_.begin(), waiting_.end(), [this](const Waiting& each) { return each.places || !starved(each); });
  return found != waiting_.end() && starved(*found);
}

/// Passes over all that wait until none of them can have anything: when a group was placed, or less will come back than was hoped for, one
/// that was looked at before may have something now.
void LeaseTable::grant_what_fits(LeaseEffects& effects) {
  do {
    settled_ = true;
    pass(effects);
  } while (!settled_ && !waiting_.empty());
}

void LeaseTable::pass(LeaseEffects& effects) {
  starved_first();
  Kept kept;
  bool nothing_left = !waiting_.empty() && demands_.exceed(ledger_.available());
  for (auto each = waiting_.begin(); each != waiting_.end() && !nothing_left;) {
    if (grant_some(*each, kept, effects)) {
      ++kept.grants;
      if (each->request.for_life) unsettle(kept);
      each = requeue(each);
      nothing_left = !waiting_.empty() && demands_.exceed(ledger_.available());
    } else {
      if (starved(*each)) {
        keep_for(*each, kept);
        nothing_left = keeps_all(kept);
      }
      ++each;
    }
  }
  // Those that the grants made starved may stand before one that something was kept for, and be one too many for that.
  if (kept.grants && (kept.for_groups || unsorted_)) settled_ = false;
}

void LeaseTable::release(LeaseId lease, LeaseEffects& effects) {
  auto it = leases_.find(lease);
  if (it == leases_.end()) return;
  it->second.grant.amounts.group ? groups_.release(it->second.grant, ledger_) : ledger_.release(it->second.grant);
  leases_.erase(it);
  grant_what_fits(effects);
}

void LeaseTable::release_all_but_gpus(LeaseId lease, LeaseEffects& effects) {
  auto it = leases_.find(lease);
  if (it == leases_.end()) return;
  auto& grant = it->second.grant;
  grant.amounts.group ? groups_.release_all_but_gpus(grant) : ledger_.release_all_but_gpus(grant);
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
  // What an actor takes back nobody may hope for; and when less is free, a bundle of a group gets nothing and leaves more to the others.
  if (blocked || it->second.for_life || group_is_starved()) grant_what_fits(effects);
}

std::vector<LeaseId> LeaseTable::drop_owner(ProcessId owner, LeaseEffects& effects) {
  leave_if([&](const Waiting& each) { return each.request.owner == owner; });
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
