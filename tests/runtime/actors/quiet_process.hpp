#pragma once
// A process for tests of its roles: a router that writes down, no store, and an engine that is not asked.
#include <functional>
#include <utility>
#include <vector>

#include "runtime/actors/router.hpp"
#include "runtime/actors/store_access.hpp"

namespace manta::detail {

class WritingRouter final : public Router {
 public:
  explicit WritingRouter(ProcessId self) : self_(self) {}
  ProcessId self() const override { return self_; }
  void send(ProcessId to, wire::Message message) override { sent.emplace_back(to, std::move(message)); }
  /// Takes out all messages of one kind to one process.
  template <class M>
  std::vector<M> take(ProcessId to) {
    std::vector<M> found;
    std::erase_if(sent, [&](auto& each) {
      auto* message = each.first == to ? std::get_if<M>(&each.second) : nullptr;
      if (message) found.push_back(std::move(*message));
      return message != nullptr;
    });
    return found;
  }
  std::vector<std::pair<ProcessId, wire::Message>> sent{};

 private:
  const ProcessId self_;
};

class EmptyStore final : public StoreAccess {
 public:
  explicit EmptyStore(ProcessId self) : self_(self) {}
  ProcessId self() const override { return self_; }
  Result<Buffer> open(ObjectId) override { return ErrorInfo{.code = ErrorCode::kObjectLost, .message = "no store here"}; }
  void free(ObjectId) override {}
  std::function<void()> creating{};

 protected:
  Result<Room> create(std::uint64_t, ProcessId) override {
    if (creating) creating();
    return ErrorInfo{.code = ErrorCode::kObjectStoreFull, .message = "no store here"};
  }
  Result<void> seal(ObjectId) override { return {}; }
  void abort(ObjectId) override {}

 private:
  const ProcessId self_;
};

}  // namespace manta::detail
