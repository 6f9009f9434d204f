#pragma once
// Tells a damaged tail of a RocksDB log from a torn one.
//
// RocksDB stops quietly at a record that is longer than the rest of its file, because a crash leaves such records. One
// inverted bit in a length field looks the same, and silently drops everything behind it. Here the record's checksum
// decides: if it fits a length that differs in one byte, the length was damaged. Pure and thread-safe.
// Format: RocksDB's "Write Ahead Log File Format", https://github.com/facebook/rocksdb/wiki/Write-Ahead-Log-File-Format
#include <cstdint>
#include <optional>

#include "runtime/store/block.hpp"

namespace manta {

constexpr std::size_t kLogBlockBytes = 32768;

/// Looks at the last block of a log (at most kLogBlockBytes; a log's blocks start at multiples of that). Gives the offset
/// in it of a record whose length field is damaged.
std::optional<std::size_t> find_damaged_record(ByteView last_block);

/// CRC-32C (Castagnoli) of `bytes`, continuing `crc`.
std::uint32_t crc32c(ByteView bytes, std::uint32_t crc = 0) noexcept;

}  // namespace manta
