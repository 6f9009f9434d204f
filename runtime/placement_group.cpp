#include "runtime/client.hpp"

namespace manta {

PlacementGroup Client::placement_group(PlacementGroupOptions options) {
  auto made = engine_->place_group(std::make_shared<const PlacementGroupOptions>(std::move(options)));
  return {made.id, std::move(made.options), std::move(made.placed)};
}

ObjectRef<void> Client::ready(const PlacementGroup& group) {
  if (!group) throw InvalidArgument("an empty PlacementGroup is never ready: assign one that placement_group returned");
  const auto& placed = group.placed_;
  if (placed && (!placed->settled() || placed->failed())) return ObjectRef<void>(placed);
  // One that was placed may have been removed since, by whoever has a copy of the handle. The node knows.
  return ObjectRef<void>(engine_->watch_group(group.id_));
}

bool Client::wait_for(const PlacementGroup& group, Deadline deadline) {
  const bool was_placed = group.placed_ && group.placed_->settled() && !group.placed_->failed();
  const auto cell = ready(group).cell();
  if (!engine_->wait(*cell, deadline)) return was_placed;  // the node has not said yet that it was removed since
  if (cell->failed()) throw_error(*cell->error());
  return true;
}

void Client::remove(const PlacementGroup& group) {
  if (group) engine_->remove_group(group.id_);
}

PlacementGroup Client::find_placement_group(const std::string& name) {
  if (name.empty()) throw InvalidArgument("find_placement_group needs a name");
  auto found = engine_->find_groups(name);
  if (!found.empty()) return {found[0].id, std::move(found[0].options), nullptr};
  std::string names;
  for (const auto& each : engine_->find_groups({}))
    if (!each.options->name.empty()) names += " " + each.options->name;
  throw NotFound("no placement group has the name " + name + "; there are" + (names.empty() ? " none with a name" : ":" + names));
}

std::vector<PlacementGroup> Client::placement_groups() {
  std::vector<PlacementGroup> all;
  for (auto& each : engine_->find_groups({})) all.push_back({each.id, std::move(each.options), nullptr});
  return all;
}

std::string detail::describe_group(GroupId group, const std::string& name) {
  return "placement group " + (name.empty() ? "" : name + " ") + "#" + std::to_string(group.value & 0xffffffffffull);
}

}  // namespace manta
