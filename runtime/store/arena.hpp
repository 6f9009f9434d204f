#pragma once
// Arena: the shared memory of one node, in which sealed objects are read in place by every local process.
//
// It is made of memfd extents (64 MiB, or as large as one larger object), created at first use until their sum reaches the
// budget. Pages are reserved when an extent is made, so a full machine is an error here and never a SIGBUS later. The
// allocator's own state lies in private memory: a worker that scribbles cannot damage it. Owned by the node; every
// operation is thread-safe. The memory goes back when the arena is destroyed and the last worker has unmapped it.
// An extent can also be a file on disk, for what finds no room in memory: it is shared and read like the others.
//
//   auto arena = Arena::create({.budget_bytes = 1 << 30}).value();
//   Block block = arena->allocate(4096).value();
//   std::memcpy(arena->bytes(block).data(), source, 4096);
//
// Allocation: best fit with coalescing of neighbours (Knuth, TAOCP vol. 1, section 2.5).
#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <tuple>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/store/block.hpp"
#include "runtime/store/extent_remover.hpp"
#include "runtime/store/memory_limits.hpp"
#include "runtime/store/object_file.hpp"

namespace manta {

struct ArenaOptions {
  std::uint64_t budget_bytes{};                  ///< 0: 30 % of MemAvailable or of the cgroup's headroom, whichever is less
  std::uint64_t extent_bytes{64ull << 20};       ///< rounded up to whole pages
  std::optional<MemoryLimits> memory_limits{};   ///< for tests; otherwise read from the system
  ObjectFileFactory make_file{};                 ///< for allocate_in_file; none: it is refused
  bool files_in_memory{};                        ///< those files take memory: they may have a quarter of the budget in all
};

struct ArenaStats {
  std::uint64_t budget_bytes{};
  std::uint64_t reserved_bytes{};  ///< sum of the extents
  std::uint64_t used_bytes{};      ///< allocated, with rounding
  std::uint64_t beyond_bytes{};    ///< in extents beyond the budget
  std::uint64_t file_bytes{};      ///< allocated in files, with rounding
  std::uint64_t largest_free_bytes{};
  std::size_t extents{};
  std::size_t blocks{};
};

class Arena {
 public:
  /// Makes an arena that holds no memory yet. ResourceExhausted, with both numbers, when the budget is larger than the
  /// memory that the machine and the cgroup have left.
  static Result<std::unique_ptr<Arena>> create(ArenaOptions options);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// Reserves `bytes` (0 is allowed). ObjectStoreFull when no room is left, InvalidArgument when it is larger than the
  /// budget, OutOfMemory when the kernel refuses another extent. The content is not cleared.
  /// Where much has to be cleared, or emptied extents go for it, others use the arena meanwhile, and `caller`, a lock that is held, is let go of until it has been.
  Result<Block> allocate(std::uint64_t bytes, std::unique_lock<std::mutex>* caller = nullptr);
  /// Whether allocate would have to make an extent for this block alone. The kernel clears all of it, 0.1 to 0.3 s for each GiB.
  bool clears_much(std::uint64_t bytes) const;
  /// As allocate, in an extent of its own that does not count towards the budget and goes with the block: the last resort
  /// for reading what is on disk when all else is full. ObjectStoreFull when a quarter of the budget lies there already.
  Result<Block> allocate_beyond(std::uint64_t bytes);
  /// As allocate, in a file, of any size: it takes disk and no room of the budget. A file goes soon after its last block.
  /// Blocks on the disk. Errors: those of the factory; ResourceExhausted when there is none; ObjectStoreFull when files lie in memory
  /// and have a quarter of the budget already.
  Result<Block> allocate_in_file(std::uint64_t bytes);
  bool has_files() const noexcept { return make_file_ != nullptr; }
  /// True for a block of allocate_beyond or allocate_in_file.
  bool is_beyond(const Block& block) const;
  /// Gives a block back; requires one that allocate returned and that nobody reads any more. Never waits for the disk.
  /// True when its extent is empty now, for trim to return.
  bool free(const Block& block);
  /// The block's bytes in this process, for who fills it; requires a live block.
  std::span<std::byte> bytes(const Block& block) const;
  /// The same pages, mapped read-only: for who reads a sealed object. Requires a live block.
  ByteView readable(const Block& block) const;

