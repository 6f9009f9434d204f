// What an experiment's journal and history hold. The first byte: a record, a chunk of the history, or a configuration on its way to a trial.
#include "runtime/errors.hpp"
#include "tune/core/journal_codec.hpp"

namespace {

using namespace manta::tune;
using Bytes = std::span<const std::byte>;

void check_event(Bytes record) {
  const auto first = encode_event(decode_event(record));
  const Event event = decode_event(first);
  MANTA_CHECK(encode_event(event) == first);
}

void check_config(Bytes bytes) {
  const std::string first = encode_config(decode_config({reinterpret_cast<const char*>(bytes.data()), bytes.size()}));
  MANTA_CHECK(encode_config(decode_config(first)) == first);
}

void check_history(Bytes chunk) {
  std::vector<std::vector<std::byte>> records;
  std::uint64_t begin = 0;
  decode_history(chunk, [&](std::uint64_t number, Bytes record) {
    if (records.empty()) begin = number;
    MANTA_CHECK(number == begin + records.size());
    records.emplace_back(record.begin(), record.end());
  });
  std::size_t seen = 0;
  decode_history(encode_history(begin, records), [&](std::uint64_t number, Bytes record) {
    MANTA_CHECK(number == begin + seen && std::equal(record.begin(), record.end(), records.at(seen).begin(), records.at(seen).end()));
    ++seen;
  });
  MANTA_CHECK(seen == records.size());
  for (const auto& record : records) check_event(record);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto bytes = std::as_bytes(std::span(data + 1, size - 1));
  try {
    switch (data[0] % 3) {
      case 0: check_event(bytes); break;
      case 1: check_history(bytes); break;
      case 2: check_config(bytes); break;
    }
  } catch (const manta::StorageCorruption&) {
  }
  return 0;
}
