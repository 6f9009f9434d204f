// The rest of the input is a block of a log. The first byte: is it the file's last (1); are checksums made right first (2), so that what a
// fuzzer cannot guess is there too; and the bit by which a length is then damaged.
#include <algorithm>
#include <optional>
#include <vector>

#include "runtime/base/error.hpp"
#include "runtime/store/wal_audit.hpp"

namespace {

constexpr std::size_t kHeader = 7;
using Block = std::vector<std::byte>;

std::size_t end_of(const Block& block, std::size_t at) {
  return at + kHeader + std::to_integer<std::size_t>(block[at + 4]) + (std::to_integer<std::size_t>(block[at + 5]) << 8);
}

/// Where the records begin that lie in the block as a whole.
std::vector<std::size_t> records_of(const Block& block) {
  std::vector<std::size_t> starts;
  for (std::size_t at = 0; at + kHeader <= block.size() && end_of(block, at) <= block.size(); at = end_of(block, at)) starts.push_back(at);
  return starts;
}

void make_checksums_right(Block& block) {
  for (const std::size_t at : records_of(block)) {
    const auto crc = manta::crc32c(manta::ByteView(block).subspan(at + 6, end_of(block, at) - at - 6));
    const auto masked = (crc >> 15 | crc << 17) + 0xa282ead8u;
    for (std::size_t i = 0; i < 4; ++i) block[at + i] = static_cast<std::byte>(masked >> (8 * i) & 0xff);
  }
}

/// Requires that what was found is a record of the block, perhaps one that is longer than it.
void check_place(const Block& block, std::optional<std::size_t> found) {
  if (!found) return;
  const auto records = records_of(block);
  const std::size_t behind = records.empty() ? 0 : end_of(block, records.back());
  MANTA_CHECK(*found + kHeader <= block.size());
  MANTA_CHECK(*found == behind || std::binary_search(records.begin(), records.end(), *found));
}

/// A bit of a length that makes its record longer than the block: its checksum fits another length.
void check_damaged_length(Block block, unsigned bit) {
  const auto records = records_of(block);
  if (records.empty()) return;
  const std::size_t at = records.back();
  block[at + 4 + bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
  if (end_of(block, at) <= block.size()) return;
  const auto found = manta::find_damaged_record(block, true);
  MANTA_CHECK(found && *found <= at);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > 1 + manta::kLogBlockBytes) return 0;
  const auto bytes = std::as_bytes(std::span(data + 1, size - 1));
  Block block(bytes.begin(), bytes.end());
  if (data[0] & 2) make_checksums_right(block);
  const bool last = data[0] & 1;
  const auto damaged = manta::find_damaged_record(block, last), mismatched = manta::find_mismatched_record(block);
  check_place(block, damaged);
  check_place(block, mismatched);
  if (last && damaged) MANTA_CHECK(manta::find_damaged_record(block, false) == damaged);
  if (!(data[0] & 2)) return 0;
  MANTA_CHECK(!mismatched);
  check_damaged_length(std::move(block), data[0] >> 4);
  return 0;
}
