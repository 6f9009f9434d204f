#include "tune/resources.hpp"

#include <algorithm>

namespace manta::tune {

namespace {

void add(Resources& sum, const std::string& name, Amount amount) {
  if (amount.raw() != 0) sum.set(name, sum[name] + amount);
}

void add(Resources& sum, Amount cpus, Amount gpus, const Resources& custom) {
  add(sum, "CPU", cpus);
  add(sum, "GPU", gpus);
  for (const auto& [name, amount] : custom) add(sum, name, amount);
}

}  // namespace

Resources TrialResources::all() const {
  Resources sum;
  if (bundles.empty()) {
    add(sum, num_cpus, num_gpus, custom);
    for (const auto& [name, amount] : workers) add(sum, name, amount);
  }
  for (const Bundle& bundle : bundles) {
    add(sum, bundle.num_cpus, bundle.num_gpus, bundle.resources);
    if (bundle.memory_bytes) add(sum, "memory", bytes_as_amount(bundle.memory_bytes));
  }
  return sum;
}

bool TrialResources::operator==(const TrialResources& other) const {
  const auto same = [](const Bundle& a, const Bundle& b) {
    return a.num_cpus == b.num_cpus && a.num_gpus == b.num_gpus && a.memory_bytes == b.memory_bytes && a.resources == b.resources;
  };
  return num_cpus == other.num_cpus && num_gpus == other.num_gpus && custom == other.custom && workers == other.workers &&
         strategy == other.strategy && std::equal(bundles.begin(), bundles.end(), other.bundles.begin(), other.bundles.end(), same);
}

}  // namespace manta::tune
