#include "runtime/core/ledger.hpp"

#include <algorithm>

#include "runtime/base/error.hpp"

namespace manta::core {

namespace {

Resources merged(Amount cpus, Amount gpus, const Resources& custom) {
  Resources all = custom;
  all.set("CPU", cpus);
  all.set("GPU", gpus);
  return all;
}

/// Places one share after the other, and takes back the last ones where the rest does not fit.
class Packing {
 public:
  Packing(std::vector<Amount> free, const std::vector<Amount>& shares) : free_(std::move(free)), shares_(shares), places_(shares.size()) {}

  bool place(std::size_t first) {
    if (first == shares_.size()) return true;
    if (dead_ends_.contains(state_at(first))) return false;
    if (place_one(first)) return true;
    if (steps_ > 0) dead_ends_.insert(state_at(first));
    return false;
  }
  std::vector<std::size_t> places() && { return std::move(places_); }

 private:
  using State = std::pair<std::size_t, std::vector<Amount>>;
  /// Which GPU has how much is the same to the shares that are left.
  State state_at(std::size_t first) const {
    State state(first, free_);
    std::sort(state.second.begin(), state.second.end());
    return state;
  }
  bool place_one(std::size_t first) {
    const auto share = shares_[first];
    std::vector<std::size_t> gpus;  // the fullest first; of equally full ones one is as good as the other
    for (std::size_t i = 0; i < free_.size(); ++i)
      if (free_[i] >= share && std::none_of(gpus.begin(), gpus.end(), [&](auto other) { return free_[other] == free_[i]; })) gpus.push_back(i);
    std::sort(gpus.begin(), gpus.end(), [&](auto a, auto b) { return free_[a] < free_[b]; });
    for (const auto gpu : gpus) {
      if (steps_-- == 0) return false;
      places_[first] = gpu;
      const bool filled = free_[gpu] == share;  // nothing else can use that room better
      free_[gpu] -= share;
      if (place(first + 1)) return true;
      free_[gpu] += share;
      if (filled || steps_ <= 0) return false;
    }
    return false;
  }
  static constexpr int kSteps = 2000;  ///< less than a millisecond: groups that wait ask again whenever something is given back
  std::vector<Amount> free_;
  const std::vector<Amount>& shares_;
  std::vector<std::size_t> places_;
  std::set<State> dead_ends_{};
  int steps_ = kSteps;
};

}  // namespace

std::optional<std::vector<std::size_t>> pack_shares(std::vector<Amount> free, const std::vector<Amount>& shares) {
  if (shares.empty()) return std::vector<std::size_t>{};
  Amount all, usable;
  for (const auto share : shares) all += share;
  for (const auto each : free)
    if (each >= shares.back()) usable += each;
  if (all > usable) return std::nullopt;
  Packing packing(std::move(free), shares);
  if (!packing.place(0)) return std::nullopt;
  return std::move(packing).places();
}

Resources ResourceRequest::all() const { return merged(cpus, gpus, custom); }

std::string ResourceRequest::to_string() const {
  Resources some;
  for (const auto& [name, amount] : all())
    if (amount != Amount(0)) some.set(name, amount);
  return some.to_string();
}

ResourceLedger::ResourceLedger(Amount cpus, std::vector<int> gpu_ids, Resources custom)
    : cpus_total_(cpus), cpus_free_(cpus), custom_total_(custom), custom_free_(std::move(custom)) {
  for (int id : gpu_ids) gpus_.push_back({id, Amount(1), Amount(1)});
}

ResourceLedger ResourceLedger::within(const Grant& grant) {
  ResourceLedger ledger(grant.amounts.cpus, {}, grant.amounts.custom);
  const Amount each = grant.amounts.gpus < Amount(1) ? grant.amounts.gpus : Amount(1);
  for (int id : grant.gpu_ids) ledger.gpus_.push_back({id, each, each});
  return ledger;
}

std::string ResourceLedger::why_infeasible(const ResourceRequest& request) const {
  const auto all = total();
  auto too_much = [&](const std::string& name, Amount wanted) {
    return "it needs " + amount_text(name, wanted) + ", and this machine has " + all[name].to_string() +
           " in all (" + all.to_string() + "): ask for less, or start the runtime with more";
  };
  if (request.cpus > all["CPU"]) return too_much("CPU", request.cpus);
  if (request.gpus > all["GPU"]) return too_much("GPU", request.gpus);
  for (const auto& [name, amount] : request.custom)
    if (amount > custom_total_[name]) return too_much(name, amount);
  return {};
}

std::set<std::string> ResourceLedger::lacking(const ResourceRequest& request) const {
  std::set<std::string> names;
  if (request.cpus > Amount(0) && request.cpus > cpus_free_) names.insert("CPU");
  for (const auto& [name, amount] : request.custom)
    if (amount > custom_free_[name]) names.insert(name);
  if (!pick_gpus(request.gpus)) names.insert("GPU");
  return names;
}

std::optional<std::vector<int>> ResourceLedger::pick_gpus(Amount amount) const {
  if (amount == Amount(0)) return std::vector<int>{};
  if (amount < Amount(1)) {
    const Gpu* best = nullptr;
    for (const auto& gpu : gpus_)
      if (gpu.free >= amount && (!best || gpu.free < best->free)) best = &gpu;
    if (!best) return std::nullopt;
    return std::vector<int>{best->id};
  }
  const auto wanted = static_cast<std::size_t>(amount.raw() / Amount::kUnit);
  std::vector<int> whole;
  for (const auto& gpu : gpus_)
    if (whole.size() < wanted && gpu.free == Amount(1)) whole.push_back(gpu.id);
  if (whole.size() < wanted) return std::nullopt;
  return whole;
}

std::optional<std::vector<std::vector<int>>> ResourceLedger::pick_gpus(const std::vector<const ResourceRequest*>& requests) const {
  std::vector<std::vector<int>> ids(requests.size());
  auto rest = *this;
  std::vector<Amount> shares;
  std::size_t at = 0;
  for (; at < requests.size() && requests[at]->gpus >= Amount(1); ++at) {  // which ones it is makes no difference
    auto whole = rest.pick_gpus(requests[at]->gpus);
    if (!whole) return std::nullopt;
    ids[at] = rest.take({.gpus = requests[at]->gpus}, std::move(*whole)).gpu_ids;
  }
  for (auto i = at; i < requests.size() && requests[i]->gpus > Amount(0); ++i) shares.push_back(requests[i]->gpus);
  std::vector<Amount> free;
  for (const auto& gpu : rest.gpus_) free.push_back(gpu.free);
  const auto packed = pack_shares(std::move(free), shares);
  if (!packed) return std::nullopt;
  for (std::size_t i = 0; i < packed->size(); ++i) ids[at + i] = {rest.gpus_[(*packed)[i]].id};
  return ids;
}

bool ResourceLedger::has_room(const ResourceRequest& request) const {
  if (request.cpus > Amount(0) && request.cpus > cpus_free_) return false;
  return std::all_of(request.custom.begin(), request.custom.end(), [&](const auto& each) { return each.second <= custom_free_[each.first]; });
}

Grant ResourceLedger::take(const ResourceRequest& request, std::vector<int> gpu_ids) {
  cpus_free_ -= request.cpus;
  for (const auto& [name, amount] : request.custom)
    if (amount > Amount(0)) custom_free_.set(name, custom_free_[name] - amount);
  const Amount each = std::min(request.gpus, Amount(1));
  for (const int id : gpu_ids)
    for (auto& gpu : gpus_)
      if (gpu.id == id) gpu.free -= each;
  return Grant{.amounts = request, .gpu_ids = std::move(gpu_ids)};
}

std::optional<Grant> ResourceLedger::acquire(const ResourceRequest& request) {
  if (!has_room(request)) return std::nullopt;
  auto ids = pick_gpus(request.gpus);
  if (!ids) return std::nullopt;
  return take(request, std::move(*ids));
}

std::optional<std::vector<Grant>> ResourceLedger::acquire_all(const std::vector<ResourceRequest>& requests) {
  std::vector<const ResourceRequest*> order;
  for (const auto& request : requests) order.push_back(&request);
  std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) { return a->gpus > b->gpus; });
  std::vector<Grant> grants(requests.size());
  /// False, and nothing taken, when one has no room.
  const auto take_each = [&](const auto& gpus_of) {
    for (std::size_t taken = 0; taken < order.size(); ++taken) {
      auto ids = has_room(*order[taken]) ? gpus_of(taken) : std::nullopt;
      if (!ids) {
        while (taken-- > 0) release(grants[static_cast<std::size_t>(order[taken] - requests.data())]);
        return false;
      }
      grants[static_cast<std::size_t>(order[taken] - requests.data())] = take(*order[taken], std::move(*ids));
    }
    return true;
  };
  // The largest shares first, each to the fullest GPU that has room for it: that is quick, but where it fails no proof that there is no way.
  bool of_gpus = false;
  if (take_each([&](std::size_t i) {
        auto ids = pick_gpus(order[i]->gpus);
        of_gpus = of_gpus || !ids;
        return ids;
      }))
    return grants;
  const auto picked = of_gpus ? pick_gpus(order) : std::nullopt;
  if (!picked || !take_each([&](std::size_t i) { return std::optional((*picked)[i]); })) return std::nullopt;
  return grants;
}

