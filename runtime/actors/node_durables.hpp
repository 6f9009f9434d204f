#pragma once
// NodeDurables: the durable objects as the driver's process uses them, and as it serves worker processes. The directory is
// opened, and locked, at the first use. Thread-safe. What workers ask for is done on threads of its own.
#include <filesystem>

#include "runtime/actors/durable_access.hpp"
#include "runtime/actors/node_store.hpp"
#include "runtime/store/durable_store.hpp"

namespace manta::detail {

class NodeDurables final : public DurableAccess {
 public:
  using Reply = std::function<void(ProcessId to, const wire::DurableReply& reply)>;

  /// An empty directory means the default one. Values of more than `inline_bytes` go to workers through `store`.
  NodeDurables(std::filesystem::path directory, std::shared_ptr<NodeStore> store, std::uint64_t inline_bytes, Reply reply);
  ~NodeDurables() override;

  void put(Cell& cell, const std::string& name, const std::string& tag) override;
  std::shared_ptr<Cell> find(const TypeOps& ops, const std::string& name, const std::string& tag) override;
  bool remove(const std::string& name) override;
  std::vector<std::string> list(const std::string& prefix) override;

  /// A request of a worker process; answered later.
  void serve(ProcessId from, wire::DurableRequest request);
  /// Finishes what workers asked for, and lets go of the directory.
  void close();

 private:
  std::shared_ptr<DurableStore> store();
  std::shared_ptr<DurableStore> opened();
  template <class Change>
  auto change(Change&& make);
  static Buffer encode_once(const Cell& cell, const std::string& name);
  DurableInfo info(const std::string& name, const std::string& tag);
  wire::DurableReply answer(ProcessId from, const wire::DurableRequest& request);
  void put_for(const wire::DurableRequest& request);
  wire::Value find_for(ProcessId to, const std::string& name, const std::string& tag);
  void list_for(const wire::DurableRequest& request, wire::DurableReply& reply);

  const std::filesystem::path directory_;
  const std::shared_ptr<NodeStore> objects_;
  const std::uint64_t inline_bytes_;
  const Reply reply_;
  std::mutex open_mutex_;  // held while the store is opened, which may take seconds; taken before the other
  std::atomic<bool> let_go_{false};  // of a store, after an error of its disk: others may be using it still
  std::mutex mutex_;  // guards what follows; nobody waits for the disk with it, since serve runs where the workers' messages are read
  std::shared_ptr<DurableStore> store_;
  bool closed_ = false;
  std::unique_ptr<Lane> lane_;
};

}  // namespace manta::detail
