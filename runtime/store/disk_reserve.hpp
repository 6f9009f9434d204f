#pragma once
// DiskReserve: a file that holds some disk space for what must still work when there is no other, such as removing values. It
// is given up for that work and made again behind it. What it says is in no other file, so killing its owner loses nothing.
// Owned by one store; not thread-safe. Every call may block on the disk.
//
//   DiskReserve reserve("/data/objects/RESERVE", 8 << 20);
//   if (!reserve.hold()) return no_room();  // nothing new
//   reserve.give_up();                      // room to remove what is old
#include <cstdint>
#include <string>

#include "runtime/base/result.hpp"

namespace manta {

class DiskReserve {
 public:
  /// Does not touch the disk yet.
  DiskReserve(std::string file, std::uint64_t bytes) : file_(std::move(file)), bytes_(bytes) {}

  /// Makes the file unless it is held already. OutOfDisk, and then a part of it is there that may do for giving up, or IoError
  /// when the file cannot be made for another reason.
  Result<void> hold();
  /// Deletes the file: its space is free.
  void give_up();
  bool held() const noexcept { return held_; }

 private:
  const std::string file_;
  const std::uint64_t bytes_;
  bool held_ = false;
};

/// What may still be written to the file system of `path`; UINT64_MAX when that cannot be asked.
std::uint64_t free_disk_bytes(const std::string& path);

}  // namespace manta