  /// A descriptor of the extent for another process, close-on-exec; the caller owns it. Through a read-only one the bytes
  /// cannot be mapped for writing. NotFound when the extent is gone.
  Result<int> extent_fd(std::uint32_t extent, bool writable) const;
  /// Size in bytes; 0 when the extent is gone.
  std::uint64_t extent_bytes(std::uint32_t extent) const;
  /// The live extents, in order; what a worker has attached and is not listed here it may detach.
  std::vector<std::uint32_t> extents() const;
  /// How many extents have gone so far.
  std::uint64_t releases() const noexcept { return releases_.load(std::memory_order_acquire); }
  /// Returns extents to the system that have been empty for at least `idle`. Gives how many.
  std::size_t trim(std::chrono::milliseconds idle);
  bool has_empty_extents() const;

  ArenaStats stats() const;
  std::uint64_t budget_bytes() const noexcept { return budget_bytes_; }
  /// Bytes that an object of this size takes in the arena.
  static std::uint64_t rounded_bytes(std::uint64_t bytes) noexcept;

 private:
  using Clock = std::chrono::steady_clock;
  enum class Kind { kBudget, kBeyond, kFile };
  struct Extent {
    int fd{-1};
    std::byte* base{};
    const std::byte* readable{};
    std::uint64_t bytes{};
    Kind kind{};
    std::map<std::uint64_t, std::uint64_t> free;    // offset -> bytes
    std::map<std::uint64_t, std::uint64_t> blocks;  // offset -> rounded bytes
    Clock::time_point empty_since{};
  };
  using FreeKey = std::tuple<std::uint64_t, std::uint32_t, std::uint64_t>;  // bytes, extent, offset

  Arena(std::uint64_t budget_bytes, std::uint64_t extent_bytes, ArenaOptions options);
  std::optional<FreeKey> best_fit(std::uint64_t rounded, Kind kind) const;
  std::optional<Block> take_best_fit(std::uint64_t bytes, std::uint64_t rounded, Kind kind);
  Block carve(FreeKey range, std::uint64_t start, std::uint64_t bytes, std::uint64_t rounded);
  Result<std::vector<MappedExtent>> claim_budget(std::uint64_t rounded, std::uint64_t bytes);
  static Result<Extent> make_instead(std::uint64_t bytes, const std::vector<MappedExtent>& gone);
  static Result<Extent> make_alone(std::uint64_t bytes, const std::vector<MappedExtent>& gone, std::unique_lock<std::mutex>& lock,
                                   std::unique_lock<std::mutex>* caller);
  std::uint32_t add(Extent extent);
  Result<std::uint64_t> claim_file_space(std::uint64_t needed);
  Result<Extent> map_new_file(std::uint64_t needed, std::uint64_t wished);
  Result<Extent> map_file(std::uint64_t bytes) const;
  static Result<Extent> map_extent(Result<int> fd, std::uint64_t bytes, Kind kind);
  const Extent& extent_of(const Block& block) const;
  const std::set<FreeKey>& free_of(Kind kind) const { return kind == Kind::kFile ? free_in_files_ : free_by_size_; }
  std::set<FreeKey>& free_of(Kind kind) { return kind == Kind::kFile ? free_in_files_ : free_by_size_; }
  std::optional<std::vector<MappedExtent>> make_budget_room(std::uint64_t bytes);
  void insert_free(std::uint32_t id, std::uint64_t offset, std::uint64_t bytes);
  [[nodiscard]] MappedExtent take_out(std::uint32_t id);

  const std::uint64_t budget_bytes_;
  const std::uint64_t extent_bytes_;
  const ObjectFileFactory make_file_;
  const std::uint64_t most_file_space_;
  mutable std::mutex mutex_;
  std::map<std::uint32_t, Extent> extents_;
  std::set<FreeKey> free_by_size_;   // in memory
  std::set<FreeKey> free_in_files_;
  std::uint32_t next_extent_{1};
  std::uint64_t reserved_bytes_{};  // with extents being made
  std::uint64_t used_bytes_{};
  std::uint64_t beyond_bytes_{};
  std::uint64_t file_bytes_{};
  std::uint64_t file_space_{};  // sum of the files, with those being made
  std::size_t blocks_{};
  std::atomic<std::uint64_t> releases_{};
  ExtentRemover remover_;
};

}  // namespace manta
