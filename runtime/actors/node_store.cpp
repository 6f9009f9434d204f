#include "runtime/actors/node_store.hpp"

#include <unistd.h>

#include <algorithm>

namespace manta::detail {

namespace {

constexpr std::size_t kClearings = 2;     // large objects for which memory is cleared at the same time
constexpr std::size_t kStoreThreads = 4;  // creations that wait at the same time, and as many restores

std::string mebibytes(std::uint64_t bytes) {
  const auto tenths = bytes * 10 / (1 << 20);
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " MiB";
}

ErrorInfo owner_gone() { return {.code = ErrorCode::kOwnerDied, .message = "nobody is left who wants this value"}; }

}  // namespace

NodeStore::NodeStore(std::unique_ptr<ObjectStore> store, IdSource& ids, Reply reply, TellOrphans tell_orphans)
    : store_(std::move(store)), ids_(ids), reply_(std::move(reply)), tell_orphans_(std::move(tell_orphans)),
      creations_(std::make_unique<Lane>(kStoreThreads)), clearings_(std::make_unique<Lane>(kClearings)), restores_(std::make_unique<Lane>(kStoreThreads)) {}

NodeStore::~NodeStore() { close(); }

void NodeStore::close() {
  store_->close();
  clearings_.reset();  // which may post to the next one
  creations_.reset();
  restores_.reset();
}

Result<void> NodeStore::check_process() const {
  if (!in_fork()) return {};
  return ErrorInfo{.code = ErrorCode::kRuntimeStopped,
                   .message = "a fork of the process that started the runtime has none, and the memory of objects is that one's: use it there, or let "
                              "the fork start a program anew by exec"};
}

Result<Buffer> NodeStore::open(ObjectId id) {
  if (auto ours = check_process(); !ours) return ours.error();
  auto block = store_->pin(id.value);
  if (!block) return block.error();
  const auto bytes = store_->arena().readable(*block);
  std::shared_ptr<const void> pin(bytes.data(), [self = shared_from_this(), this, id](const void*) {
    if (!in_fork()) store_->unpin(id.value);
  });
  return Buffer(std::move(pin), bytes);
}

void NodeStore::free(ObjectId id) {
  if (in_fork()) return;  // a fork of the driver lets its copy of a ref go; the memory and the files are the driver's
  {
    std::lock_guard lock(mutex_);
    forget_unmade(id);
  }
  store_->free(id.value);
}

void NodeStore::forget_maker(ObjectId id) {
  const auto maker = makers_.find(id);
  if (maker == makers_.end()) return;
  if (auto* it = client_of(maker->second)) it->made_for.erase(id);
  makers_.erase(maker);
}

/// It was not made after all, or will not be: nobody has it, nobody will.
void NodeStore::forget_unmade(ObjectId id) {
  for (auto& [process, client] : clients_) client.creating.erase(id), client.owned.erase(id);
  forget_maker(id);
}

NodeStore::Client* NodeStore::client_of(ProcessId process) {
  return gone_.contains(process) ? nullptr : &clients_[process];
}

Result<StoreAccess::Room> NodeStore::create(std::uint64_t size, ProcessId owner) {
  if (auto ours = check_process(); !ours) return ours.error();
  const auto id = ids_.next<ObjectId>();
  auto block = create_block(id, size);
  if (!block) return block.error();
  if (owner != kNodeProcess) {
    std::unique_lock lock(mutex_);
    auto* its_owner = client_of(owner);
    if (!its_owner) {
      lock.unlock();
      static_cast<void>(store_->abort(id.value));
      return owner_gone();
    }
    its_owner->owned.insert(id);
  }
  return Room{id, store_->arena().bytes(*block)};
}

/// As the store's create; when it is full, the error also says which processes hold how much.
Result<Block> NodeStore::create_block(ObjectId id, std::uint64_t size) {
  auto block = store_->create(id.value, size);
  const bool full = !block && (block.error().code == ErrorCode::kObjectStoreFull || block.error().code == ErrorCode::kOutOfDisk);
  if (!full) return block;
  auto error = block.error();
  error.message += ". By process: " + holders();
  return error;
}

std::string NodeStore::holders() const {
  struct Share {
    std::uint64_t owned = 0, pinned = 0;
  };
  const auto holdings = store_->holdings();
  std::map<ProcessId, Share> shares;
  std::lock_guard lock(mutex_);
  for (const auto& each : holdings) {
    auto owner = kNodeProcess;
    auto pins = each.pins;
    for (const auto& [process, client] : clients_) {
      if (client.owned.contains({each.id})) owner = process;
      const auto pin = client.pins.find({each.id});
      if (pin == client.pins.end()) continue;
      shares[process].pinned += each.bytes;
      pins -= std::min(pins, static_cast<std::uint32_t>(pin->second));
    }
    shares[owner].owned += each.bytes;
    if (pins > 0) shares[kNodeProcess].pinned += each.bytes;
  }
  std::string text;
  for (const auto& [process, share] : shares)
    text += (text.empty() ? "" : "; ") + (process == kNodeProcess ? std::string("the driver") : "worker process " + std::to_string(process)) +
            " owns " + mebibytes(share.owned) + " and reads " + mebibytes(share.pinned);
  return text.empty() ? "nobody holds anything" : text;
}

Result<void> NodeStore::seal(ObjectId id) { return store_->seal(id.value); }

void NodeStore::abort(ObjectId id) {
  {
    std::lock_guard lock(mutex_);
    forget_unmade(id);
  }
  static_cast<void>(store_->abort(id.value));
}

/// What a process keeps mapped after its end costs page tables, and a service makes extents for ever.
void NodeStore::name_retired(Client& client, wire::StoreReply& reply) {
  const auto releases = store_->arena().releases();
  if (std::exchange(client.releases, releases) == releases) return;
  const auto live = store_->arena().extents();
  std::erase_if(client.extents, [&](const auto& each) {
    if (std::binary_search(live.begin(), live.end(), each.first)) return false;
    if (reply.retired.empty() || reply.retired.back() != each.first) reply.retired.push_back(each.first);
    return true;
  });
}

void NodeStore::answer(ProcessId to, std::uint64_t request, ObjectId id, const Result<Block>& block, bool writable) {
  wire::StoreReply reply{.request = request, .id = id};
  if (!block) {
    reply.error = block.error();
    return reply_(to, reply, {});
  }
  reply.extent = block->extent;
  reply.offset = block->offset;
  reply.size = block->size;
  // Sent under the lock: no answer that relies on the descriptor may overtake the one that carries it.
  std::unique_lock lock(mutex_);
  auto* alive = client_of(to);
  if (!alive) return;  // what it created and pinned has been given back
  auto& client = *alive;
  name_retired(client, reply);
  if (client.extents.contains({block->extent, writable})) return reply_(to, reply, {});
  auto fd = store_->arena().extent_fd(block->extent, writable);
  if (!fd) {
    if (writable) {
      forget_unmade(id);
    } else if (auto pin = client.pins.find(id); pin != client.pins.end() && --pin->second == 0) {
      client.pins.erase(pin);
    }
    reply.error = fd.error();
    reply_(to, reply, {});
    lock.unlock();
    return writable ? static_cast<void>(store_->abort(id.value)) : store_->unpin(id.value);
  }
  client.extents.insert({block->extent, writable});
  reply.extent_bytes = static_cast<std::uint64_t>(::lseek(*fd, 0, SEEK_END));
  const int fds[]{*fd};
  reply_(to, reply, fds);
  ::close(*fd);
}

void NodeStore::create_for(ProcessId from, const wire::StoreRequest& request) {
  const auto id = ids_.next<ObjectId>();
  {
    std::unique_lock lock(mutex_);
    auto* maker = client_of(from);
    auto* owner = request.owner == kNodeProcess ? nullptr : client_of(request.owner);
    if (!maker || (request.owner != kNodeProcess && !owner)) {
      lock.unlock();
      return answer(from, request.request, id, owner_gone(), true);
    }
    maker->creating.insert(id);
    if (owner) owner->owned.insert(id);
    if (request.owner != from) {
      maker->made_for.emplace(id, request.owner);
      makers_.emplace(id, from);
    }
  }
  auto finish = [this, from, id, request](const Result<Block>& block) {
    bool gone;
    {
      std::lock_guard lock(mutex_);
      auto* maker = client_of(from);
      auto* owner = client_of(request.owner);
      gone = !maker || !owner;
      if (!block || gone) {
        if (maker) maker->creating.erase(id);
        if (owner) owner->owned.erase(id);
        forget_maker(id);
      }
    }
    if (gone && block) {
      static_cast<void>(store_->abort(id.value));
      return answer(from, request.request, id, owner_gone(), true);
    }
    answer(from, request.request, id, block, true);
  };
  auto now = store_->try_create(id.value, request.size);
  if (!now) return finish(now.error());
  if (*now) return finish(**now);
  auto wait = [this, id, request, finish] { finish(create_block(id, request.size)); };
  if (!store_->arena().clears_much(request.size)) return creations_->post(wait);
  clearings_->post([this, id, request, finish, wait] {
    auto cleared = store_->try_create_clearing(id.value, request.size);
    if (!cleared) return finish(cleared.error());
    *cleared ? finish(**cleared) : creations_->post(wait);
  });
}

void NodeStore::pin_for(ProcessId from, const wire::StoreRequest& request) {
  const auto id = request.id;
  auto finish = [this, from, id, request](const Result<Block>& block) {
    bool gone = false;
    if (block) {
      std::lock_guard lock(mutex_);
      auto* reader = client_of(from);
      gone = !reader;
      if (reader) ++reader->pins[id];
    }
    if (gone) return store_->unpin(id.value);
    answer(from, request.request, id, block, false);
  };
  auto now = store_->try_pin(id.value);
  if (!now) return finish(now.error());
  if (*now) return finish(**now);
  restores_->post([this, id, finish] { finish(store_->pin(id.value)); });
}

void NodeStore::serve(ProcessId from, const wire::StoreRequest& request) {
  switch (request.operation) {
    case wire::StoreOperation::kCreate: return create_for(from, request);
    case wire::StoreOperation::kPin: return pin_for(from, request);
    case wire::StoreOperation::kSeal: {
      {
        std::lock_guard lock(mutex_);
        auto* maker = client_of(from);
        if (!maker || !maker->creating.erase(request.id)) return;
      }
      static_cast<void>(store_->seal(request.id.value));
      return;
    }
    case wire::StoreOperation::kAbort: {
      {
        std::lock_guard lock(mutex_);
        auto* maker = client_of(from);
        if (!maker || !maker->creating.contains(request.id)) return;
        forget_unmade(request.id);
      }
      return static_cast<void>(store_->abort(request.id.value));
    }
    case wire::StoreOperation::kUnpin: {
      {
        std::lock_guard lock(mutex_);
        auto* reader = client_of(from);
        if (!reader) return;
        auto& pins = reader->pins;
        auto it = pins.find(request.id);
        if (it == pins.end()) return;
        if (--it->second == 0) pins.erase(it);
      }
      return store_->unpin(request.id.value);
    }
    case wire::StoreOperation::kFree: {
      {
        std::lock_guard lock(mutex_);
        auto* owner = from == kNodeProcess ? nullptr : client_of(from);
        if (from != kNodeProcess && (!owner || !owner->owned.erase(request.id))) return;
        forget_maker(request.id);
      }
      return store_->free(request.id.value);
    }
  }
}

void NodeStore::process_gone(ProcessId process) {
  Client client;
  std::map<ProcessId, std::vector<ObjectId>> orphans;
  {
    std::lock_guard lock(mutex_);
    if (!gone_.insert(process)) return;
    if (auto known = clients_.extract(process)) client = std::move(known.mapped());
    for (const auto& [id, owner] : client.made_for) {
      makers_.erase(id);
      if (!client.creating.contains(id))
        orphans[owner].push_back(id);
      else if (auto* its_owner = client_of(owner))
        its_owner->owned.erase(id);  // that has never heard of it
    }
    for (auto id : client.owned) forget_maker(id);
  }
  for (auto id : client.creating) static_cast<void>(store_->abort(id.value));
  for (const auto& [id, count] : client.pins)
    for (int i = 0; i < count; ++i) store_->unpin(id.value);
  for (auto id : client.owned) store_->free(id.value);
  for (auto& [owner, objects] : orphans) tell_orphans_(owner, std::move(objects));
}

bool NodeStore::is_maker(ProcessId process, ObjectId id) const {
  std::lock_guard lock(mutex_);
  const auto maker = makers_.find(id);
  return maker != makers_.end() && maker->second == process;
}

std::size_t NodeStore::clients() const {
  std::lock_guard lock(mutex_);
  return clients_.size();
}

std::size_t NodeStore::noted_objects() const {
  std::lock_guard lock(mutex_);
  std::set<ObjectId> noted;
  for (const auto& [id, maker] : makers_) noted.insert(id);
  for (const auto& [process, client] : clients_) {
    noted.insert(client.owned.begin(), client.owned.end());
    noted.insert(client.creating.begin(), client.creating.end());
    for (const auto& [id, owner] : client.made_for) noted.insert(id);
  }
  return noted.size();
}

bool NodeStore::idle() const {
  const auto stats = store_->stats();
  return stats.objects == 0 && stats.pinned_objects == 0;
}

}  // namespace manta::detail
