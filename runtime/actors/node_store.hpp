#pragma once
// NodeStore: the node's object store as the driver's process uses it, and as it serves worker processes: what each of them
// creates, owns and pins is written down, and given back when it dies. Thread-safe.
#include <map>
#include <set>
#include <unordered_map>

#include "runtime/actors/lane.hpp"
#include "runtime/actors/store_access.hpp"
#include "runtime/store/object_store.hpp"
#include "runtime/wire/messages.hpp"

namespace manta::detail {

class NodeStore final : public StoreAccess {
 public:
  /// How an answer reaches a worker process, with a descriptor of an extent that it has not seen yet.
  using Reply = std::function<void(ProcessId to, const wire::StoreReply& reply, std::span<const int> fds)>;

  NodeStore(std::unique_ptr<ObjectStore> store, IdSource& ids, Reply reply);
  ~NodeStore() override;

  // StoreAccess, for this process.
  ProcessId self() const override { return kNodeProcess; }
  Result<Buffer> open(ObjectId id) override;
  void free(ObjectId id) override;

  /// A request of a worker process; answers now or later from a thread that may block.
  void serve(ProcessId from, const wire::StoreRequest& request);
  /// Gives back all that a dead process created, owned and pinned.
  void process_gone(ProcessId process);
  ObjectStore& objects() { return *store_; }
  /// No object, no pin.
  bool idle() const;
  void close();

 protected:
  Result<Room> create(std::uint64_t size, ProcessId owner) override;
  Result<void> seal(ObjectId id) override;
  void abort(ObjectId id) override;

 private:
  struct Client {
    std::set<std::pair<std::uint32_t, bool>> extents{};  ///< (extent, writable) it has been sent
    std::set<ObjectId> creating{};
    std::set<ObjectId> owned{};
    std::map<ObjectId, int> pins{};
    bool gone = false;
  };
  void create_for(ProcessId from, const wire::StoreRequest& request);
  void pin_for(ProcessId from, const wire::StoreRequest& request);
  void answer(ProcessId to, std::uint64_t request, ObjectId id, const Result<Block>& block, bool writable);

  std::unique_ptr<ObjectStore> store_;
  IdSource& ids_;
  const Reply reply_;
  mutable std::mutex mutex_;  // guards clients_
  std::map<ProcessId, Client> clients_;
  std::unique_ptr<Lane> lane_;
};

}  // namespace manta::detail
