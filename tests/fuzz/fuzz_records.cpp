#include <string>

#include "runtime/store/key_value_store.hpp"
#include "runtime/store/records.hpp"

namespace {

template <class Decode>
void check(manta::ByteView bytes, Decode decode) {
  auto header = decode(bytes);
  if (!header) {
    MANTA_CHECK(header.error().code == manta::ErrorCode::kStorageCorruption);
    return;
  }
  const std::string first = manta::encode(*header);
  auto again = decode(manta::ByteView(reinterpret_cast<const std::byte*>(first.data()), first.size()));
  MANTA_CHECK(again.ok() && manta::encode(*again) == first);
}

/// The numbers of a key, of one letter and numbers: as many as there is room for.
void check_key(std::string_view key) {
  std::string again(key.substr(0, 1));
  for (std::size_t index = 0;; ++index) {
    const auto number = manta::number_of_key(key, 1, index);
    MANTA_CHECK(number.has_value() == (key.size() >= 1 + 8 * (index + 1)));
    if (!number) break;
    for (int shift = 56; shift >= 0; shift -= 8) again.push_back(static_cast<char>(*number >> shift));
  }
  MANTA_CHECK(key.starts_with(again));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  check(bytes, manta::decode_spill_header);
  check(bytes, manta::decode_durable_header);
  check(bytes, manta::decode_journal_header);
  check_key({reinterpret_cast<const char*>(data), size});
  return 0;
}
