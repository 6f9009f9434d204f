#pragma once
// Whole files as bytes, and gunzip: the part of the loaders that meets damaged input. Thread-safe, no state.
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "runtime/errors.hpp"

namespace manta::train::detail {

using Bytes = std::vector<std::uint8_t>;

/// The file's bytes. Errors: InvalidArgument (missing; `advice` says where to get it), IoError, and StorageCorruption
/// when it is larger than max_bytes.
Result<Bytes> read_file(const std::filesystem::path& file, std::size_t max_bytes, const std::string& advice);

/// The content of one gzip member, with its CRC and length checked (RFC 1952). Errors: StorageCorruption naming `file`.
Result<Bytes> gunzip(const Bytes& packed, const std::filesystem::path& file, std::size_t max_bytes);

bool is_gzip(const Bytes& bytes) noexcept;

/// A StorageCorruption that names the file.
ErrorInfo damaged(const std::filesystem::path& file, const std::string& what);

}  // namespace manta::train::detail
