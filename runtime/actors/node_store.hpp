#pragma once
// NodeStore: the node's object store as the driver's process uses it, and as it serves worker processes: what each of them
// creates, owns and pins is written down, and given back when it dies. Thread-safe.
#include <map>
#include <set>
#include <unordered_map>

#include "runtime/actors/lane.hpp"
#include "runtime/actors/store_access.hpp"
#include "runtime/base/number_ranges.hpp"
#include "runtime/process/forks.hpp"
#include "runtime/store/object_store.hpp"
#include "runtime/wire/messages.hpp"

namespace manta::detail {

class NodeStore final : public StoreAccess {
 public:
  /// How an answer reaches a worker process, with a descriptor of an extent that it has not seen yet.
  using Reply = std::function<void(ProcessId to, const wire::StoreReply& reply, std::span<const int> fds)>;

  /// Tells an owner what a dead process made for it; behind all that the dead one said.
  using TellOrphans = std::function<void(ProcessId owner, std::vector<ObjectId> objects)>;

  NodeStore(std::unique_ptr<ObjectStore> store, IdSource& ids, Reply reply, TellOrphans tell_orphans);
  ~NodeStore() override;

  // StoreAccess, for this process.
  ProcessId self() const override { return kNodeProcess; }
  Result<Buffer> open(ObjectId id) override;
  void free(ObjectId id) override;

  /// A request of a worker process; answers now or later from a thread that may block.
  void serve(ProcessId from, const wire::StoreRequest& request);
  /// Gives back all that a dead process created, owned and pinned.
  void process_gone(ProcessId process);
  /// Whether that process made this object for another one, which may own it now or hear of it yet.
  bool is_maker(ProcessId process, ObjectId id) const;
  ObjectStore& objects() { return *store_; }
  /// No object, no pin.
  bool idle() const;
  /// Processes of which anything is written down; objects that are written down as somebody's, or as being made.
  std::size_t clients() const;
  std::size_t noted_objects() const;
  void close();

 protected:
  Result<Room> create(std::uint64_t size, ProcessId owner) override;
  Result<void> seal(ObjectId id) override;
  void abort(ObjectId id) override;

 private:
  struct Client {
    std::set<std::pair<std::uint32_t, bool>> extents{};  ///< (extent, writable) it has been sent
    std::uint64_t releases = 0;                          ///< of the arena, up to which it knows which of these are gone
    std::set<ObjectId> creating{};
    std::set<ObjectId> owned{};
    std::map<ObjectId, ProcessId> made_for{};  ///< objects of other owners that it made, until they are freed
    std::map<ObjectId, int> pins{};
  };
  Client* client_of(ProcessId process);  // null: it has ended; with the lock held
  void create_for(ProcessId from, const wire::StoreRequest& request);
  void pin_for(ProcessId from, const wire::StoreRequest& request);
  void name_retired(Client& client, wire::StoreReply& reply);
  void forget_maker(ObjectId id);
  void forget_unmade(ObjectId id);
  Result<Block> create_block(ObjectId id, std::uint64_t size);
  std::string holders() const;
  void answer(ProcessId to, std::uint64_t request, ObjectId id, const Result<Block>& block, bool writable);

  Result<void> check_process() const;
  std::unique_ptr<ObjectStore> store_;
  IdSource& ids_;
  const Reply reply_;
  const TellOrphans tell_orphans_;
  mutable std::mutex mutex_;  // guards what follows
  std::map<ProcessId, Client> clients_;
  NumberRanges gone_;                               ///< processes that have ended
  std::unordered_map<ObjectId, ProcessId> makers_;  ///< of objects that a process made for another one
  std::unique_ptr<Lane> creations_;
  std::unique_ptr<Lane> clearings_;  ///< apart, and none of them waits for room: what they make may be what others wait for
  std::unique_ptr<Lane> restores_;  ///< apart: a reader must not wait behind creators who wait for him to let go
};

}  // namespace manta::detail
