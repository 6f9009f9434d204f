#pragma once
// ObjectPool: memory for the small objects of which each task has several: its record, its cell, its value, its owner's node. They are
// made on one thread and freed on another, which is what a general allocator does worst: its lock is where the two meet.
//
// Each thread keeps two magazines for each size, and trades a full one for an empty one with all others, once in kMagazine objects
// (Bonwick and Adams, "Magazines and Vmem", 2001). What the threads together have too much of goes back to its slab, and an
// empty slab goes back to the system; a thread that ends gives back what it has. Thread-safe; memory is zero-initialised never.
//
//   auto cell = make_pooled<Cell>(ops);   // as std::make_shared
#include <cstddef>
#include <memory>
#include <utility>

namespace manta {

/// Sizes up to this come from the pool, others from operator new.
inline constexpr std::size_t kMaxPooledSize = 256;

/// Memory of that many bytes, aligned for std::max_align_t where `size` is a multiple of it, else for 8. Throws std::bad_alloc.
void* pool_allocate(std::size_t size);
/// `size`: as it was allocated with.
void pool_free(void* memory, std::size_t size) noexcept;
/// What no thread keeps at hand: bytes of all slabs. For tests.
std::size_t pool_slab_bytes() noexcept;

/// For std::allocate_shared. Stateless.
template <class T>
struct PoolAllocator {
  using value_type = T;
  PoolAllocator() = default;
  template <class U>
  PoolAllocator(const PoolAllocator<U>&) noexcept {}

  T* allocate(std::size_t count) {
    if constexpr (kPooled)
      if (count == 1) return static_cast<T*>(pool_allocate(sizeof(T)));
    return std::allocator<T>().allocate(count);
  }
  void deallocate(T* memory, std::size_t count) noexcept {
    if constexpr (kPooled)
      if (count == 1) return pool_free(memory, sizeof(T));
    std::allocator<T>().deallocate(memory, count);
  }
  template <class U>
  bool operator==(const PoolAllocator<U>&) const noexcept {
    return true;
  }

 private:
  // A type's alignment divides its size.
  static constexpr bool kPooled = sizeof(T) <= kMaxPooledSize && alignof(T) <= alignof(std::max_align_t);
};

template <class T, class... Args>
std::shared_ptr<T> make_pooled(Args&&... args) {
  return std::allocate_shared<T>(PoolAllocator<std::remove_const_t<T>>(), std::forward<Args>(args)...);
}

}  // namespace manta
