#pragma once
// ActorDirectory: the named actors of a machine. A pure state machine without threads; owned by the node's process. A name
// belongs to its actor from the claim, before the constructor has run, until the actor has ended for good or its owner's
// process has.
#include <compare>
#include <map>
#include <string>
#include <vector>

#include "runtime/base/ids.hpp"

namespace manta::core {

/// The class of an actor: the key of its registration, which is an identity, and a name for messages, which is none.
struct ActorClass {
  std::uint64_t module = 0, offset = 0;
  std::string name{};
  bool operator==(const ActorClass& other) const { return module == other.module && offset == other.offset; }
};

struct NamedActor {
  ActorId actor{};
  ActorClass type{};
};

class ActorDirectory {
 public:
  /// Null when the name is now the new actor's; else who has it.
  const NamedActor* claim(const std::string& name, NamedActor actor);
  const NamedActor* find(const std::string& name) const;
  /// The actor has ended; of no effect when another one has the name by now. An empty name: whatever it is called.
  void release(const std::string& name, ActorId actor);
  /// A process has ended, and the actors that it owned with it.
  void drop_owner(ProcessId owner);
  /// In order, at most `limit`.
  std::vector<std::string> names(std::size_t limit) const;
  std::size_t size() const { return actors_.size(); }

 private:
  std::map<std::string, NamedActor> actors_{};
};

}  // namespace manta::core
