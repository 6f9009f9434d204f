#include <algorithm>

#include "runtime/process/zygote_protocol.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  auto message = manta::decode_control(bytes);
  if (!message) {
    MANTA_CHECK(message.error().code == manta::ErrorCode::kProtocolError);
    return 0;
  }
  const auto again = manta::encode(*message);
  MANTA_CHECK(std::equal(again.begin(), again.end(), bytes.begin(), bytes.end()));
  return 0;
}
