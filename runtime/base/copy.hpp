#pragma once
// copy_bytes: memcpy, that takes several cores for what is large. One core reads and writes about half of what two cores' memory can do,
// and whoever puts a gibibyte waits for nothing but that copy.
//
//   copy_bytes(target, source);   // as std::memcpy; the two do not overlap
//
// Thread-safe: for the time of a large copy it starts threads of its own, at most three, and for all copies of the process together one
// less than the cores that the caller may use. When none can be started, the caller copies alone.
#include <cstddef>
#include <cstring>

namespace manta {

/// From here on a copy is shared out: below, starting a thread costs more than it brings.
inline constexpr std::size_t kLargeCopy = std::size_t{32} << 20;

/// For sizes from kLargeCopy; smaller ones work too, on one core.
void copy_large(std::byte* to, const std::byte* from, std::size_t size) noexcept;

inline void copy_bytes(void* to, const void* from, std::size_t size) noexcept {
  if (size >= kLargeCopy) return copy_large(static_cast<std::byte*>(to), static_cast<const std::byte*>(from), size);
  if (size > 0) std::memcpy(to, from, size);
}

}  // namespace manta
