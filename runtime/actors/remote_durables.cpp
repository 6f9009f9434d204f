#include "runtime/actors/remote_durables.hpp"

#include "runtime/process/reactor.hpp"

namespace manta::detail {

wire::DurableReply RemoteDurables::ask(wire::DurableRequest request) {
  auto pending = std::make_shared<Pending>();
  {
    std::lock_guard lock(mutex_);
    request.request = next_request_++;
    pending_[request.request] = pending;
  }
  send_(request);
  Reactor::stand_back();
  while (pending->done.load(std::memory_order_acquire) == 0) futex_wait(pending->done, 0, std::nullopt);
  return std::move(pending->reply);
}

void RemoteDurables::on_reply(wire::DurableReply reply) {
  std::shared_ptr<Pending> pending;
  {
    std::lock_guard lock(mutex_);
    auto it = pending_.find(reply.request);
    if (it == pending_.end()) return;
    pending = std::move(it->second);
    pending_.erase(it);
  }
  pending->reply = std::move(reply);
  pending->done.store(1, std::memory_order_release);
  futex_wake_all(pending->done);
}

void RemoteDurables::put(Cell& cell, const std::string& name, const std::string& tag) {
  need_tag(cell, name, tag);
  const auto encoded = cell.encoded(inline_bytes_, [this](std::uint64_t size, const StoreAccess::Fill& fill) {
                             return store_->place(size, fill, store_->self());
                           }).value();
  refuse_references(encoded, name);
  wire::DurableRequest request{.operation = wire::DurableOperation::kPut, .name = name, .type_tag = tag};
  if (encoded.stored)
    request.value = {.stored = {encoded.stored->id()}, .stored_size = encoded.stored->size()};
  else
    request.value.bytes = encoded.bytes;
  if (const auto reply = ask(std::move(request)); reply.error) throw_error(*reply.error);
}

std::shared_ptr<Cell> RemoteDurables::find(const TypeOps& ops, const std::string& name, const std::string& tag) {
  need_tag(name, tag);
  auto reply = ask({.operation = wire::DurableOperation::kFind, .name = name, .type_tag = tag});
  if (reply.error) throw_error(*reply.error);
  auto cell = std::make_shared<Cell>(ops);
  if (reply.value.stored)
    cell->set_stored(store_->owned(reply.value.stored, reply.value.stored_size));
  else
    cell->set_bytes(std::move(reply.value.bytes));
  return cell;
}

bool RemoteDurables::remove(const std::string& name) {
  const auto reply = ask({.operation = wire::DurableOperation::kRemove, .name = name});
  if (reply.error && reply.error->code != ErrorCode::kNotFound) throw_error(*reply.error);
  return !reply.error;
}

std::vector<std::string> RemoteDurables::list(const std::string& prefix) {
  std::vector<std::string> names;
  wire::DurableRequest request;
  request.operation = wire::DurableOperation::kList;
  request.name = prefix;
  while (true) {
    if (!names.empty()) request.after = names.back();
    auto reply = ask(request);
    if (reply.error) throw_error(*reply.error);
    for (auto& name : reply.names) names.push_back(std::move(name));
    if (!reply.more || reply.names.empty()) return names;
  }
}

}  // namespace manta::detail
