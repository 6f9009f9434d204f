#pragma once
// The descriptors 0, 1 and 2, which a program may be started without, or close. Thread-safe.

namespace manta {

/// Opens /dev/null in the place of those that are closed, or the next file that is opened gets the number, and what is printed would be
/// written into it: an arena, a database. Call before files of one's own are opened. Thread-safe.
void take_standard_streams() noexcept;

/// `fd`, or a copy of it, close-on-exec, where its number is that of a standard stream which the program has closed: what it prints there is
/// not to be written into the file. `fd` is closed then. -1 with errno when `fd` is, or when there is no copy.
int above_standard_streams(int fd) noexcept;

/// Whether what is written to `fd`, 1 or 2, goes where the program's output goes. False when the program has closed it, also where a file of
/// the runtime's or a database's has that number now: all of these are close-on-exec, as streams are not unless they were at the start.
bool is_standard_stream(int fd) noexcept;

}  // namespace manta
