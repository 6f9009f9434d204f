#pragma once
// The TFRecord framing of TensorBoard's event files: a length of 8 bytes, its checksum, the data, its checksum, all little
// endian. A checksum is CRC-32C, rotated by 15 bits plus a constant ("masked": tensorflow/core/lib/hash/crc32c.h).
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace manta::tune {

std::uint32_t masked_crc32c(std::string_view bytes) noexcept;
/// One record with its frame.
std::string tf_record(std::string_view data);
/// The data of a record that `tf_records_end` found whole.
std::string_view tf_record_data(std::string_view record) noexcept;
/// Where the first so many records end; npos when there are not so many whole ones.
std::size_t tf_records_end(std::string_view file, std::uint64_t records) noexcept;

}  // namespace manta::tune
