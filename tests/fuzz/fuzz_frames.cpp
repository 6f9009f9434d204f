// The first byte: into how large pieces the rest is cut (its lower 6 bits), whether the rest is made into headers that are right where a
// fuzzer cannot guess it (64), and whether it is repeated first, to become frames that are larger than a decoder's room (128). Whole or in
// pieces it must give the same, also of what is wrong, and that as often as it is asked.
#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "runtime/process/frame.hpp"

namespace {

using manta::FrameDecoder;
using Bytes = std::span<const std::byte>;

constexpr std::size_t kSmallBytes = 64 << 10, kLargeBytes = 4 << 20;  // the longest payloads
constexpr std::size_t kRepeatedBytes = 1500 << 10;  // two growths of a decoder and more than it keeps
constexpr std::uint16_t kKinds = 8;

struct Seen {
  std::vector<std::vector<std::byte>> payloads{};
  std::string refused{};  // why
  std::size_t left = 0;   // bytes of a frame that is not whole
  bool operator==(const Seen&) const = default;
};

/// What frame.hpp says is in a stream; of what is wrong only that it is.
Seen expected(Bytes bytes, std::size_t max_payload_bytes) {
  Seen seen;
  manta::FrameHeader header;
  while (bytes.size() >= sizeof header) {
    std::memcpy(&header, bytes.data(), sizeof header);
    const bool right = header.magic == manta::kFrameMagic && header.kind < kKinds && header.flags <= manta::kMaxFdsPerFrame &&
                       header.length <= max_payload_bytes && header.sequence == seen.payloads.size();
    if (!right) seen.refused = "somehow";
    const std::size_t whole = sizeof header + manta::padded_to_8(header.length);
    if (!right || bytes.size() < whole) break;
    const auto payload = bytes.subspan(sizeof header, header.length);
    seen.payloads.emplace_back(payload.begin(), payload.end());
    bytes = bytes.subspan(whole);
  }
  seen.left = bytes.size();
  return seen;
}

std::string refusal(FrameDecoder& decoder) {
  const auto next = decoder.next();
  MANTA_CHECK(!next.ok() && next.error().code == manta::ErrorCode::kProtocolError);
  return next.error().message;
}

/// Whatever comes behind it.
void check_refused_again(FrameDecoder& decoder, const std::string& why) {
  MANTA_CHECK(refusal(decoder) == why);
  const manta::FrameHeader right;
  decoder.feed(std::as_bytes(std::span(&right, 1)));
  MANTA_CHECK(refusal(decoder) == why);
}

Seen decode(Bytes bytes, std::size_t piece, std::size_t max_payload_bytes) {
  FrameDecoder decoder({.max_payload_bytes = max_payload_bytes, .kinds = kKinds});
  Seen seen;
  while (!bytes.empty() && seen.refused.empty()) {
    decoder.feed(bytes.first(std::min(piece, bytes.size())));
    bytes = bytes.subspan(std::min(piece, bytes.size()));
    for (;;) {
      auto next = decoder.next();
      if (!next.ok()) check_refused_again(decoder, seen.refused = next.error().message);
      if (!next.ok() || !*next) break;
      const auto& frame = **next;
      MANTA_CHECK(frame.kind < kKinds && frame.fds <= manta::kMaxFdsPerFrame && frame.payload.size() <= max_payload_bytes);
      MANTA_CHECK(reinterpret_cast<std::uintptr_t>(frame.payload.data()) % 8 == 0);
      seen.payloads.emplace_back(frame.payload.begin(), frame.payload.end());
    }
  }
  if (seen.refused.empty()) seen.left = decoder.pending_bytes();
  if (decoder.pending_bytes() == 0) MANTA_CHECK(decoder.writable().size() <= 1 << 20);  // more it does not keep
  return seen;
}

/// What the bytes say is where there are headers, but as a sender would say it. Sizes are from `least` on; one in 64 is too large.
void make_right(std::vector<std::byte>& bytes, std::size_t least, std::size_t most) {
  manta::FrameHeader header;
  std::uint32_t sequence = 0;
  for (std::size_t at = 0; at + sizeof header <= bytes.size(); at += sizeof header + manta::padded_to_8(header.length)) {
    std::memcpy(&header, bytes.data() + at, sizeof header);
    header.magic = manta::kFrameMagic;
    header.sequence = sequence++;
    header.kind %= kKinds;
    header.flags %= manta::kMaxFdsPerFrame + 1;
    header.length = static_cast<std::uint32_t>(least + header.length % (most - least + most / 64));
    std::memcpy(bytes.data() + at, &header, sizeof header);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2 || size > kRepeatedBytes) return 0;
  const bool right = data[0] & 64, repeated = data[0] & 128;
  const auto rest = std::as_bytes(std::span(data + 1, size - 1));
  std::vector<std::byte> bytes(rest.begin(), rest.end());
  if (repeated) {
    bytes.resize(kRepeatedBytes);
    for (std::size_t filled = rest.size(); filled < bytes.size();) {
      const std::size_t more = std::min(filled, bytes.size() - filled);
      std::memcpy(bytes.data() + filled, bytes.data(), more);
      filled += more;
    }
  }
  if (right) make_right(bytes, repeated ? 100'000 : 0, repeated ? kRepeatedBytes - 1000 : kSmallBytes);
  const std::size_t limit = repeated ? kLargeBytes : kSmallBytes;
  const Seen whole = decode(bytes, bytes.size(), limit), should = expected(bytes, limit);
  MANTA_CHECK(whole.payloads == should.payloads && whole.refused.empty() == should.refused.empty());
  MANTA_CHECK(!whole.refused.empty() || whole.left == should.left);
  MANTA_CHECK(whole == decode(bytes, (data[0] % 64 + 1u) * (repeated ? 997 : 1), limit));
  return 0;
}
