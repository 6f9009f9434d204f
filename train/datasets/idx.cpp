#include "train/datasets/idx.hpp"

#include <fmt/format.h>
#include <zlib.h>

namespace manta::train {
namespace detail {
namespace {

constexpr std::uint8_t kUnsignedByte = 8;
constexpr std::size_t kMaxDims = 4;

std::size_t big_endian(const std::uint8_t* at) {
  return std::size_t{at[0]} << 24 | std::size_t{at[1]} << 16 | std::size_t{at[2]} << 8 | std::size_t{at[3]};
}

Result<IdxArray> unpack(Bytes bytes, const std::filesystem::path& file) {
  if (!is_gzip(bytes)) return parse_idx(std::move(bytes), file);
  auto content = gunzip(bytes, file, kMaxIdxBytes);
  if (!content) return content.error();
  return parse_idx(std::move(*content), file);
}

}  // namespace

Result<IdxArray> parse_idx(Bytes bytes, const std::filesystem::path& file) {
  if (bytes.size() < 4) return damaged(file, fmt::format("{} bytes are no IDX header", bytes.size()));
  const std::size_t rank = bytes[3];
  if (bytes[0] != 0 || bytes[1] != 0 || bytes[2] != kUnsignedByte || rank < 1 || rank > kMaxDims) {
    return damaged(file, fmt::format("its magic number {:02x}{:02x}{:02x}{:02x} is not IDX of bytes", bytes[0],
                                     bytes[1], bytes[2], bytes[3]));
  }
  const std::size_t header = 4 + 4 * rank;
  if (bytes.size() < header) return damaged(file, fmt::format("it is cut off after {} bytes", bytes.size()));
  IdxArray array;
  std::size_t expected = 1;
  for (std::size_t i = 0; i < rank; ++i) {
    array.dims.push_back(big_endian(&bytes[4 + 4 * i]));
    if (array.dims.back() == 0 || array.dims.back() > kMaxIdxBytes / expected) {
      return damaged(file, fmt::format("dimension {} of its header is {}", i, array.dims.back()));
    }
    expected *= array.dims.back();
  }
  if (bytes.size() - header != expected) {
    return damaged(file, fmt::format("its header promises {} bytes of data, it has {}", expected, bytes.size() - header));
  }
  bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(header));
  array.bytes = std::move(bytes);
  return array;
}

Result<IdxArray> read_idx(const std::filesystem::path& dir, const std::string& name, std::uint32_t plain_crc32,
                          const std::string& advice) {
  std::error_code code;
  const bool plain = !std::filesystem::exists(dir / (name + ".gz"), code) && std::filesystem::exists(dir / name, code);
  const std::filesystem::path file = plain ? dir / name : dir / (name + ".gz");
  auto bytes = read_file(file, kMaxIdxBytes, advice);
  if (!bytes) return bytes.error();
  if (!plain && !is_gzip(*bytes)) return damaged(file, "it is not a gzip file");
  const bool check = !is_gzip(*bytes) && plain_crc32 != 0;
  const auto crc = check ? crc32(0, bytes->data(), static_cast<uInt>(bytes->size())) : plain_crc32;
  auto array = unpack(std::move(*bytes), file);
  if (array && crc != plain_crc32) return damaged(file, fmt::format("its CRC-32 is {:08x}, not {:08x}", crc, plain_crc32));
  return array;
}

}  // namespace detail

IdxArray load_idx(const std::filesystem::path& file) {
  auto bytes = detail::read_file(file, detail::kMaxIdxBytes, "pass the path of an IDX file");
  if (!bytes) throw_error(bytes.error());
  return detail::unpack(std::move(*bytes), file).value();
}

}  // namespace manta::train
