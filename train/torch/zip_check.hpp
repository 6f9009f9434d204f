#pragma once
// Checks every CRC-32 of a zip archive of stored entries, as LibTorch writes them: its own reader does not.
#include <span>
#include <string>

namespace manta::train::detail {

/// Empty when all is well, else what is wrong. Thread-safe.
std::string zip_damage(std::span<const char> archive);

}  // namespace manta::train::detail
