#include "runtime/base/object_pool.hpp"

#include <pthread.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <new>

#include "runtime/base/small_mutex.hpp"

namespace manta {

#if defined(MANTA_SANITIZED) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)

// So that they see a use of what has been freed.
void* pool_allocate(std::size_t size) { return ::operator new(size); }
void pool_free(void* memory, std::size_t) noexcept { ::operator delete(memory); }
std::size_t pool_slab_bytes() noexcept { return 0; }

#else

namespace {

constexpr std::size_t kGrain = 8;
constexpr std::size_t kSizes = kMaxPooledSize / kGrain;
constexpr std::size_t kMagazine = 64;       // objects
constexpr std::size_t kMostMagazines = 32;  // full ones that wait for a thread, of each size
constexpr std::size_t kSlabBytes = 16 * 1024;

std::size_t index_of(std::size_t size) { return (size + kGrain - 1) / kGrain - 1; }
std::size_t size_of(std::size_t index) { return (index + 1) * kGrain; }

/// A free object.
struct Link {
  Link* next;
};

/// Free objects, last in, first out.
struct Magazine {
  Link* first = nullptr;
  std::size_t count = 0;
  void push(void* memory) {
    first = new (memory) Link{first};
    ++count;
  }
  void* pop() {
    auto* link = first;
    first = link->next;
    --count;
    return link;
  }
};

/// Memory for objects of one size; lies at a multiple of kSlabBytes, so that each object finds it.
struct Slab {
  Slab *before = nullptr, *after = nullptr;  // in the list of those that have room
  Magazine free{};
  std::size_t used = 0;   // objects that are out
  std::size_t fresh = 0;  // offset of what has never been out
};
constexpr std::size_t kSlabHeader = 64;
static_assert(sizeof(Slab) <= kSlabHeader);

/// What all threads share, for one size.
class Depot {
 public:
  void get(std::size_t size, Magazine& into) {
    std::lock_guard lock(mutex_);
    if (full_count_ > 0)
      into = full_[--full_count_];
    else
      fill(size, into);
  }
  /// Takes all that is in it.
  void put(std::size_t size, Magazine& from) {
    std::lock_guard lock(mutex_);
    if (from.count == kMagazine && full_count_ < kMostMagazines)
      full_[full_count_++] = std::exchange(from, {});
    else
      while (from.count > 0) put_back(size, from.pop());
  }
  std::size_t slabs() {
    std::lock_guard lock(mutex_);
    return slabs_;
  }
  void lock() { mutex_.lock(); }
  void unlock() { mutex_.unlock(); }

 private:
  void fill(std::size_t size, Magazine& into) {
    while (into.count < kMagazine) {
      if (!room_) {
        if (into.count > 0) return;
        add_slab();
      }
      auto& slab = *room_;
      void* object = slab.free.count > 0 ? slab.free.pop() : carve(slab, size);
      ++slab.used;
      if (!has_room(slab, size)) unlink(slab);
      into.push(object);
    }
  }
  static void* carve(Slab& slab, std::size_t size) { return reinterpret_cast<std::byte*>(&slab) + std::exchange(slab.fresh, slab.fresh + size); }
  /// The last eight bytes belong to the allocator below, so that its blocks lie side by side.
  static bool has_room(const Slab& slab, std::size_t size) { return slab.free.count > 0 || slab.fresh + size <= kSlabBytes - kGrain; }
  void put_back(std::size_t size, void* object) {
    auto& slab = *reinterpret_cast<Slab*>(reinterpret_cast<std::uintptr_t>(object) & ~(kSlabBytes - 1));
    const bool had_room = has_room(slab, size);
    slab.free.push(object);
    --slab.used;
    if (!had_room) link(slab);
    if (slab.used > 0 || (room_ == &slab && !slab.after)) return;  // the last one stays
    unlink(slab);
    std::free(&slab);
    --slabs_;
  }
  void add_slab() {
    void* memory = nullptr;
    if (::posix_memalign(&memory, kSlabBytes, kSlabBytes - kGrain) != 0) throw std::bad_alloc();
    auto& slab = *new (memory) Slab;
    slab.fresh = kSlabHeader;
    link(slab);
    ++slabs_;
  }
  void link(Slab& slab) {
    slab.before = nullptr;
    slab.after = room_;
    if (room_) room_->before = &slab;
    room_ = &slab;
  }
  void unlink(Slab& slab) {
    (slab.before ? slab.before->after : room_) = slab.after;
    if (slab.after) slab.after->before = slab.before;
  }

