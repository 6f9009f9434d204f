#pragma once
// Finds the damage in a RocksDB log that RocksDB itself passes over in silence.
//
// RocksDB stops quietly at a record that is longer than the rest of its file, because a crash leaves such records, and at
// one whose type says that it is left from an earlier use of the file. One inverted bit in a length or a type looks the
// same, and silently drops everything behind it. Here the record's checksum decides about the length: if it fits one that
// differs in one byte, the length was damaged. Types of recycled logs are damage, since Manta never recycles a log. So are zeros where a record
// would begin, unless nothing but zeros follows to the end of the file: RocksDB passes over the rest of such a block.
// Pure and thread-safe.
// Format: RocksDB's "Write Ahead Log File Format", https://github.com/facebook/rocksdb/wiki/Write-Ahead-Log-File-Format
#include <cstdint>
#include <optional>
#include <string>

#include "runtime/store/block.hpp"

namespace manta {

constexpr std::size_t kLogBlockBytes = 32768;

/// Looks at one block of a log (blocks start at multiples of kLogBlockBytes; only the last one may be shorter). Gives the
/// offset in it of a damaged record.
std::optional<std::size_t> find_damaged_record(ByteView block, bool last);

/// The first record of the block whose bytes are not those that its checksum was made of; RocksDB notices these itself, but
/// does not say where they lie.
std::optional<std::size_t> find_mismatched_record(ByteView block);

/// Looks through a log file with either of the two; gives the damaged record's offset in the file.
enum class Damage { kPassedOver, kMismatch };
std::optional<std::size_t> find_damage(const std::string& file, Damage kind);

/// CRC-32C (Castagnoli) of `bytes`, continuing `crc`.
std::uint32_t crc32c(ByteView bytes, std::uint32_t crc = 0) noexcept;

}  // namespace manta
