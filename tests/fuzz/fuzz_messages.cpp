#include <algorithm>

#include "runtime/wire/messages.hpp"

namespace wire = manta::wire;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto message = wire::decode(manta::Buffer::copy(std::as_bytes(std::span(data, size))));
  if (!message) {
    MANTA_CHECK(message.error().code == manta::ErrorCode::kProtocolError);
    return 0;
  }
  const auto first = wire::encode(*message);
  auto again = wire::decode(first);
  MANTA_CHECK(again.ok() && again->index() == message->index());
  const auto second = wire::encode(*again);
  MANTA_CHECK(std::ranges::equal(first.bytes(), second.bytes()));
  return 0;
}