  SmallMutex mutex_;  // guards what follows
  Slab* room_ = nullptr;
  std::array<Magazine, kMostMagazines> full_{};
  std::size_t full_count_ = 0;
  std::size_t slabs_ = 0;
};

constinit std::array<Depot, kSizes> g_depots{};  // needs no destructor: objects are freed until the process ends

/// A fork's child has only the thread that forked: nobody may hold a depot then, or the child's exit would wait for it for ever.
void lock_all() {
  for (auto& depot : g_depots) depot.lock();
}
void unlock_all() {
  for (auto& depot : g_depots) depot.unlock();
}
[[maybe_unused]] const int g_at_fork = ::pthread_atfork(lock_all, unlock_all, unlock_all);

struct Cache {
  struct Pair {
    Magazine now{}, other{};  // two, so that a thread on the border of one does not trade each time
  };
  std::array<Pair, kSizes> pairs{};
};

thread_local Cache* t_cache = nullptr;
thread_local bool t_ended = false;

/// Gives back what the thread has at its end; what is freed after that goes to the depot at once.
struct CacheHolder {
  CacheHolder() { t_cache = &cache; }
  ~CacheHolder() {
    t_cache = nullptr;
    t_ended = true;
    for (std::size_t i = 0; i < kSizes; ++i) {
      g_depots[i].put(size_of(i), cache.pairs[i].now);
      g_depots[i].put(size_of(i), cache.pairs[i].other);
    }
  }
  CacheHolder(const CacheHolder&) = delete;
  Cache cache{};
};

Cache* cache() {
  if (t_cache || t_ended) return t_cache;
  thread_local CacheHolder holder;
  return t_cache;
}

[[gnu::noinline]] void* allocate_slowly(std::size_t index) {
  if (auto* mine = cache()) {
    auto& [now, other] = mine->pairs[index];
    std::swap(now, other);
    if (now.count == 0) g_depots[index].get(size_of(index), now);
    return now.pop();
  }
  Magazine some;
  g_depots[index].get(size_of(index), some);
  void* memory = some.pop();
  g_depots[index].put(size_of(index), some);
  return memory;
}

[[gnu::noinline]] void free_slowly(void* memory, std::size_t index) noexcept {
  if (auto* mine = cache()) {
    auto& [now, other] = mine->pairs[index];
    if (now.count == kMagazine) {
      std::swap(now, other);
      if (now.count == kMagazine) g_depots[index].put(size_of(index), now);
    }
    return now.push(memory);
  }
  Magazine one;
  one.push(memory);
  g_depots[index].put(size_of(index), one);
}

}  // namespace

void* pool_allocate(std::size_t size) {
  const auto index = index_of(size);
  if (t_cache)
    if (auto& now = t_cache->pairs[index].now; now.count > 0) return now.pop();
  return allocate_slowly(index);
}

void pool_free(void* memory, std::size_t size) noexcept {
  const auto index = index_of(size);
  if (t_cache)
    if (auto& now = t_cache->pairs[index].now; now.count < kMagazine) return now.push(memory);
  free_slowly(memory, index);
}

std::size_t pool_slab_bytes() noexcept {
  std::size_t bytes = 0;
  for (auto& depot : g_depots) bytes += depot.slabs() * kSlabBytes;
  return bytes;
}

#endif

}  // namespace manta
