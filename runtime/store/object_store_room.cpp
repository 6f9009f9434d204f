// ObjectStore's other half: making room in the arena, by waiting, evicting and spilling.
#include <fmt/format.h>

#include <algorithm>

#include "runtime/base/log.hpp"
#include "runtime/store/object_store.hpp"

namespace manta {

namespace {

constexpr std::size_t kHoldersListed = 5;

double mebibytes(std::uint64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

bool is_full(const ErrorInfo& error) { return error.code == ErrorCode::kObjectStoreFull || error.code == ErrorCode::kOutOfDisk; }

}  // namespace

/// Room without waiting for others: free, or by evicting objects that are on disk as well. nullopt when the arena is full. The lock
/// is let go of while much memory is cleared.
Result<std::optional<Block>> ObjectStore::allocate(std::uint64_t bytes, Lock& lock) {
  while (true) {
    ++waiting_;
    auto block = arena_->allocate(bytes, &lock);
    --waiting_;
    if (closing_) {
      changed_.notify_all();  // close() waits
      if (block) arena_->free(*block);
      return ErrorInfo{.code = ErrorCode::kRuntimeStopped, .message = "the object store has been closed"};
    }
    if (block) return std::optional(*block);
    const auto why = block.error().code;
    if (why == ErrorCode::kOutOfMemory || why == ErrorCode::kIoError) changed_.notify_all();  // for a while it seemed to take a part of the budget
    if (block.error().code != ErrorCode::kInvalidArgument && evict_one()) continue;  // also where the system gives no memory or no descriptor for a new extent
    if (block.error().code != ErrorCode::kObjectStoreFull) return block.error();
    return std::optional<Block>{};
  }
}

bool ObjectStore::evict_one() {
  if (evictable_.empty()) return false;
  Object& oldest = objects_.at(evictable_.begin()->second);
  leave_idle(oldest);
  release_block(oldest);
  oldest.state = ObjectState::kSpilled;
  return true;
}

Result<Block> ObjectStore::obtain(std::uint64_t bytes, Lock& lock) {
  auto block = allocate(bytes, lock);
  if (!block) return block.error();
  if (*block) return **block;
  ++waiting_;
  ++waiting_for_room_;
  auto waited = wait_for_room(bytes, lock);
  --waiting_;
  if (--waiting_for_room_ == 0) wanted_bytes_ = 0;
  changed_.notify_all();
  return waited;
}

/// Who comes when one has waited in vain and nothing has changed since does not wait as long again, unless there is no file.
Result<Block> ObjectStore::obtain_for_creating(std::uint64_t bytes, Lock& lock) {
  if (!arena_->has_files()) return obtain(bytes, lock);
  auto at_once = allocate(bytes, lock);
  if (closing_) return at_once.error();
  if (!at_once) return take_file(bytes, lock, at_once.error());  // larger than the budget, or the kernel has no memory
  if (*at_once) return **at_once;
  if (nothing_moves())
    if (auto file = take_file(bytes, lock, full_error(bytes)); file || closing_) return file;
  auto block = obtain(bytes, lock);
  if (block || block.error().code == ErrorCode::kRuntimeStopped) return block;
  stuck_at_ = progress_;
  return take_file(bytes, lock, block.error());
}

bool ObjectStore::nothing_moves() const {
  const bool can_spill = tier_.enabled() && !spillable_.empty() && !spill_error_;
  return stuck_at_ == progress_ && !spilling_ && !can_spill && evictable_.empty();
}

/// The last resort. When it fails too, the error is `otherwise` with that as its cause, and OutOfDisk when that is the reason.
Result<Block> ObjectStore::take_file(std::uint64_t bytes, Lock& lock, const ErrorInfo& otherwise) {
  ++waiting_;
  lock.unlock();
  auto block = arena_->allocate_in_file(bytes);
  lock.lock();
  --waiting_;
  changed_.notify_all();
  if (closing_) {
    if (block) arena_->free(*block);
    return ErrorInfo{.code = ErrorCode::kRuntimeStopped, .message = "the object store has been closed"};
  }
  if (block) return block;
  auto error = otherwise;
  if (block.error().code == ErrorCode::kOutOfDisk) error.code = ErrorCode::kOutOfDisk;
  error.message += ". It cannot lie in a file either: " + block.error().message;
  if (!error.cause) error.cause = std::make_shared<const ErrorInfo>(block.error());
  return error;
}

/// Readers must get on when creators cannot: what they let go of is what makes room.
Result<Block> ObjectStore::obtain_for_reading(std::uint64_t bytes, Lock& lock) {
  auto at_once = allocate(bytes, lock);
  if (!at_once && at_once.error().code == ErrorCode::kOutOfMemory && arena_->has_files()) return take_file(bytes, lock, at_once.error());
  if (!at_once) return at_once.error();
  if (*at_once) return **at_once;
  if (spill_error_ || nothing_moves()) {
    if (auto beyond = arena_->allocate_beyond(bytes)) return *beyond;
  }
  if (arena_->has_files() && nothing_moves()) {
    if (auto file = take_file(bytes, lock, full_error(bytes)); file || closing_) return file;
  }
  auto block = obtain(bytes, lock);
  if (block || !is_full(block.error())) return block;
  stuck_at_ = progress_;
  if (auto beyond = arena_->allocate_beyond(bytes)) return *beyond;
  return arena_->has_files() ? take_file(bytes, lock, block.error()) : block;
}

Result<Block> ObjectStore::wait_for_room(std::uint64_t bytes, Lock& lock) {
  const auto limit = Clock::now() + options_.full_limit;
  auto deadline = Clock::now() + options_.full_grace;
  auto seen_progress = progress_;
  std::optional<std::uint64_t> asked_in;  // the round in which the spiller was last asked
  while (true) {
    if (asked_in != rounds_) ask_for_room(bytes);
    asked_in = rounds_;
    changed_.wait_until(lock, std::min(deadline, limit));
    if (closing_) return ErrorInfo{.code = ErrorCode::kRuntimeStopped, .message = "the object store has been closed"};
    auto block = allocate(bytes, lock);
    if (!block) return block.error();
    if (*block) return **block;
    const auto now = Clock::now();
    if (spilling_ || progress_ != seen_progress) deadline = now + options_.full_grace;
    seen_progress = progress_;
    if (now >= deadline || now >= limit) return full_error(bytes);
  }
}

ErrorInfo ObjectStore::full_error(std::uint64_t bytes) const {
  const auto cause = spill_error_ ? std::make_shared<const ErrorInfo>(*spill_error_) : nullptr;
  const auto text = fmt::format("no room for an object of {} bytes: the arena of {:.1f} MiB is full{}. Holders: {}", bytes,
                                mebibytes(arena_->budget_bytes()),
                                cause ? " and nothing can be spilled" : "", biggest_holders());
  if (cause && cause->code == ErrorCode::kOutOfDisk)
    return {.code = ErrorCode::kOutOfDisk, .message = text + ". Free disk space, then try again", .cause = cause};
  return {.code = ErrorCode::kObjectStoreFull,
          .message = text + ". Free references, or raise the arena's budget", .cause = cause};
}

std::string ObjectStore::biggest_holders() const {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> holders;  // bytes, id
  for (const auto& [id, object] : objects_)
    if (object.block) holders.emplace_back(object.bytes, id);
  const auto listed = std::min(kHoldersListed, holders.size());
  std::partial_sort(holders.begin(), holders.begin() + static_cast<std::ptrdiff_t>(listed), holders.end(), std::greater<>());
  std::string text;
  for (std::size_t i = 0; i < listed; ++i) {
    const auto& object = objects_.at(holders[i].second);
    text += fmt::format("{}object {} ({:.1f} MiB, {}, {} pins{}{})", i ? ", " : "", holders[i].second,
                        mebibytes(object.bytes), to_string(object.state), object.pins, object.freed ? ", freed" : "",
                        object.beyond ? ", outside the arena" : "");
  }
  if (holders.size() > listed) text += fmt::format(" and {} more", holders.size() - listed);
  return text.empty() ? "none" : text;
}

// --- the spiller's thread ----------------------------------------------------------------------------------------------

void ObjectStore::ask_for_room(std::uint64_t bytes) {
  if (!tier_.enabled()) return;
  wanted_bytes_ += Arena::rounded_bytes(bytes);
  wake_spiller();
}

void ObjectStore::wake_spiller() {
  if (closing_) return;
  if (!spiller_.joinable()) try {
      spiller_ = std::thread([this] { run_spiller(); });
    } catch (const std::system_error& e) {  // tried again at the next wish; who wants room hears that there is none
      log(LogLevel::kWarning, std::string("no thread for spilling objects and giving memory back: ") + e.what());
    }
  work_.notify_all();
}

/// Or until empty extents are to be looked for.
void ObjectStore::wait_for_work(Lock& lock, std::optional<Clock::time_point> until) {
  if (closing_) return;
  if (trim_due_) until = until ? std::min(*until, trim_at_) : trim_at_;
  until ? static_cast<void>(work_.wait_until(lock, *until)) : work_.wait(lock);
}

void ObjectStore::run_spiller() {
  Lock lock(mutex_);
  while (!closing_) {
    if (const auto now = Clock::now(); trim_due_ && now >= trim_at_) {
      lock.unlock();  // giving pages back takes its time
      arena_->trim(options_.extent_idle);
      lock.lock();
      trim_due_ = arena_->has_empty_extents();
      trim_at_ = now + std::max<Clock::duration>(options_.extent_idle / 4, std::chrono::milliseconds(1));
    }
    const auto seen = drops_;
    lock.unlock();
    const bool reclaimed = tier_.reclaim();
    lock.lock();
    if (reclaimed || drops_ != seen) continue;
    if (Clock::now() < retry_at_)
      wait_for_work(lock, retry_at_);
    else if (const auto batch = pick_batch(); !batch.empty())
      spill(batch, lock);
    else
      wait_for_work(lock, tier_.next_try());
  }
}

/// How much must leave so that what cannot be evicted stays below the threshold, and whoever waits finds room.
std::uint64_t ObjectStore::bytes_to_spill() const {
  if (!tier_.enabled()) return 0;
  const auto held = arena_->stats().used_bytes - evictable_bytes_;
  const auto allowed = static_cast<std::uint64_t>(options_.spill_threshold * static_cast<double>(arena_->budget_bytes()));
  const auto excess = held > allowed ? held - allowed + std::min(options_.spill_batch_bytes, allowed / 8) : 0;
  return std::max(excess, wanted_bytes_);
}

/// The least recently used objects to be spilled now; they are Spilling from here on.
std::vector<std::uint64_t> ObjectStore::pick_batch() {
  const auto target = std::min(bytes_to_spill(), options_.spill_batch_bytes);
  std::vector<std::uint64_t> batch;
  std::uint64_t bytes = 0;
  while (!spillable_.empty() && bytes < target && batch.size() < options_.spill_batch_objects) {
    const auto id = spillable_.begin()->second;
    Object& object = objects_.at(id);
    leave_idle(object);
    object.state = ObjectState::kSpilling;
    bytes += Arena::rounded_bytes(object.bytes);
    batch.push_back(id);
  }
  if (!batch.empty()) wanted_bytes_ = 0;
  return batch;
}

void ObjectStore::spill(const std::vector<std::uint64_t>& batch, Lock& lock) {
  std::vector<SpillItem> items;
  for (const auto id : batch) items.push_back({.id = id, .bytes = arena_->bytes(*objects_.at(id).block)});
  spilling_ = true;
  lock.unlock();
  const auto slots = tier_.write(items);
  lock.lock();
  spilling_ = false;
  finish_spill(batch, slots);
  ++rounds_;
  changed_.notify_all();
}

void ObjectStore::finish_spill(const std::vector<std::uint64_t>& batch, const Result<std::vector<SpillSlot>>& slots) {
  if (!slots) {
    if (!spill_error_) log(LogLevel::kWarning, "objects cannot be spilled: " + slots.error().to_string());
    spill_error_ = slots.error();
    retry_at_ = Clock::now() + options_.spill_retry;
    ++counters_.failed_spills;
  } else {
    spill_error_.reset();
  }
  for (std::size_t i = 0; i < batch.size(); ++i) {
    Object& object = objects_.at(batch[i]);
    object.state = ObjectState::kSealed;
    if (slots) {
      object.slot = (*slots)[i];
      counters_.spill_bytes_written += object.bytes;
      if (object.pins == 0 && !object.freed) {
        release_block(object);
        object.state = ObjectState::kSpilled;
      }
    }
    settle(batch[i], object);
  }
}

}  // namespace manta
