#include "runtime/core/lease_table.hpp"

#include <algorithm>

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

void LeaseTable::want(const LeaseRequest& request, LeaseEffects& effects) {
  auto same = [&](const Waiting& w) { return w.request.owner == request.owner && w.request.purpose == request.purpose; };
  auto it = std::find_if(waiting_.begin(), waiting_.end(), same);
  if (it == waiting_.end()) {
    if (request.count)
      waiting_.insert(request.nested ? waiting_.begin() : waiting_.end(), {.request = request, .arrival = ++arrivals_});
  } else if (request.count) {
    it->request.count = request.count;
  } else {
    waiting_.erase(it);
  }
  grant_what_fits(effects);
}

bool LeaseTable::worth_waiting_for(const ResourceRequest& shape) const {
  auto later = ledger_;
  for (const auto& [id, lease] : leases_)
    if (!lease.for_life && !lease.blocked) later.release(lease.grant);
  return later.acquire(shape).has_value();
}

void LeaseTable::grant_what_fits(LeaseEffects& effects) {
  auto starved = [](const Waiting& w) { return w.passed_over >= kMaxPassedOver; };
  std::stable_partition(waiting_.begin(), waiting_.end(), starved);
  std::set<std::string> kept;  // resources that are kept for requests that were passed over too often
  for (std::size_t i = 0; i < waiting_.size();) {
    auto& entry = waiting_[i];
    bool granted = false;
    while (entry.request.count > 0 && !uses_any(entry.request.shape, kept)) {
      auto grant = ledger_.acquire(entry.request.shape);
      if (!grant) break;
      granted = true;
      --entry.request.count;
      Lease lease{.id = ids_->next<LeaseId>(), .owner = entry.request.owner, .purpose = entry.request.purpose,
                  .grant = std::move(*grant), .own_process = entry.request.own_process,
                  .for_life = entry.request.for_life};
      effects.granted.push_back(lease);
      leases_.emplace(lease.id, std::move(lease));
    }
    if (granted) {
      for (auto& other : waiting_)
        if (other.arrival < entry.arrival) ++other.passed_over;
      auto rest = entry;
      rest.passed_over = 0;
      rest.arrival = ++arrivals_;  // what it still wants counts as asked for now
      waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i));
      if (rest.request.count) waiting_.insert(rest.request.nested ? waiting_.begin() + static_cast<std::ptrdiff_t>(i) : waiting_.end(), rest);
    } else {
      if (starved(entry) && worth_waiting_for(entry.request.shape))
        kept.merge(ledger_.lacking(entry.request.shape));
      ++i;
    }
  }
}

void LeaseTable::release(LeaseId lease, LeaseEffects& effects) {
  auto it = leases_.find(lease);
  if (it == leases_.end()) return;
  ledger_.release(it->second.grant);
  leases_.erase(it);
  grant_what_fits(effects);
}

void LeaseTable::set_blocked(LeaseId lease, bool blocked, LeaseEffects& effects) {
  auto it = leases_.find(lease);
  if (it == leases_.end()) return;
  it->second.blocked = blocked;
  if (blocked)
    ledger_.lend_cpus(it->second.grant);
  else
    ledger_.reclaim_cpus(it->second.grant);
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
