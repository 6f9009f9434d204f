#include "runtime/store/arena.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "runtime/base/standard_streams.hpp"
#include "runtime/store/reserve_space.hpp"

namespace manta {

namespace {

constexpr std::uint64_t kLine = 64;
constexpr std::uint64_t kPageAlignFrom = 1ull << 20;
constexpr double kDefaultShare = 0.3;
constexpr std::uint64_t kMostFileBytes = INT64_MAX / 2;
constexpr std::uint64_t kSharedFileBytes = 16ull << 20;
constexpr std::uint64_t kBeyondShare = 4;  // one part in so many of the budget

std::uint64_t page_bytes() {
  static const auto bytes = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return bytes;
}

std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) { return (value + unit - 1) / unit * unit; }

std::uint64_t alignment_of(std::uint64_t rounded) { return rounded >= kPageAlignFrom ? page_bytes() : kLine; }

ErrorInfo system_error(ErrorCode code, const std::string& what) {
  return {.code = code, .message = fmt::format("{}: {}", what, std::strerror(errno))};
}

/// A sealed memfd of exactly `bytes`, every page of it reserved. Its mode lets nobody reopen it for writing.
Result<int> make_memfd(std::uint64_t bytes) {
  const int fd = above_standard_streams(::memfd_create("manta-arena", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (fd < 0) return system_error(ErrorCode::kIoError, "cannot make shared memory for objects");
  errno = reserve_space(fd, bytes);
  if (errno || ::fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0 || ::fchmod(fd, 0400) != 0) {
    auto error = system_error(ErrorCode::kOutOfMemory,
                              fmt::format("cannot reserve {} bytes of shared memory for objects; lower the arena's "
                                          "budget or free memory", bytes));
    ::close(fd);
    return error;
  }
  return fd;
}

/// Null: errno says why not.
std::byte* map_shared(int fd, std::uint64_t bytes, int protection) {
  void* base = ::mmap(nullptr, bytes, protection, MAP_SHARED, fd, 0);
  if (base == MAP_FAILED) return nullptr;
  ::madvise(base, bytes, MADV_DONTDUMP);
  return static_cast<std::byte*>(base);
}

}  // namespace

std::uint64_t Arena::rounded_bytes(std::uint64_t bytes) noexcept {
  if (bytes > UINT64_MAX - page_bytes()) return UINT64_MAX;
  return bytes >= kPageAlignFrom ? round_up(bytes, page_bytes()) : std::max(kLine, round_up(bytes, kLine));
}

Result<std::unique_ptr<Arena>> Arena::create(ArenaOptions options) {
  const auto limits = options.memory_limits ? *options.memory_limits : read_memory_limits();
  auto budget = options.budget_bytes;
  if (budget == 0) {
    budget = static_cast<std::uint64_t>(static_cast<double>(limits.smaller()) * kDefaultShare);
  } else if (budget > limits.smaller()) {
    return ErrorInfo{.code = ErrorCode::kResourceExhausted,
                     .message = fmt::format("the object arena's budget of {} bytes is larger than the {} bytes of memory "
                                            "that are left here (machine {}, cgroup {}); lower the budget or free memory",
                                            budget, limits.smaller(), limits.available_bytes,
                                            limits.cgroup_headroom_bytes)};
  }
  budget = std::max(page_bytes(), budget / page_bytes() * page_bytes());
  const auto extent = round_up(std::max<std::uint64_t>(options.extent_bytes, 1), page_bytes());
  return std::unique_ptr<Arena>(new Arena(budget, extent, std::move(options)));
}

Arena::Arena(std::uint64_t budget_bytes, std::uint64_t extent_bytes, ArenaOptions options)
    : budget_bytes_(budget_bytes), extent_bytes_(extent_bytes), make_file_(std::move(options.make_file)),
      most_file_space_(options.files_in_memory ? budget_bytes / kBeyondShare : UINT64_MAX) {}

Arena::~Arena() {
  for (auto& [id, extent] : extents_) unmap_extent({.fd = extent.fd, .base = extent.base, .readable = extent.readable, .bytes = extent.bytes});
}

/// Takes the descriptor.
Result<Arena::Extent> Arena::map_extent(Result<int> fd, std::uint64_t bytes, Kind kind) {
  if (!fd) return fd.error();
  auto* base = map_shared(*fd, bytes, PROT_READ | PROT_WRITE);
  auto* readable = base ? map_shared(*fd, bytes, PROT_READ) : nullptr;
  if (readable)
    return Extent{.fd = *fd, .base = base, .readable = readable, .bytes = bytes, .kind = kind, .free = {}, .blocks = {}, .empty_since = Clock::now()};
  auto error = system_error(ErrorCode::kOutOfMemory, "cannot map shared memory for objects");
  unmap_extent({.fd = *fd, .base = base, .readable = nullptr, .bytes = bytes});
  return error;
}

Result<Block> Arena::allocate(std::uint64_t bytes, std::unique_lock<std::mutex>* caller) {
  const auto rounded = rounded_bytes(bytes);
  if (rounded > budget_bytes_) {
    return ErrorInfo{.code = ErrorCode::kInvalidArgument,
                     .message = fmt::format("an object of {} bytes is larger than the arena's budget of {} bytes; raise "
                                            "the budget or split the object", bytes, budget_bytes_)};
  }
  std::unique_lock lock(mutex_);
  if (auto block = take_best_fit(bytes, rounded, Kind::kBudget)) return *block;
  const auto needed = round_up(rounded, page_bytes());
  const auto gone = claim_budget(rounded, needed);
  if (!gone) return gone.error();
  const bool alone = rounded > extent_bytes_;
  const auto size = alone ? needed : needed + std::min(extent_bytes_ - needed, budget_bytes_ - reserved_bytes_);
  reserved_bytes_ += size - needed;
  auto made = alone ? make_alone(size, *gone, lock, caller) : make_instead(size, *gone);
  if (!made) return reserved_bytes_ -= size, made.error();
  const auto id = add(std::move(*made));
  insert_free(id, 0, size);
  return carve({size, id, 0}, 0, bytes, rounded);
}

/// `gone` first: before its memory is taken again.
Result<Arena::Extent> Arena::make_instead(std::uint64_t bytes, const std::vector<MappedExtent>& gone) {
  for (const auto& extent : gone) remove_extent(extent);
  return map_extent(make_memfd(bytes), bytes, Kind::kBudget);
}

/// Without the locks: what the kernel clears, or takes back, may be GiBs.
Result<Arena::Extent> Arena::make_alone(std::uint64_t bytes, const std::vector<MappedExtent>& gone, std::unique_lock<std::mutex>& lock,
                                        std::unique_lock<std::mutex>* caller) {
  lock.unlock();
  if (caller) caller->unlock();
  auto made = make_instead(bytes, gone);
  if (caller) caller->lock();  // first, as everywhere
  lock.lock();
  return made;
}

std::uint32_t Arena::add(Extent extent) {
  const auto id = next_extent_++;
  extents_.emplace(id, std::move(extent));
  return id;
}

bool Arena::clears_much(std::uint64_t bytes) const {
  const auto rounded = rounded_bytes(bytes);
  if (rounded <= extent_bytes_ || rounded > budget_bytes_) return false;
  std::lock_guard lock(mutex_);
  return !best_fit(rounded, Kind::kBudget);
}

std::optional<Arena::FreeKey> Arena::best_fit(std::uint64_t rounded, Kind kind) const {
  const auto& ranges = free_of(kind);
  for (auto range = ranges.lower_bound({rounded, 0, 0}); range != ranges.end(); ++range) {
    const auto [size, id, offset] = *range;
    if (round_up(offset, alignment_of(rounded)) - offset + rounded <= size) return *range;
  }
  return std::nullopt;
}

std::optional<Block> Arena::take_best_fit(std::uint64_t bytes, std::uint64_t rounded, Kind kind) {
  const auto range = best_fit(rounded, kind);
  if (!range) return std::nullopt;
  return carve(*range, round_up(std::get<2>(*range), alignment_of(rounded)), bytes, rounded);
}

Block Arena::carve(FreeKey range, std::uint64_t start, std::uint64_t bytes, std::uint64_t rounded) {
  const auto [size, id, offset] = range;
  Extent& extent = extents_.at(id);
  free_of(extent.kind).erase(range);
  extent.free.erase(offset);
  if (start > offset) insert_free(id, offset, start - offset);
  if (const auto end = start + rounded; end < offset + size) insert_free(id, end, offset + size - end);
  extent.blocks.emplace(start, rounded);
  (extent.kind == Kind::kFile ? file_bytes_ : used_bytes_) += rounded;
  ++blocks_;
  return {.extent = id, .offset = start, .size = bytes};
}

/// `bytes` of the budget for an extent, in which `rounded` are wanted. Gives what is to be removed for it.
Result<std::vector<MappedExtent>> Arena::claim_budget(std::uint64_t rounded, std::uint64_t bytes) {
  auto gone = make_budget_room(bytes);
  if (!gone) {
    return ErrorInfo{.code = ErrorCode::kObjectStoreFull,
                     .message = fmt::format("no room for {} bytes in the object arena: {} of {} bytes are in use", rounded,
                                            used_bytes_, budget_bytes_)};
  }
  reserved_bytes_ += bytes;
  return std::move(*gone);
}

Result<Block> Arena::allocate_beyond(std::uint64_t bytes) {
  const auto rounded = rounded_bytes(bytes);
  std::lock_guard lock(mutex_);
  if (rounded > budget_bytes_ || (beyond_bytes_ > 0 && beyond_bytes_ + rounded > budget_bytes_ / kBeyondShare)) {
    return ErrorInfo{.code = ErrorCode::kObjectStoreFull,
                     .message = fmt::format("no room for {} bytes even beyond the object arena's budget of {} bytes: {} bytes lie "
                                            "there already", rounded, budget_bytes_, beyond_bytes_)};
  }
  const auto size = round_up(rounded, page_bytes());
  auto made = map_extent(make_memfd(size), size, Kind::kBeyond);
  if (!made) return made.error();
  made->blocks.emplace(0, rounded);
  beyond_bytes_ += size;
  ++blocks_;
  return Block{.extent = add(std::move(*made)), .offset = 0, .size = bytes};
}

/// Small objects share files: one for each would use up the descriptors.
Result<Block> Arena::allocate_in_file(std::uint64_t bytes) {
  if (!make_file_)
    return ErrorInfo{.code = ErrorCode::kResourceExhausted, .message = "objects in files are turned off here"};
  const auto rounded = rounded_bytes(bytes);
  if (rounded > kMostFileBytes)
    return ErrorInfo{.code = ErrorCode::kInvalidArgument, .message = fmt::format("no object can have {} bytes", bytes)};
  std::unique_lock lock(mutex_);
  if (auto block = take_best_fit(bytes, rounded, Kind::kFile)) return *block;
  const auto needed = round_up(rounded, page_bytes());
  const auto claimed = claim_file_space(needed);
  if (!claimed) return claimed.error();
  lock.unlock();  // the disk may take its time
  auto made = map_new_file(needed, *claimed);
  lock.lock();
  file_space_ -= *claimed;
  if (!made) return made.error();
  const auto size = made->bytes;
  file_space_ += size;
  const auto id = add(std::move(*made));
  insert_free(id, 0, size);
  return carve({size, id, 0}, 0, bytes, rounded);
}

/// How large a file for `needed` bytes may be: with room for others where there is as much, else just so large.
Result<std::uint64_t> Arena::claim_file_space(std::uint64_t needed) {
  const auto left = most_file_space_ - std::min(file_space_, most_file_space_);
  if (needed > left)
    return ErrorInfo{.code = ErrorCode::kObjectStoreFull,
                     .message = fmt::format("files for objects lie in memory here, where they may take {} bytes, a quarter of the arena's "
                                            "budget, and {} are taken; name a directory on a disk for them (spill_dir)",
                                            most_file_space_, file_space_)};
  const auto shared = std::max(needed, std::min(extent_bytes_, kSharedFileBytes));
  const auto claimed = shared > left ? needed : shared;
  file_space_ += claimed;
  return claimed;
}

Result<Arena::Extent> Arena::map_new_file(std::uint64_t needed, std::uint64_t wished) {
  const bool more_to_come = remover_.busy();
  auto made = map_file(wished);
  if (!made && more_to_come) {
    remover_.wait();
    made = map_file(wished);
  }
  return made || needed == wished ? std::move(made) : map_file(needed);
}

Result<Arena::Extent> Arena::map_file(std::uint64_t bytes) const {
  return map_extent(make_file_(bytes), bytes, Kind::kFile);
}

bool Arena::is_beyond(const Block& block) const {
  std::lock_guard lock(mutex_);
  const auto found = extents_.find(block.extent);
  return found != extents_.end() && found->second.kind != Kind::kBudget;
}

/// Takes empty extents out, smallest first, until `bytes` more fit the budget; only if that is enough.
std::optional<std::vector<MappedExtent>> Arena::make_budget_room(std::uint64_t bytes) {
  std::vector<std::pair<std::uint64_t, std::uint32_t>> empty;
  std::uint64_t reclaimable = 0;
  for (const auto& [id, extent] : extents_) {
    if (!extent.blocks.empty() || extent.kind != Kind::kBudget) continue;
    empty.emplace_back(extent.bytes, id);
    reclaimable += extent.bytes;
  }
  if (reserved_bytes_ - reclaimable + bytes > budget_bytes_) return std::nullopt;
  std::sort(empty.begin(), empty.end());
  std::vector<MappedExtent> gone;
  for (auto it = empty.begin(); it != empty.end() && reserved_bytes_ + bytes > budget_bytes_; ++it) gone.push_back(take_out(it->second));
  return gone;
}

void Arena::insert_free(std::uint32_t id, std::uint64_t offset, std::uint64_t bytes) {
  Extent& extent = extents_.at(id);
  extent.free.emplace(offset, bytes);
  free_of(extent.kind).emplace(bytes, id, offset);
}

bool Arena::free(const Block& block) {
  std::unique_lock lock(mutex_);
  const auto found = extents_.find(block.extent);
  MANTA_CHECK(found != extents_.end());
  Extent& extent = found->second;
  const auto live = extent.blocks.find(block.offset);
  MANTA_CHECK(live != extent.blocks.end() && live->second == rounded_bytes(block.size));
  auto offset = block.offset;
  auto bytes = live->second;
  --blocks_;
  extent.blocks.erase(live);
  if (extent.kind == Kind::kFile) file_bytes_ -= bytes;
  if (extent.kind == Kind::kBudget) used_bytes_ -= bytes;
  if (extent.kind != Kind::kBudget && extent.blocks.empty()) {
    const bool is_file = extent.kind == Kind::kFile;
    const auto gone = take_out(block.extent);
    lock.unlock();
    is_file ? remover_.remove_later(gone) : remove_extent(gone);
    return false;
  }
  auto& ranges = free_of(extent.kind);
  auto next = extent.free.lower_bound(offset);
  if (next != extent.free.end() && next->first == offset + bytes) {
    bytes += next->second;
    ranges.erase({next->second, block.extent, next->first});
    next = extent.free.erase(next);
  }
  if (next != extent.free.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == offset) {
      offset = before->first;
      bytes += before->second;
      ranges.erase({before->second, block.extent, before->first});
      extent.free.erase(before);
    }
  }
  insert_free(block.extent, offset, bytes);
  if (!extent.blocks.empty()) return false;
  extent.empty_since = Clock::now();
  return true;
}

/// With mutex_ held.
const Arena::Extent& Arena::extent_of(const Block& block) const {
  const auto found = extents_.find(block.extent);
  MANTA_CHECK(found != extents_.end());
  MANTA_CHECK(block.offset <= found->second.bytes && block.size <= found->second.bytes - block.offset);
  return found->second;
}

std::span<std::byte> Arena::bytes(const Block& block) const {
  std::lock_guard lock(mutex_);
  return {extent_of(block).base + block.offset, block.size};
}

ByteView Arena::readable(const Block& block) const {
  std::lock_guard lock(mutex_);
  return {extent_of(block).readable + block.offset, block.size};
}

Result<int> Arena::extent_fd(std::uint32_t extent, bool writable) const {
  std::lock_guard lock(mutex_);
  const auto found = extents_.find(extent);
  if (found == extents_.end())
    return ErrorInfo{.code = ErrorCode::kNotFound, .message = fmt::format("the arena has no extent {}", extent)};
  const int source = found->second.fd;
  const int fd = writable ? ::fcntl(source, F_DUPFD_CLOEXEC, 3)
                          : above_standard_streams(::open(fmt::format("/proc/self/fd/{}", source).c_str(), O_RDONLY | O_CLOEXEC));
  if (fd < 0) return system_error(ErrorCode::kIoError, "cannot share the object arena with another process");
  return fd;
}

std::uint64_t Arena::extent_bytes(std::uint32_t extent) const {
  std::lock_guard lock(mutex_);
  const auto found = extents_.find(extent);
  return found == extents_.end() ? 0 : found->second.bytes;
}

std::vector<std::uint32_t> Arena::extents() const {
  std::lock_guard lock(mutex_);
  std::vector<std::uint32_t> ids;
  for (const auto& [id, extent] : extents_) ids.push_back(id);
  return ids;
}

std::size_t Arena::trim(std::chrono::milliseconds idle) {
  std::unique_lock lock(mutex_);
  std::vector<std::uint32_t> stale;
  const auto now = Clock::now();
  for (const auto& [id, extent] : extents_)
    if (extent.blocks.empty() && now - extent.empty_since >= idle) stale.push_back(id);
  std::vector<MappedExtent> gone;
  for (const auto id : stale) gone.push_back(take_out(id));
  lock.unlock();
  for (const auto& extent : gone) remove_extent(extent);
  return stale.size();
}

bool Arena::has_empty_extents() const {
  std::lock_guard lock(mutex_);
  return std::any_of(extents_.begin(), extents_.end(), [](const auto& each) { return each.second.blocks.empty(); });
}

/// From here on nobody here knows it; the caller gives it back to the system.
MappedExtent Arena::take_out(std::uint32_t id) {
  Extent& extent = extents_.at(id);
  for (const auto& [offset, bytes] : extent.free) free_of(extent.kind).erase({bytes, id, offset});
  const MappedExtent gone{.fd = extent.fd, .base = extent.base, .readable = extent.readable, .bytes = extent.bytes};
  auto& sum = extent.kind == Kind::kFile ? file_space_ : extent.kind == Kind::kBeyond ? beyond_bytes_ : reserved_bytes_;
  sum -= extent.bytes;
  extents_.erase(id);
  releases_.fetch_add(1, std::memory_order_release);
  return gone;
}

ArenaStats Arena::stats() const {
  std::lock_guard lock(mutex_);
  return {.budget_bytes = budget_bytes_,
          .reserved_bytes = reserved_bytes_,
          .used_bytes = used_bytes_,
          .beyond_bytes = beyond_bytes_,
          .file_bytes = file_bytes_,
          .largest_free_bytes = free_by_size_.empty() ? 0 : std::get<0>(*free_by_size_.rbegin()),
          .extents = extents_.size(),
          .blocks = blocks_};
}

}  // namespace manta
