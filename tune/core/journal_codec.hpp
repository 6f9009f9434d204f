#pragma once
// Events to journal records (Cap'n Proto messages, core/journal.capnp) and back. Pure and thread-safe.
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "tune/core/events.hpp"

namespace manta::tune {

std::vector<std::byte> encode_event(const Event& event);

/// StorageCorruption when the bytes are no record that this version knows.
Event decode_event(std::span<const std::byte> record);

/// A configuration as a message of its own, for the way to the trial's process, and back.
std::string encode_config(const Config& config);
Config decode_config(std::string_view bytes);

}  // namespace manta::tune
