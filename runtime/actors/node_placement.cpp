// The node's placement groups: the messages about them, and what their removal ends.
#include <algorithm>

#include "runtime/actors/node.hpp"
#include "runtime/engine.hpp"

namespace manta::detail {

namespace {

ErrorInfo vanished(const std::string& why) {
  return {.code = ErrorCode::kInfeasibleResources, .message = "a GPU of this machine has vanished: " + why};
}

}  // namespace

ErrorInfo Node::gone(GroupId group, const std::string& name) const {
  const auto maker = maker_of(group.value);
  const auto process = processes_.find(maker);
  const bool orphan = maker != kNodeProcess && (process == processes_.end() || process->second.ended);
  return {.code = ErrorCode::kCancelled,
          .message = describe_group(group, name) + (orphan ? " has been removed, as the process that made it has ended," : " has been removed,") +
                     " and what was placed in it has ended with it" + (orphan ? ": make another group where it is to last, say in the driver"
                                                                              : " (or it is of another Runtime of this program): make another group"),
          .where = describe_group(group, name)};
}

void Node::on(const wire::PlaceGroup& message, ProcessId from) {
  auto spec = message.group.spec;
  spec.owner = from;
  if (stopping_ || maker_of(spec.id.value) != from) return;
  for (const auto& bundle : spec.bundles)
    for (const auto& [name, amount] : bundle.all())
      if (amount < Amount(0)) return;
  if (const auto why = table_.why_lost(spec); !why.empty()) return router_.send(from, wire::GroupPlaced{spec.id, vanished(why)});
  if (table_.add_group(spec, effects_)) return group_watchers_[spec.id].push_back(from);
  router_.send(from, wire::GroupPlaced{spec.id, ErrorInfo{.code = ErrorCode::kInvalidArgument,
                                                          .message = "there is a placement group of the name " + spec.name + " already"}});
}

void Node::on(const wire::WatchGroup& message, ProcessId from) {
  if (!table_.groups().find(message.group))
    router_.send(from, wire::GroupPlaced{message.group, gone(message.group, {})});
  else if (table_.groups().placed(message.group))
    router_.send(from, wire::GroupPlaced{message.group});
  else if (auto& watchers = group_watchers_[message.group]; std::find(watchers.begin(), watchers.end(), from) == watchers.end())
    watchers.push_back(from);
}

void Node::on(const wire::FindGroups& message, ProcessId from) {
  const auto& table = table_.groups();
  wire::Groups found{.request = message.request};
  auto add = [&](const core::PlacementSpec& spec) {
    auto& group = found.groups.emplace_back(wire::GroupInfo{.spec = spec, .placed = table.placed(spec.id)});
    for (std::size_t i = 0; group.placed && i < spec.bundles.size(); ++i)
      group.free.push_back(table.bundle(spec.id, static_cast<std::int32_t>(i)).available());
  };
  if (message.name.empty()) {
    for (auto id : table.all()) add(*table.find(id));
  } else if (const auto* spec = table.find(message.name)) {
    add(*spec);
  }
  router_.send(from, std::move(found));
}

void Node::remove_group(GroupId group, std::optional<ErrorInfo> why) {
  const auto* spec = table_.groups().find(group);
  if (!spec) return;
  if (why) why->where = describe_group(group, spec->name);
  const auto error = why ? *why : gone(group, spec->name);
  std::set<ProcessId> concerned{spec->owner};
  for (auto lease : table_.remove_group(group, effects_)) concerned.insert(table_.find(lease)->owner);
  for (auto process : concerned) router_.send(process, wire::GroupRemoved{group, error});
  tell_watchers(group, error);
}

void Node::tell_watchers(GroupId group, const std::optional<ErrorInfo>& error) {
  auto it = group_watchers_.find(group);
  if (it == group_watchers_.end()) return;
  for (auto process : it->second) router_.send(process, wire::GroupPlaced{group, error});
  group_watchers_.erase(it);
}

void Node::tell(const core::LeaseEffects& effects) {
  if (!effects.placed.empty()) publish_available();  // who hears that a group is placed sees what is left
  for (auto group : effects.placed)
    if (table_.groups().placed(group)) tell_watchers(group, std::nullopt);
  for (const auto& refused : effects.refused)
    router_.send(refused.owner,
                 wire::LeaseRefused{.purpose = refused.purpose,
                                    .error = refused.why.empty() ? gone(refused.group, {}) : vanished(refused.why)});
  for (const auto& each : effects.unplaceable) remove_group(each.group, vanished(each.why));
}

}  // namespace manta::detail
