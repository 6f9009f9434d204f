#pragma once
// Where in memory something lies, as /proc tells it: to see whether two processes read the same pages.
#include <cstdint>
#include <sstream>
#include <string>

#include "tests/runtime/api/support.hpp"

namespace manta_test {

/// The mapping that an address lies in, and the address's place in the file behind it.
struct Place {
  std::string permissions{}, device{}, path{};
  std::uint64_t file_offset = 0, inode = 0, frame = 0;
  int pid = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(permissions, device, path, file_offset, inode, frame, pid);
  }
  bool same_memory_as(const Place& other) const {
    return inode == other.inode && device == other.device && file_offset == other.file_offset && frame == other.frame;
  }
};

Place place_of(const void* address);

}  // namespace manta_test
