#include "runtime/store/object_store.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace manta {

namespace {

constexpr std::string_view kStateNames[] = {"Creating", "Sealed", "Spilling", "Spilled", "Restoring", "Lost"};

ErrorInfo about(ErrorCode code, std::uint64_t id, std::string_view message) {
  return {.code = code, .message = std::string(message), .where = fmt::format("object {}", id)};
}

const ErrorInfo& stopped() {
  static const auto& error = *new ErrorInfo{.code = ErrorCode::kRuntimeStopped, .message = "the object store has been closed"};
  return error;
}

}  // namespace

std::string_view to_string(ObjectState state) noexcept { return kStateNames[static_cast<std::size_t>(state)]; }

ObjectStore::ObjectStore(std::unique_ptr<Arena> arena, SpillFactory factory, ObjectStoreOptions options)
    : arena_(std::move(arena)), options_(options), tier_(std::move(factory), options.spill_retry) {}

ObjectStore::~ObjectStore() { close(); }

void ObjectStore::close() {
  Lock lock(mutex_);
  closing_ = true;
  work_.notify_all();
  changed_.notify_all();
  changed_.wait(lock, [this] { return waiting_ == 0; });
  auto spiller = std::move(spiller_);
  lock.unlock();
  if (spiller.joinable()) spiller.join();
  tier_.close();
}

// --- creating ----------------------------------------------------------------------------------------------------------

Result<Block> ObjectStore::create(std::uint64_t id, std::uint64_t bytes) {
  Lock lock(mutex_);
  if (auto fresh = require_new(id); !fresh) return fresh.error();
  auto block = obtain_for_creating(bytes, lock);
  if (!block) return block;
  return insert(id, *block);
}

Result<std::optional<Block>> ObjectStore::try_create(std::uint64_t id, std::uint64_t bytes) {
  if (arena_->clears_much(bytes)) return std::optional<Block>{};
  return try_create_clearing(id, bytes);
}

Result<std::optional<Block>> ObjectStore::try_create_clearing(std::uint64_t id, std::uint64_t bytes) {
  Lock lock(mutex_);
  if (auto fresh = require_new(id); !fresh) return fresh.error();
  auto block = allocate(bytes, lock);
  if (!block && arena_->has_files()) return std::optional<Block>{};  // not without the disk
  if (!block || !*block) {
    if (block) ask_for_room(bytes);
    return block;
  }
  auto inserted = insert(id, **block);
  if (!inserted) return inserted.error();
  return std::optional(*inserted);
}

Result<void> ObjectStore::require_new(std::uint64_t id) const {
  if (closing_) return stopped();
  if (objects_.contains(id)) return about(ErrorCode::kInvalidArgument, id, "an object with this id exists already");
  return {};
}

Result<Block> ObjectStore::insert(std::uint64_t id, const Block& block) {
  if (!objects_.try_emplace(id, Object{.bytes = block.size, .block = block, .beyond = arena_->is_beyond(block)}).second) {  // made while this one waited
    give_to_arena(block);
    return about(ErrorCode::kInvalidArgument, id, "an object with this id exists already");
  }
  if (bytes_to_spill() > 0) wake_spiller();
  return block;
}

Result<ObjectStore::Object*> ObjectStore::find_being_created(std::uint64_t id) {
  const auto found = objects_.find(id);
  if (found == objects_.end() || found->second.state != ObjectState::kCreating)
    return about(ErrorCode::kInvalidArgument, id, "no object with this id is being created");
  return &found->second;
}

Result<void> ObjectStore::seal(std::uint64_t id) {
  Lock lock(mutex_);
  auto object = find_being_created(id);
  if (!object) return object.error();
  (*object)->state = ObjectState::kSealed;
  settle(id, **object);
  if (bytes_to_spill() > 0) wake_spiller();
  return {};
}

Result<void> ObjectStore::abort(std::uint64_t id) {
  Lock lock(mutex_);
  auto object = find_being_created(id);
  if (!object) return object.error();
  release_block(**object);
  objects_.erase(id);
  return {};
}

// --- reading -----------------------------------------------------------------------------------------------------------

Result<ObjectStore::Object*> ObjectStore::find_readable(std::uint64_t id) {
  const auto found = objects_.find(id);
  if (found == objects_.end() || found->second.freed)
    return about(ErrorCode::kNotFound, id, "the object store has no such object");
  if (found->second.state == ObjectState::kCreating)
    return about(ErrorCode::kInvalidArgument, id, "the object is still being created; seal it first");
  if (found->second.state == ObjectState::kLost)
    return about(ErrorCode::kObjectLost, id, "the object's only copy, on disk, was corrupt");
  return &found->second;
}

Result<Block> ObjectStore::pin(std::uint64_t id) {
  Lock lock(mutex_);
  auto object = find_readable(id);
  while (object && (*object)->state == ObjectState::kRestoring) {
    if (closing_) return stopped();
    ++waiting_;
    changed_.wait(lock);
    --waiting_;
    if (closing_) changed_.notify_all();  // close() waits for it; who waits here too would wake this one in turn
    object = find_readable(id);
  }
  if (!object) return object.error();
  if ((*object)->block) return add_pin(**object);
  if (closing_) return stopped();
  return restore(id, **object, lock);
}

