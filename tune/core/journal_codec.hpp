#pragma once
// Events to journal records (Cap'n Proto messages, core/journal.capnp) and back. Pure and thread-safe.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "tune/core/events.hpp"

namespace manta::tune {

std::vector<std::byte> encode_event(const Event& event);

/// StorageCorruption when the bytes are no record that this version knows.
Event decode_event(std::span<const std::byte> record);

/// Records that a compaction takes out of the journal, the first of them with that number there, as one packed record of the
/// history; and back.
std::vector<std::byte> encode_history(std::uint64_t first, std::span<const std::vector<std::byte>> records);
using HistoryVisitor = std::function<void(std::uint64_t number, std::span<const std::byte> record)>;
void decode_history(std::span<const std::byte> chunk, const HistoryVisitor& visit);

/// A configuration as a message of its own, for the way to the trial's process, and back.
std::string encode_config(const Config& config);
Config decode_config(std::string_view bytes);

}  // namespace manta::tune
