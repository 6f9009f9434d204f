#include "runtime/core/ledger.hpp"

#include "runtime/base/error.hpp"

namespace manta::core {

namespace {

Resources merged(Amount cpus, Amount gpus, const Resources& custom) {
  Resources all = custom;
  all.set("CPU", cpus);
  all.set("GPU", gpus);
  return all;
}

}  // namespace

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
  auto gpus = *this;
  if (!gpus.pick_gpus(request.gpus)) names.insert("GPU");
  return names;
}

std::optional<std::vector<int>> ResourceLedger::pick_gpus(Amount amount) {
  std::vector<int> ids;
  if (amount == Amount(0)) return ids;
  if (amount < Amount(1)) {
    Gpu* best = nullptr;
    for (auto& gpu : gpus_)
      if (gpu.free >= amount && (!best || gpu.free < best->free)) best = &gpu;
    if (!best) return std::nullopt;
    best->free -= amount;
    return std::vector<int>{best->id};
  }
  const auto wanted = static_cast<std::size_t>(amount.raw() / Amount::kUnit);
  std::vector<Gpu*> whole;
  for (auto& gpu : gpus_)
    if (whole.size() < wanted && gpu.free == Amount(1)) whole.push_back(&gpu);
  if (whole.size() < wanted) return std::nullopt;
  for (auto* gpu : whole) gpu->free = Amount(0), ids.push_back(gpu->id);
  return ids;
}

std::optional<Grant> ResourceLedger::acquire(const ResourceRequest& request) {
  if (request.cpus > Amount(0) && request.cpus > cpus_free_) return std::nullopt;
  for (const auto& [name, amount] : request.custom)
    if (amount > custom_free_[name]) return std::nullopt;
  auto ids = pick_gpus(request.gpus);
  if (!ids) return std::nullopt;
  cpus_free_ -= request.cpus;
  for (const auto& [name, amount] : request.custom)
    if (amount > Amount(0)) custom_free_.set(name, custom_free_[name] - amount);
  return Grant{.amounts = request, .gpu_ids = std::move(*ids)};
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