Result<std::optional<Block>> ObjectStore::try_pin(std::uint64_t id) {
  Lock lock(mutex_);
  auto object = find_readable(id);
  if (!object) return object.error();
  const bool at_hand = (*object)->block && (*object)->state != ObjectState::kRestoring;
  return at_hand ? std::optional(add_pin(**object)) : std::nullopt;
}

Block ObjectStore::add_pin(Object& object) {
  if (object.pins++ == 0) leave_idle(object);
  return *object.block;
}

Result<Block> ObjectStore::restore(std::uint64_t id, Object& object, Lock& lock) {
  object.state = ObjectState::kRestoring;  // from here on nobody else erases it
  const auto slot = *object.slot;
  auto block = obtain_for_reading(object.bytes, lock);
  Result<void> read;
  if (block) {
    const auto place = arena_->bytes(*block);
    ++waiting_;
    lock.unlock();
    read = tier_.read(slot, id, place);
    lock.lock();
    --waiting_;
  }
  changed_.notify_all();
  if (block && read) {
    object.block = *block;
    object.beyond = arena_->is_beyond(*block);
    object.state = ObjectState::kSealed;
    counters_.restore_bytes_read += object.bytes;
  } else {
    if (block) give_to_arena(*block);
    object.state = ObjectState::kSpilled;
    if (!read && read.error().code == ErrorCode::kObjectLost) {
      drop_from_disk(slot);
      object.slot.reset();
      object.state = ObjectState::kLost;
      ++counters_.lost_objects;
    }
  }
  const bool freed = object.freed;
  if (object.block && !freed) return add_pin(object);
  settle(id, object);
  if (!block) return block.error();
  if (!read) return read.error();
  return about(ErrorCode::kNotFound, id, "the object was freed while it was brought back from disk");
}

void ObjectStore::unpin(std::uint64_t id) {
  Lock lock(mutex_);
  const auto found = objects_.find(id);
  MANTA_CHECK(found != objects_.end() && found->second.pins > 0);
  if (--found->second.pins == 0) settle(id, found->second);
  if (bytes_to_spill() > 0) wake_spiller();
}

void ObjectStore::free(std::uint64_t id) {
  Lock lock(mutex_);
  const auto found = objects_.find(id);
  if (found == objects_.end() || found->second.freed) return;
  if (found->second.pins == 0) leave_idle(found->second);
  found->second.freed = true;
  settle(id, found->second);
}

/// Puts an object where it belongs that nobody uses any more: away when it was freed, else among the idle ones.
void ObjectStore::settle(std::uint64_t id, Object& object) {
  const bool busy = object.state == ObjectState::kCreating || object.state == ObjectState::kSpilling ||
                    object.state == ObjectState::kRestoring;
  if (busy || object.pins > 0) return;
  if (object.freed) {
    if (object.block) release_block(object);
    if (object.slot) drop_from_disk(*object.slot);
    objects_.erase(id);
    return;
  }
  if (!object.block) return;
  if (object.beyond) {
    if (!object.slot) return;  // its only copy: there is no better place
    release_block(object);
    object.state = ObjectState::kSpilled;
    return;
  }
  object.last_use = next_use_++;
  (object.slot ? evictable_ : spillable_).emplace(object.last_use, id);
  if (object.slot) evictable_bytes_ += Arena::rounded_bytes(object.bytes);
  changed_.notify_all();
}

void ObjectStore::drop_from_disk(const SpillSlot& slot) {
  tier_.drop(slot);
  ++drops_;
  work_.notify_all();
}

void ObjectStore::leave_idle(Object& object) {
  spillable_.erase(object.last_use);
  if (evictable_.erase(object.last_use)) evictable_bytes_ -= Arena::rounded_bytes(object.bytes);
}

void ObjectStore::release_block(Object& object) {
  if (!object.beyond) ++progress_;
  const auto block = *object.block;
  object.block.reset();
  give_to_arena(block);
  changed_.notify_all();
}

void ObjectStore::give_to_arena(const Block& block) {
  if (!arena_->free(block) || trim_due_) return;
  trim_at_ = Clock::now() + options_.extent_idle;
  trim_due_ = true;
  wake_spiller();
  trim_due_ = spiller_.joinable();  // else the next release tries again
}

bool ObjectStore::contains(std::uint64_t id) const {
  Lock lock(mutex_);
  const auto found = objects_.find(id);
  return found != objects_.end() && !found->second.freed && found->second.state != ObjectState::kCreating &&
         found->second.state != ObjectState::kLost;
}

std::vector<ArenaHolding> ObjectStore::holdings() const {
  Lock lock(mutex_);
  std::vector<ArenaHolding> held;
  for (const auto& [id, object] : objects_)
    if (object.block) held.push_back({.id = id, .bytes = object.bytes, .state = object.state, .pins = object.pins});
  return held;
}

ObjectStoreStats ObjectStore::stats() const {
  Lock lock(mutex_);
  ObjectStoreStats stats = counters_;
  stats.arena = arena_->stats();
  stats.objects = objects_.size();
  for (const auto& [id, object] : objects_) {
    stats.unsealed_objects += object.state == ObjectState::kCreating;
    stats.pinned_objects += object.pins > 0;
    if (object.block || !object.slot) continue;
    ++stats.spilled_objects;
    stats.spilled_bytes += object.bytes;
  }
  return stats;
}

}  // namespace manta
