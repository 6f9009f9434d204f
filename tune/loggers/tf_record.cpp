#include "tune/loggers/tf_record.hpp"

#include <array>

namespace manta::tune {

namespace {

constexpr std::array<std::uint32_t, 256> make_table() {
  constexpr std::uint32_t kCastagnoli = 0x82f63b78;  // reflected
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? crc >> 1 ^ kCastagnoli : crc >> 1;
    table[byte] = crc;
  }
  return table;
}

void append_little_endian(std::string& out, std::uint64_t number, int bytes) {
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(number >> (8 * i) & 0xff);
}

}  // namespace

std::uint32_t masked_crc32c(std::string_view bytes) noexcept {
  static constexpr auto kTable = make_table();
  std::uint32_t crc = 0xffffffff;
  for (const char byte : bytes) crc = crc >> 8 ^ kTable[(crc ^ static_cast<unsigned char>(byte)) & 0xff];
  crc = ~crc;
  return (crc >> 15 | crc << 17) + 0xa282ead8;
}

std::string tf_record(std::string_view data) {
  std::string out;
  out.reserve(data.size() + 16);
  append_little_endian(out, data.size(), 8);
  append_little_endian(out, masked_crc32c(out), 4);
  out += data;
  append_little_endian(out, masked_crc32c(data), 4);
  return out;
}

std::string_view tf_record_data(std::string_view record) noexcept {
  constexpr std::size_t kBefore = 12, kAfter = 4;
  return record.substr(kBefore, record.size() - kBefore - kAfter);
}

std::size_t tf_records_end(std::string_view file, std::uint64_t records) noexcept {
  constexpr std::size_t kFrame = 16;
  std::size_t end = 0;
  for (; records != 0; --records) {
    if (file.size() - end < kFrame) return std::string_view::npos;
    std::uint64_t size = 0;
    for (std::size_t i = 8; i-- > 0;) size = size << 8 | static_cast<unsigned char>(file[end + i]);
    if (size > file.size() - end - kFrame) return std::string_view::npos;
    end += kFrame + size;
  }
  return end;
}

}  // namespace manta::tune
