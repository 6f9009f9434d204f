#include "train/torch/zip_check.hpp"

#include <zlib.h>

#include <cstdint>

namespace manta::train::detail {
namespace {

// Layout after PKWARE's APPNOTE 6.3.10, sections 4.3.7, 4.3.12 and 4.3.16.
constexpr std::uint32_t kEndMark = 0x06054b50;
constexpr std::uint32_t kDirectoryMark = 0x02014b50;
constexpr std::uint32_t kLocalMark = 0x04034b50;
constexpr std::size_t kEndBytes = 22;
constexpr std::size_t kDirectoryBytes = 46;
constexpr std::size_t kLocalBytes = 30;

struct Damage {
  const char* what;
};

class Reader {
 public:
  explicit Reader(std::span<const char> bytes) : bytes_(bytes) {}

  std::uint32_t number(std::size_t at, int size) const {
    need(at, static_cast<std::size_t>(size));
    std::uint32_t value = 0;
    for (int i = size - 1; i >= 0; --i) value = value << 8 | static_cast<std::uint8_t>(bytes_[at + static_cast<std::size_t>(i)]);
    return value;
  }
  std::uint32_t crc(std::size_t at, std::size_t size) const {
    need(at, size);
    return static_cast<std::uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(&bytes_[at]), static_cast<uInt>(size)));
  }
  void need(std::size_t at, std::size_t size) const {
    if (at > bytes_.size() || size > bytes_.size() - at) throw Damage{"it is cut off"};
  }
  std::size_t size() const { return bytes_.size(); }

 private:
  std::span<const char> bytes_;
};

std::size_t find_end(const Reader& in) {
  for (std::size_t back = kEndBytes; back <= in.size(); ++back) {
    if (in.number(in.size() - back, 4) == kEndMark) return in.size() - back;
  }
  throw Damage{"it has no directory"};
}

/// Checks one entry; gives the size of its record in the directory.
std::size_t check_entry(const Reader& in, std::size_t at) {
  in.need(at, kDirectoryBytes);
  if (in.number(at, 4) != kDirectoryMark) throw Damage{"its directory is damaged"};
  const std::size_t size = in.number(at + 24, 4);
  const std::size_t local = in.number(at + 42, 4);
  if (in.number(at + 38, 4) != 0) throw Damage{"an entry's attributes are damaged"};  // a folder's mark hides the data
  if (in.number(at + 10, 2) != 0 || in.number(at + 20, 4) != size) throw Damage{"an entry is compressed"};
  in.need(local, kLocalBytes);
  if (in.number(local, 4) != kLocalMark) throw Damage{"an entry's header is damaged"};
  const std::size_t data = local + kLocalBytes + in.number(local + 26, 2) + in.number(local + 28, 2);
  in.need(data, size);
  if (size > 0 && in.crc(data, size) != in.number(at + 16, 4)) throw Damage{"an entry's CRC-32 does not match"};
  return kDirectoryBytes + in.number(at + 28, 2) + in.number(at + 30, 2) + in.number(at + 32, 2);
}

}  // namespace

std::string zip_damage(std::span<const char> archive) {
  try {
    const Reader in(archive);
    const std::size_t end = find_end(in);
    std::size_t at = in.number(end + 16, 4);
    const std::uint32_t entries = in.number(end + 10, 2);
    if (entries == 0) return "it is empty";
    for (std::uint32_t i = 0; i < entries; ++i) at += check_entry(in, at);
    return {};
  } catch (const Damage& damage) {
    return damage.what;
  }
}

}  // namespace manta::train::detail
