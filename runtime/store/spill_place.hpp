#pragma once
// Where objects are spilled to unless the user names a directory: on a disk, for what a tmpfs holds is memory. Thread-safe.
#include <filesystem>

namespace manta {

/// The directory for temporary files (TMPDIR, /tmp); or /var/tmp when that one lies in memory and /var/tmp does not and can be written to.
std::filesystem::path default_spill_place();

}  // namespace manta