void ResourceLedger::release(const Grant& grant) {
  if (!grant.cpus_lent) cpus_free_ += grant.amounts.cpus;
  for (const auto& [name, amount] : grant.amounts.custom)
    if (amount > Amount(0)) custom_free_.set(name, custom_free_[name] + amount);
  const Amount each = grant.amounts.gpus < Amount(1) ? grant.amounts.gpus : Amount(1);
  for (int id : grant.gpu_ids)
    for (auto& gpu : gpus_)
      if (gpu.id == id) gpu.free += each;
  MANTA_CHECK(cpus_free_ <= cpus_total_);
}

void ResourceLedger::release_all_but_gpus(Grant& grant) {
  auto rest = grant;
  rest.amounts.gpus = {};
  rest.gpu_ids.clear();
  release(rest);
  grant.amounts.cpus = {};
  grant.amounts.custom = {};
  grant.cpus_lent = false;
}

void ResourceLedger::lend_cpus(Grant& grant) {
  if (!std::exchange(grant.cpus_lent, true)) cpus_free_ += grant.amounts.cpus;
}

void ResourceLedger::reclaim_cpus(Grant& grant) {
  if (std::exchange(grant.cpus_lent, false)) cpus_free_ -= grant.amounts.cpus;
}

void ResourceLedger::lose_gpu(int id) {
  std::erase_if(gpus_, [id](const Gpu& gpu) { return gpu.id == id; });
}

Resources ResourceLedger::total() const {
  Amount gpus;
  for (const auto& gpu : gpus_) gpus += gpu.all;
  return merged(cpus_total_, gpus, custom_total_);
}

Resources ResourceLedger::available() const {
  Amount gpus;
  for (const auto& gpu : gpus_) gpus += gpu.free;
  return merged(cpus_free_, gpus, custom_free_);
}

}  // namespace manta::core
