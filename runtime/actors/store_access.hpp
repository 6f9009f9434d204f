#pragma once
// StoreAccess: how a process reaches its node's object store: directly in the node's own process, by messages and shared
// mappings from a worker. Shared by all threads of the process; operations may block (never call them on the reactor's
// thread or in a control actor).
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_set>

#include "runtime/base/ids.hpp"
#include "runtime/cell.hpp"
#include "runtime/process/forks.hpp"

namespace manta::detail {

class StoreAccess : public std::enable_shared_from_this<StoreAccess> {
 public:
  using Fill = std::function<void(std::span<std::byte>)>;

  virtual ~StoreAccess() = default;
  /// Makes a sealed object for `owner`: room for `size` bytes, which `fill` writes. When the owner is this process the
  /// result frees the object at its end, else it only names it.
  Result<std::shared_ptr<StoredObject>> place(std::uint64_t size, const Fill& fill, ProcessId owner);
  /// An object of this process, freed at the end of the handle; or of another one.
  std::shared_ptr<StoredObject> owned(ObjectId id, std::uint64_t size);
  std::shared_ptr<StoredObject> borrowed(ObjectId id, std::uint64_t size);
  /// True while a handle of this process owns the object.
  bool holds(ObjectId id) const;

  virtual ProcessId self() const = 0;
  virtual Result<Buffer> open(ObjectId id) = 0;
  virtual void free(ObjectId id) = 0;

 protected:
  bool in_fork() const { return forks_ != count_forks(); }  ///< of the process that made it, whose memory it is
  struct Room {
    ObjectId id;
    std::span<std::byte> bytes;
  };
  virtual Result<Room> create(std::uint64_t size, ProcessId owner) = 0;
  virtual Result<void> seal(ObjectId id) = 0;
  virtual void abort(ObjectId id) = 0;

 private:
  class Handle;
  void let_go(ObjectId id);
  const int forks_ = count_forks();
  mutable std::mutex held_mutex_;
  std::unordered_set<ObjectId> held_;
};

}  // namespace manta::detail
