#include "runtime/core/actor_directory.hpp"

namespace manta::core {

const NamedActor* ActorDirectory::claim(const std::string& name, NamedActor actor) {
  const auto [it, fresh] = actors_.try_emplace(name, std::move(actor));
  return fresh ? nullptr : &it->second;
}

const NamedActor* ActorDirectory::find(const std::string& name) const {
  const auto it = actors_.find(name);
  return it == actors_.end() ? nullptr : &it->second;
}

void ActorDirectory::release(const std::string& name, ActorId actor) {
  if (name.empty()) return static_cast<void>(std::erase_if(actors_, [actor](const auto& each) { return each.second.actor == actor; }));
  const auto it = actors_.find(name);
  if (it != actors_.end() && it->second.actor == actor) actors_.erase(it);
}

void ActorDirectory::drop_owner(ProcessId owner) {
  std::erase_if(actors_, [owner](const auto& each) { return maker_of(each.second.actor.value) == owner; });
}

std::vector<std::string> ActorDirectory::names(std::size_t limit) const {
  std::vector<std::string> all;
  for (const auto& [name, actor] : actors_) {
    if (all.size() == limit) break;
    all.push_back(name);
  }
  return all;
}

}  // namespace manta::core
