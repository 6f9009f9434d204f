#pragma once
// IDX, the format of MNIST (LeCun): two zero bytes, the type (8: unsigned byte), the number of dimensions, each
// dimension as a big-endian 32-bit number, then the bytes. Thread-safe, no state.
#include <filesystem>

#include "train/data.hpp"
#include "train/datasets/file_bytes.hpp"

namespace manta::train::detail {

/// No data set here is larger; a damaged header cannot make us allocate more.
constexpr std::size_t kMaxIdxBytes = 512u << 20;

/// Decodes and checks the header and the exact length. Errors: StorageCorruption naming `file`.
Result<IdxArray> parse_idx(Bytes bytes, const std::filesystem::path& file);

/// Reads `dir/name.gz` or else `dir/name`. `plain_crc32`: what the unpacked content of a file without gzip must have as
/// its CRC-32, as it has no checksum of its own; 0 accepts any.
Result<IdxArray> read_idx(const std::filesystem::path& dir, const std::string& name, std::uint32_t plain_crc32,
                          const std::string& advice);

}  // namespace manta::train::detail
