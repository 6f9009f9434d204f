// The first byte says into how large pieces the rest is cut; whole or in pieces it must give the same.
#include <algorithm>
#include <vector>

#include "runtime/process/frame.hpp"

namespace {

using manta::FrameDecoder;

struct Seen {
  std::vector<std::vector<std::byte>> payloads{};
  bool refused = false;
  bool operator==(const Seen&) const = default;
};

Seen decode(std::span<const std::byte> bytes, std::size_t piece) {
  FrameDecoder decoder({.max_payload_bytes = 64 * 1024, .kinds = 8});
  Seen seen;
  while (!bytes.empty() && !seen.refused) {
    decoder.feed(bytes.first(std::min(piece, bytes.size())));
    bytes = bytes.subspan(std::min(piece, bytes.size()));
    for (;;) {
      auto next = decoder.next();
      seen.refused = !next.ok();
      if (!next.ok() || !*next) break;
      const auto& frame = **next;
      MANTA_CHECK(frame.kind < 8 && frame.payload.size() <= 64 * 1024);
      MANTA_CHECK(reinterpret_cast<std::uintptr_t>(frame.payload.data()) % 8 == 0);
      seen.payloads.emplace_back(frame.payload.begin(), frame.payload.end());
    }
  }
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto bytes = std::as_bytes(std::span(data + 1, size - 1));
  const Seen whole = decode(bytes, bytes.size() + 1);
  const Seen cut = decode(bytes, data[0] % 64 + 1u);
  MANTA_CHECK(whole == cut);
  return 0;
}
