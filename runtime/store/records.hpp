#pragma once
// Plain twins of the records in records.capnp, and their codec. Decoding trusts nothing: StorageCorruption, never a crash.
#include <cstdint>
#include <string>

#include "runtime/base/result.hpp"
#include "runtime/store/block.hpp"

namespace manta {

/// Generations and numbers of records are below it. One that is not is damage.
inline constexpr std::uint64_t kEndOfNumbers = std::uint64_t{1} << 63;

struct SpillHeader {
  std::uint64_t id{};
  std::uint64_t bytes{};
  std::uint64_t checksum{};
  bool operator==(const SpillHeader&) const = default;
};

struct DurableHeader {
  std::string type_tag{};
  std::uint64_t bytes{};
  std::uint64_t checksum{};
  std::uint64_t generation{};
  std::uint64_t chunk_bytes{};
};

struct JournalHeader {
  std::uint32_t version{};
  std::uint64_t sealed{};
  std::uint64_t snapshot_records{};
};

std::string encode(const SpillHeader& header);
std::string encode(const DurableHeader& header);
std::string encode(const JournalHeader& header);
Result<SpillHeader> decode_spill_header(ByteView bytes);
Result<DurableHeader> decode_durable_header(ByteView bytes);
Result<JournalHeader> decode_journal_header(ByteView bytes);

}  // namespace manta
