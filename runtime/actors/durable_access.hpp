#pragma once
// DurableAccess: how a process reaches the durable objects: directly in the driver's process, by messages to it from a
// worker. Thread-safe; every operation blocks on the disk and throws an exception of the manta::Error family.
#include <string>
#include <vector>

#include "runtime/cell.hpp"

namespace manta::detail {

class DurableAccess {
 public:
  virtual ~DurableAccess() = default;
  /// On the disk, synced, when it returns. InvalidArgument for an empty tag.
  virtual void put(Cell& cell, const std::string& name, const std::string& tag) = 0;
  /// NotFound, InvalidArgument for another tag, StorageCorruption.
  virtual std::shared_ptr<Cell> find(const TypeOps& ops, const std::string& name, const std::string& tag) = 0;
  /// False when there was none.
  virtual bool remove(const std::string& name) = 0;
  virtual std::vector<std::string> list(const std::string& prefix) = 0;

 protected:
  static void need_tag(const Cell& cell, const std::string& name, const std::string& tag) {
    if (tag.empty())
      throw InvalidArgument("put of " + name + ": the type " + cell.ops().name() +
                            " has no standard tag; give .type_tag, so that a later build knows what the bytes are");
  }
  static void refuse_references(const EncodedValue& value, const std::string& name) {
    if (value.references)
      throw InvalidArgument("put of " + name + ": a durable object outlives this run, and the ObjectRef or ActorHandle inside "
                            "does not: get what it refers to, and put that");
  }
  static void need_tag(const std::string& name, const std::string& tag) {
    if (tag.empty()) throw InvalidArgument("find_durable of " + name + ": give the type tag that it was put with");
  }
};

}  // namespace manta::detail
