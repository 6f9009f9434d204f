#include "runtime/process/frame.hpp"

#include <algorithm>
#include <cstring>

namespace manta {

namespace {

constexpr std::size_t kReadBytes = std::size_t{256} << 10;
constexpr std::size_t kKeptBytes = std::size_t{1} << 20;  // a buffer above this is given back when it is empty
constexpr std::size_t kGrowth = 4;  // memory follows what has come, not what a header says will come

ErrorInfo protocol_error(const char* what, std::uint64_t got, std::uint64_t allowed) {
  return {.code = ErrorCode::kProtocolError,
          .message = std::string("bytes that are no frame: ") + what + " is " + std::to_string(got) + ", not " +
                     std::to_string(allowed) + "; the link is closed"};
}

}  // namespace

FrameDecoder::FrameDecoder(FrameLimits limits) : limits_(limits) { reallocate(kReadBytes); }

void FrameDecoder::reallocate(std::size_t capacity) {
  auto bigger = std::make_unique_for_overwrite<std::byte[]>(capacity);
  if (end_ > begin_) std::memcpy(bigger.get(), buffer_.get() + begin_, end_ - begin_);
  buffer_ = std::move(bigger);
  capacity_ = capacity;
  end_ -= begin_;
  begin_ = 0;
}

std::span<std::byte> FrameDecoder::writable() {
  if (begin_ > 0) {
    std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (end_ == 0 && wanted_ == 0 && capacity_ > kKeptBytes) reallocate(kReadBytes);
  if (end_ == capacity_ || (capacity_ < wanted_ && capacity_ < kKeptBytes))
    reallocate(wanted_ > end_ ? std::min(wanted_, std::max(kGrowth * end_, kKeptBytes)) : end_ + kReadBytes);
  return {buffer_.get() + end_, capacity_ - end_};
}

void FrameDecoder::commit(std::size_t bytes) {
  MANTA_CHECK(bytes <= capacity_ - end_);
  end_ += bytes;
}

void FrameDecoder::feed(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const std::span<std::byte> space = writable();
    const std::size_t count = std::min(space.size(), bytes.size());
    std::memcpy(space.data(), bytes.data(), count);
    commit(count);
    bytes = bytes.subspan(count);
  }
}

std::optional<ErrorInfo> FrameDecoder::check(const FrameHeader& header) const {
  if (header.magic != kFrameMagic) return protocol_error("the magic number", header.magic, kFrameMagic);
  if (header.kind >= limits_.kinds) return protocol_error("the kind", header.kind, limits_.kinds);
  if (header.flags > kMaxFdsPerFrame) return protocol_error("the descriptor count", header.flags, kMaxFdsPerFrame);
  if (header.length > limits_.max_payload_bytes)
    return protocol_error("the length", header.length, limits_.max_payload_bytes);
  if (header.sequence != sequence_) return protocol_error("the sequence number", header.sequence, sequence_);
  return std::nullopt;
}

Result<std::optional<FrameView>> FrameDecoder::next() {
  const std::size_t available = end_ - begin_;
  wanted_ = 0;
  FrameHeader header;
  if (available < sizeof(header)) return std::optional<FrameView>{};
  std::memcpy(&header, buffer_.get() + begin_, sizeof(header));
  if (auto error = check(header)) return *std::move(error);
  const std::size_t whole = sizeof(header) + padded_to_8(header.length);
  if (available < whole) {
    wanted_ = whole;
    return std::optional<FrameView>{};
  }
  const std::byte* payload = buffer_.get() + begin_ + sizeof(header);
  begin_ += whole;
  ++sequence_;
  return std::optional(FrameView{header.kind, header.flags, {payload, header.length}});
}

}  // namespace manta
