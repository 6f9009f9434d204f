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

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  check(bytes, manta::decode_spill_header);
  check(bytes, manta::decode_durable_header);
  check(bytes, manta::decode_journal_header);
  return 0;
}
