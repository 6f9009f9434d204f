#pragma once
// Block: where bytes lie in a node's arena. A plain value that may cross process borders.
#include <cstddef>
#include <cstdint>
#include <span>

namespace manta {

using ByteView = std::span<const std::byte>;

struct Block {
  std::uint32_t extent{};  ///< number of the memfd; never used twice by one arena
  std::uint64_t offset{};  ///< bytes from the extent's start: a multiple of 64, of the page size from 1 MiB on
  std::uint64_t size{};    ///< bytes asked for

  bool operator==(const Block&) const = default;
};

}  // namespace manta
