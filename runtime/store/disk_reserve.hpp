#pragma once
// DiskReserve: a file that holds some disk space for what must still work when there is no other, such as removing values. It
// is given up for that work and made again behind it. What it says is in no other file, so killing its owner loses nothing.
// Owned by one store; only `holds` may be called beside another call. Every other call may block on the disk.
//
//   DiskReserve reserve("/data/objects/RESERVE");
//   if (!reserve.hold(8 << 20)) return no_room();  // nothing new
//   reserve.give_up();                      // room to remove what is old
#include <atomic>
#include <cstdint>
#include <string>

#include "runtime/base/result.hpp"

namespace manta {

class DiskReserve {
 public:
  /// Does not touch the disk yet.
  explicit DiskReserve(std::string file) : file_(std::move(file)) {}

  /// Makes the file of that many bytes unless so many are held already. OutOfDisk, and then a part of it is there that may do for giving
  /// up, or IoError when the file cannot be made for another reason.
  Result<void> hold(std::uint64_t bytes);
  /// Deletes the file: its space is free.
  void give_up();
  bool holds(std::uint64_t bytes) const noexcept { return held_ >= bytes; }

 private:
  const std::string file_;
  std::atomic<std::uint64_t> held_{0};
};

/// What may still be written to the file system of `path`; UINT64_MAX when that cannot be asked.
std::uint64_t free_disk_bytes(const std::string& path);

}  // namespace manta
