#include "runtime/wire/resources_codec.hpp"

namespace manta::wire {

unsigned count(const Resources& resources) { return static_cast<unsigned>(std::distance(resources.begin(), resources.end())); }

void put(capnp::List<schema::Amount>::Builder out, const Resources& resources) {
  unsigned i = 0;
  for (const auto& [name, amount] : resources) {
    out[i].setName(as_text(name));
    out[i++].setRaw(amount.raw());
  }
}

Resources resources(const ListCheck& checked, capnp::List<schema::Amount>::Reader in) {
  Resources out;
  for (auto each : checked(in)) out.set(text(each.getName()), Amount::from_raw(each.getRaw()));
  return out;
}

void put(schema::Group::Builder out, const GroupInfo& group) {
  out.setId(group.spec.id.value);
  out.setName(as_text(group.spec.name));
  out.setStrategy(static_cast<std::uint8_t>(group.spec.strategy));
  out.setPlaced(group.placed);
  auto bundles = out.initBundles(static_cast<unsigned>(group.spec.bundles.size()));
  for (unsigned i = 0; i < bundles.size(); ++i) {
    const auto& bundle = group.spec.bundles[i];
    bundles[i].setCpus(bundle.cpus.raw());
    bundles[i].setGpus(bundle.gpus.raw());
    put(bundles[i].initCustom(count(bundle.custom)), bundle.custom);
  }
  auto free = out.initFree(static_cast<unsigned>(group.free.size()));
  for (unsigned i = 0; i < free.size(); ++i) put(free[i].initCustom(count(group.free[i])), group.free[i]);
}

GroupInfo group_info(const ListCheck& checked, schema::Group::Reader in) {
  if (in.getStrategy() > static_cast<std::uint8_t>(PlacementStrategy::kStrictSpread))
    throw ProtocolError("a placement strategy that this build does not know");
  GroupInfo group{.spec = {.id = {in.getId()}, .name = text(in.getName()), .strategy = static_cast<PlacementStrategy>(in.getStrategy())},
                  .placed = in.getPlaced()};
  for (auto each : checked(in.getBundles()))
    group.spec.bundles.push_back({.cpus = Amount::from_raw(each.getCpus()), .gpus = Amount::from_raw(each.getGpus()),
                                  .custom = resources(checked, each.getCustom())});
  for (auto each : checked(in.getFree())) group.free.push_back(resources(checked, each.getCustom()));
  return group;
}

void put(schema::LeaseInfo::Builder out, const LeaseInfo& lease) {
  out.setId(lease.id.value);
  out.setCpus(lease.cpus.raw());
  out.setLendIdleCpus(lease.lend_idle_cpus);
  auto ids = out.initGpuIds(static_cast<unsigned>(lease.gpu_ids.size()));
  for (unsigned i = 0; i < ids.size(); ++i) ids.set(i, lease.gpu_ids[i]);
}
LeaseInfo lease_info(schema::LeaseInfo::Reader in) {
  LeaseInfo lease{.id = {in.getId()}, .cpus = Amount::from_raw(in.getCpus())};
  for (int id : in.getGpuIds()) lease.gpu_ids.push_back(id);
  lease.lend_idle_cpus = in.getLendIdleCpus();
  return lease;
}

void put(schema::Method::Builder out, const Concurrency::Method& method) {
  out.setModule(method.module);
  out.setOffset(method.offset);
}
void put(schema::ConcurrencyGroup::Builder out, const Concurrency::Group& group) {
  out.setName(as_text(group.name));
  out.setLimit(group.limit);
  auto methods = out.initMethods(static_cast<unsigned>(group.methods.size()));
  for (unsigned i = 0; i < methods.size(); ++i) put(methods[i], group.methods[i]);
}
Concurrency concurrency(const ListCheck& checked, schema::CreateActor::Reader in) {
  Concurrency out{.limit = in.getMaxConcurrency(), .coroutines = in.getMaxCoroutines()};
  for (auto group : checked(in.getGroups())) {
    auto& made = out.groups.emplace_back(Concurrency::Group{.name = text(group.getName()), .limit = group.getLimit()});
    for (auto method : checked(group.getMethods())) made.methods.push_back({method.getModule(), method.getOffset()});
  }
  return out;
}

}  // namespace manta::wire
