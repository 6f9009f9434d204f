#pragma once
// Frames: how a byte stream between two processes is cut into messages.
//
// On the wire: a FrameHeader, `length` bytes of payload, zero bytes up to a multiple of 8. So every payload starts on
// an 8-byte boundary of the receive buffer, and a Cap'n Proto message can be read in place. Kind and length are checked
// against limits before a byte is allocated for them. Both ends are one machine and one build: native byte order.
//
// A FrameDecoder belongs to one thread; it lives as long as its link.
//
//   std::span<std::byte> space = decoder.writable();
//   decoder.commit(read(fd, space.data(), space.size()));
//   for (auto frame = decoder.next(); frame && *frame; frame = decoder.next()) handle(**frame);
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "runtime/base/result.hpp"

namespace manta {

inline constexpr std::uint32_t kFrameMagic = 0x31544e4d;  // "MNT1"
inline constexpr std::size_t kMaxFdsPerFrame = 64;

struct FrameHeader {
  std::uint32_t magic = kFrameMagic;
  std::uint16_t kind = 0;
  std::uint16_t flags = 0;     ///< the number of descriptors that travel with the frame
  std::uint32_t length = 0;    ///< bytes of payload, without the padding
  std::uint32_t sequence = 0;  ///< counts the frames of one direction from 0, wraps
};
static_assert(sizeof(FrameHeader) == 16);

struct FrameLimits {
  std::size_t max_payload_bytes = std::size_t{16} << 20;
  std::uint16_t kinds = 1024;  ///< kinds 0 … kinds-1 are valid
};

/// One decoded frame. The payload lies in the decoder's buffer, 8-byte aligned.
struct FrameView {
  std::uint16_t kind = 0;
  std::uint16_t fds = 0;
  std::span<const std::byte> payload{};
};

constexpr std::size_t padded_to_8(std::size_t bytes) noexcept { return (bytes + 7) & ~std::size_t{7}; }

class FrameDecoder {
 public:
  explicit FrameDecoder(FrameLimits limits = {});

  /// Room for the next bytes of the stream, never empty. Ends the validity of every payload handed out.
  std::span<std::byte> writable();
  /// Says that the first `bytes` of writable() have been filled.
  void commit(std::size_t bytes);
  /// Copies bytes in: writable + commit.
  void feed(std::span<const std::byte> bytes);

  /// The next whole frame; nothing when more bytes are needed. ProtocolError when the stream is no valid sequence of
  /// frames; then the decoder is of no further use and says the same again.
  Result<std::optional<FrameView>> next();

  /// Bytes received and not yet handed out: more than 0 at the end of a stream means it was cut off.
  std::size_t pending_bytes() const noexcept { return end_ - begin_; }

 private:
  std::optional<ErrorInfo> check(const FrameHeader& header) const;
  void reallocate(std::size_t capacity);

  FrameLimits limits_;
  std::unique_ptr<std::byte[]> buffer_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;   // first byte not handed out; a multiple of 8
  std::size_t end_ = 0;     // first free byte
  std::size_t wanted_ = 0;  // bytes of the frame at begin_, when its header is known
  std::uint32_t sequence_ = 0;
};

}  // namespace manta
