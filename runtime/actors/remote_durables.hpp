#pragma once
// RemoteDurables: the durable objects as a worker process reaches them: by messages to the node, large values through the
// arena. Thread-safe; operations block until the node answers (this process ends when the node does).
#include <map>

#include "runtime/actors/durable_access.hpp"
#include "runtime/actors/store_access.hpp"
#include "runtime/wire/messages.hpp"

namespace manta::detail {

class RemoteDurables final : public DurableAccess {
 public:
  using Send = std::function<void(const wire::DurableRequest& request)>;
  RemoteDurables(std::shared_ptr<StoreAccess> store, std::uint64_t inline_bytes, Send send)
      : store_(std::move(store)), inline_bytes_(inline_bytes), send_(std::move(send)) {}

  void put(Cell& cell, const std::string& name, const std::string& tag) override;
  std::shared_ptr<Cell> find(const TypeOps& ops, const std::string& name, const std::string& tag) override;
  bool remove(const std::string& name) override;
  std::vector<std::string> list(const std::string& prefix) override;
  /// The node's answer, on the reactor's thread.
  void on_reply(wire::DurableReply reply);

 private:
  struct Pending {
    std::atomic<std::uint32_t> done{0};
    wire::DurableReply reply{};
  };
  wire::DurableReply ask(wire::DurableRequest request);

  const std::shared_ptr<StoreAccess> store_;
  const std::uint64_t inline_bytes_;
  const Send send_;
  std::mutex mutex_;  // guards what follows
  std::uint64_t next_request_ = 1;
  std::map<std::uint64_t, std::shared_ptr<Pending>> pending_;
};

}  // namespace manta::detail
