#pragma once
// What /proc says about processes. Thread-safe; every function asks anew.
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace manta {

/// Threads of this process.
std::size_t thread_count();

/// Open descriptors of this process.
std::size_t open_descriptor_count();

/// argv of this process.
std::vector<std::string> program_arguments();

/// When a process was started, in clock ticks since boot; with the pid it names a process for good. Nothing if there is
/// no such process.
std::optional<std::uint64_t> process_start_ticks(pid_t pid);

/// Memory of the process in RAM, shared pages too; 0 if there is no such process.
std::uint64_t resident_bytes(pid_t pid);

/// True while the process exists and is not a zombie.
bool is_running(pid_t pid);

/// True while the process is stopped, by SIGSTOP or a debugger.
bool is_stopped(pid_t pid);

}  // namespace manta
