#include "runtime/store/wal_audit.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <vector>

namespace manta {

namespace {

constexpr std::size_t kHeaderBytes = 7;  // checksum (4, masked), length (2), type (1); little-endian
constexpr std::uint32_t kFirstRecyclableType = 5;
constexpr std::uint32_t kLastRecyclableType = 8;

constexpr std::array<std::uint32_t, 256> make_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = value & 1 ? value >> 1 ^ 0x82f63b78u : value >> 1;
    table[i] = value;
  }
  return table;
}

constexpr auto kTable = make_table();

std::uint32_t load(ByteView bytes, std::size_t at, std::size_t count) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < count; ++i) value |= std::to_integer<std::uint32_t>(bytes[at + i]) << (8 * i);
  return value;
}

std::uint32_t unmask(std::uint32_t masked) {
  const std::uint32_t rotated = masked - 0xa282ead8u;
  return rotated >> 17 | rotated << 15;
}

bool differs_in_one_byte(std::size_t a, std::size_t b) { return (a & 0xff) == (b & 0xff) || a >> 8 == b >> 8; }

/// Whether the checksum of the record at `at` fits a payload whose length differs from the stored one in one byte.
bool fits_other_length(ByteView block, std::size_t at) {
  const auto expected = unmask(load(block, at, 4));
  const std::size_t stored = load(block, at + 4, 2);
  auto crc = crc32c(block.subspan(at + 6, 1));  // the type is covered
  for (std::size_t length = 0;; ++length) {
    if (crc == expected && differs_in_one_byte(length, stored)) return true;
    const auto next = at + kHeaderBytes + length;
    if (next == block.size()) return false;
    crc = crc32c(block.subspan(next, 1), crc);
  }
}

bool is_zero(ByteView bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte each) { return each == std::byte{0}; });
}

/// Where nothing but zeros follows in the block, though a record would have room.
std::optional<std::size_t> find_zeros(ByteView block) {
  std::size_t at = 0;
  while (at + kHeaderBytes <= block.size()) {
    if (is_zero(block.subspan(at, kHeaderBytes))) return at;
    at += kHeaderBytes + load(block, at + 4, 2);
  }
  return std::nullopt;
}

}  // namespace

std::uint32_t crc32c(ByteView bytes, std::uint32_t crc) noexcept {
  crc = ~crc;
  for (const auto byte : bytes) crc = kTable[(crc ^ std::to_integer<std::uint32_t>(byte)) & 0xff] ^ crc >> 8;
  return ~crc;
}

std::optional<std::size_t> find_damaged_record(ByteView block, bool last) {
  std::size_t at = 0;
  while (at + kHeaderBytes <= block.size()) {
    const std::size_t length = load(block, at + 4, 2);
    const auto type = load(block, at + 6, 1);
    if (type >= kFirstRecyclableType && type <= kLastRecyclableType) return at;
    if (length == 0 && type == 0) return is_zero(block.subspan(at)) ? std::nullopt : std::optional(at);
    if (at + kHeaderBytes + length > block.size())
      return !last || fits_other_length(block, at) ? std::optional(at) : std::nullopt;
    at += kHeaderBytes + length;
  }
  return std::nullopt;
}

std::optional<std::size_t> find_mismatched_record(ByteView block) {
  std::size_t at = 0;
  while (at + kHeaderBytes <= block.size()) {
    const std::size_t length = load(block, at + 4, 2);
    if (at + kHeaderBytes + length > block.size()) return std::nullopt;
    const auto type_and_payload = block.subspan(at + 6, 1 + length);
    const bool padding = length == 0 && load(block, at + 6, 1) == 0;
    if (!padding && crc32c(type_and_payload) != unmask(load(block, at, 4))) return at;
    at += kHeaderBytes + length;
  }
  return std::nullopt;
}

std::optional<std::size_t> find_damage(const std::string& file, Damage kind) {
  std::ifstream stream(file, std::ios::binary);
  std::vector<std::byte> room(kLogBlockBytes);
  std::optional<std::size_t> zeros;  // from there on, so far: at the end of the file that is what a power cut leaves
  for (std::size_t start = 0; stream; start += kLogBlockBytes) {
    stream.read(reinterpret_cast<char*>(room.data()), kLogBlockBytes);
    const auto block = ByteView(room).first(static_cast<std::size_t>(stream.gcount()));
    const bool last = block.size() < kLogBlockBytes || stream.peek() == std::ifstream::traits_type::eof();
    const auto offset = kind == Damage::kMismatch ? find_mismatched_record(block) : find_damaged_record(block, last);
    if (zeros && !is_zero(block)) return zeros;
    if (offset) return start + *offset;
    if (const auto from = zeros || kind == Damage::kMismatch ? std::nullopt : find_zeros(block)) zeros = start + *from;
  }
  return std::nullopt;
}

}  // namespace manta
