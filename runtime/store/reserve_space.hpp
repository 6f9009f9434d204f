#pragma once
// Space for a file, on a disk or in memory, whatever signals come to the thread. Thread-safe; blocks on the disk, or while memory is cleared.
#include <cstdint>

namespace manta {

/// The file's first `bytes`, and as large as that it is then. 0, or the errno. The tmpfs of Linux before 6.10 undoes all of an allocation at any
/// signal and says EINTR: a timer of the program's, a profiler's say, would let no large one come to its end.
int reserve_space(int fd, std::uint64_t bytes) noexcept;

}  // namespace manta
