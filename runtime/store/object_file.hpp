#pragma once
// Files for objects that find no room in shared memory: without a name from the beginning, so that nothing is left whoever is
// killed, and with all their space reserved, so that a full disk is an error here and never a SIGBUS later. Thread-safe; these
// calls block on the disk.
//
//   const int fd = make_object_file("/var/tmp", 1 << 30).value();
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "runtime/base/result.hpp"

namespace manta {

/// Gives a descriptor, close-on-exec, of a file of exactly that many bytes; the caller owns it.
using ObjectFileFactory = std::function<Result<int>(std::uint64_t bytes)>;

/// Makes them in `directory`, which is made (0700) with the first, and removed at the end if it is empty then.
ObjectFileFactory object_files_in(std::string directory);
/// A file in `directory`, which exists. Its mode lets nobody reopen it for writing. OutOfDisk when there is no space, OutOfMemory
/// when the file system lies in memory and there is too little of that, IoError when it cannot make or reserve files.
Result<int> make_object_file(const std::string& directory, std::uint64_t bytes);
/// Whether a file of this name may be what a process left that was killed in make_object_file, on a file system without unnamed files.
bool is_left_object_file(std::string_view name) noexcept;
/// Whether what is written there takes memory (tmpfs). False when the directory cannot be asked.
bool lies_in_memory(const std::string& directory);

}  // namespace manta
