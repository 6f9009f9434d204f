#pragma once
// The descriptors 0, 1 and 2, which a program may be started without.

namespace manta {

/// Opens /dev/null in the place of those that are closed, or the next file that is opened gets the number, and what is printed would be
/// written into it: an arena, a database. Call before files of one's own are opened. Thread-safe.
void take_standard_streams() noexcept;

}  // namespace manta
