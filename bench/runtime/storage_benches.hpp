#pragma once
// What starts a process or moves many bytes. Against the public API; the runtime must outlive the bodies.
#include <filesystem>

#include "bench/harness/measure.hpp"
#include "runtime/runtime.hpp"

namespace manta::bench {

/// Twenty actors in a row, each in a process of its own, from spawn to the first reply; none is made ahead. Does the twenty
/// whatever n is.
Body proc_actor_spawn(Client& client);
/// Puts 800 MiB and has a worker process read it in place: one copy in, none out. An operation is a MiB. Needs an arena of a
/// gibibyte and workers in processes; the harness's warm-up makes its pages.
Body put_800mib(Client& client);

inline constexpr std::uint64_t kSpillArena = std::uint64_t{96} << 20;
/// Puts kSpillValues values of 1 MiB through an arena of kSpillArena, then forces all spilled files to the disk. An operation is
/// a value that does not fit. Needs workers in processes.
Body spill_write(Client& client, const std::filesystem::path& spill_folder);
/// Gets as many values that are on the disk and not in the kernel's memory, one after another.
Body spill_read(Client& client, const std::filesystem::path& spill_folder);

}  // namespace manta::bench
