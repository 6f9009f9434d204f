#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "runtime/process/frame.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "tests/runtime/clean.hpp"

namespace {

using manta::ErrorCode;
using manta::FrameDecoder;
using manta::FrameHeader;
using Bytes = std::vector<std::byte>;

struct Decoded {
  std::uint16_t kind;
  Bytes payload;
  bool operator==(const Decoded&) const = default;
};

Bytes payload_of(std::size_t size, std::uint8_t first) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = std::byte(static_cast<std::uint8_t>(first + i));
  return bytes;
}

void append_frame(Bytes& stream, FrameHeader header, const Bytes& payload) {
  header.length = static_cast<std::uint32_t>(payload.size());
  const auto* raw = reinterpret_cast<const std::byte*>(&header);
  stream.insert(stream.end(), raw, raw + sizeof(header));
  stream.insert(stream.end(), payload.begin(), payload.end());
  stream.resize(manta::padded_to_8(stream.size()));
}

Bytes stream_of(const std::vector<Decoded>& frames) {
  Bytes stream;
  std::uint32_t sequence = 0;
  for (const Decoded& frame : frames) append_frame(stream, {.kind = frame.kind, .sequence = sequence++}, frame.payload);
  return stream;
}

std::vector<Decoded> frames_in(FrameDecoder& decoder) {
  std::vector<Decoded> result;
  for (;;) {
    auto next = decoder.next();
    REQUIRE(next.ok());
    if (!*next) return result;
    const auto& view = **next;
    CHECK(reinterpret_cast<std::uintptr_t>(view.payload.data()) % 8 == 0);
    result.push_back({view.kind, Bytes(view.payload.begin(), view.payload.end())});
  }
}

ErrorCode code_for(const Bytes& stream, manta::FrameLimits limits = {}) {
  FrameDecoder decoder(limits);
  decoder.feed(stream);
  auto next = decoder.next();
  REQUIRE_FALSE(next.ok());
  return next.error().code;
}

const std::vector<Decoded> kSomeFrames = {{1, payload_of(0, 1)},
                                          {2, payload_of(1, 2)},
                                          {3, payload_of(7, 3)},
                                          {4, payload_of(8, 4)},
                                          {5, payload_of(301, 5)}};

}  // namespace

TEST_SUITE("runtime/process") {
  TEST_CASE("frames split at every byte arrive whole and in order") {
    const Bytes stream = stream_of(kSomeFrames);
    for (std::size_t cut = 0; cut <= stream.size(); ++cut) {
      FrameDecoder decoder;
      decoder.feed(std::span(stream).first(cut));
      std::vector<Decoded> got = frames_in(decoder);
      decoder.feed(std::span(stream).subspan(cut));
      for (Decoded& frame : frames_in(decoder)) got.push_back(std::move(frame));
      REQUIRE(got == kSomeFrames);
      REQUIRE(decoder.pending_bytes() == 0);
    }
  }

  TEST_CASE("frames fed byte by byte arrive") {
    FrameDecoder decoder;
    std::vector<Decoded> got;
    for (const std::byte byte : stream_of(kSomeFrames)) {
      decoder.feed(std::span(&byte, 1));
      for (Decoded& frame : frames_in(decoder)) got.push_back(std::move(frame));
    }
    CHECK(got == kSomeFrames);
  }

  TEST_CASE("a frame as long as the limit arrives between small ones, and its buffer is given back") {
    const std::vector<Decoded> frames = {{1, payload_of(9, 1)}, {2, payload_of(16u << 20, 7)}, {3, payload_of(9, 2)}};
    FrameDecoder decoder;
    std::vector<Decoded> got;
    std::span<const std::byte> rest;
    const Bytes stream = stream_of(frames);
    for (rest = stream; !rest.empty();) {
      const std::size_t count = std::min<std::size_t>(rest.size(), 100'000);
      decoder.feed(rest.first(count));
      rest = rest.subspan(count);
      for (Decoded& frame : frames_in(decoder)) got.push_back(std::move(frame));
    }
    CHECK(got == frames);
    CHECK(decoder.writable().size() < (1u << 20));
  }

  TEST_CASE("a stream that is cut off shows what is left over") {
    const Bytes stream = stream_of({{1, payload_of(20, 1)}});
    for (std::size_t cut = 1; cut < stream.size(); ++cut) {
      FrameDecoder decoder;
      decoder.feed(std::span(stream).first(cut));
      CHECK(frames_in(decoder).empty());
      CHECK(decoder.pending_bytes() == cut);
    }
  }

  TEST_CASE("fault 25: a wrong magic number, kind, length, descriptor count or sequence number is a protocol error") {
    const manta_test::Clean clean;
    Bytes bad_magic, bad_kind, bad_length, bad_fds, bad_sequence;
    append_frame(bad_magic, {.magic = 0x12345678}, {});
    append_frame(bad_kind, {.kind = 1024}, {});
    append_frame(bad_fds, {.flags = manta::kMaxFdsPerFrame + 1}, {});
    append_frame(bad_sequence, {.sequence = 1}, {});
    append_frame(bad_length, {}, payload_of(101, 0));
    for (const Bytes* stream : {&bad_magic, &bad_kind, &bad_fds, &bad_sequence})
      CHECK(code_for(*stream) == ErrorCode::kProtocolError);
    CHECK(code_for(bad_length, {.max_payload_bytes = 100}) == ErrorCode::kProtocolError);
  }

  TEST_CASE("fault 27: a huge length is refused by its header alone, before memory is taken for it") {
    const manta_test::Clean clean;
    const FrameHeader header{.length = 0xffffffff};
    Bytes stream(sizeof(header));
    std::memcpy(stream.data(), &header, sizeof(header));
    FrameDecoder decoder;
    decoder.feed(stream);
    CHECK(decoder.next().error().code == ErrorCode::kProtocolError);
    CHECK(decoder.writable().size() < (1u << 20));
  }

  // A header alone had a quarter of a gigabyte allocated.
  TEST_CASE("memory for a frame follows what has come of it, not what its header says") {
    constexpr std::size_t kMiB = 1 << 20;
    const FrameHeader header{.length = 250 * kMiB};
    Bytes stream(sizeof(header));
    std::memcpy(stream.data(), &header, sizeof(header));
    FrameDecoder decoder({.max_payload_bytes = 256 * kMiB});
    decoder.feed(stream);
    CHECK_FALSE(decoder.next()->has_value());
    CHECK(decoder.writable().size() <= kMiB);
    decoder.feed(Bytes(3 * kMiB));
    CHECK_FALSE(decoder.next()->has_value());
    CHECK(decoder.writable().size() <= 12 * kMiB);

    const Decoded large{.kind = 3, .payload = payload_of(21 * kMiB + 5, 7)};
    FrameDecoder other({.max_payload_bytes = 256 * kMiB});
    const Bytes whole = stream_of({large});
    for (std::size_t at = 0; at < whole.size(); at += 1'000'000) {
      CHECK_FALSE(other.next()->has_value());
      other.feed(std::span(whole).subspan(at, std::min<std::size_t>(1'000'000, whole.size() - at)));
    }
    const auto frame = other.next();
    REQUIRE(frame->has_value());
    CHECK(std::equal((*frame)->payload.begin(), (*frame)->payload.end(), large.payload.begin(), large.payload.end()));
  }

  TEST_CASE("a frame sent twice is refused") {
    Bytes stream = stream_of({{1, payload_of(8, 1)}});
    append_frame(stream, {.kind = 1, .sequence = 0}, payload_of(8, 1));
    FrameDecoder decoder;
    decoder.feed(stream);
    CHECK(decoder.next().ok());
    CHECK(decoder.next().error().code == ErrorCode::kProtocolError);
  }

  TEST_CASE("fault 25: random and bit-flipped bytes give frames or protocol errors, nothing else") {
    const manta_test::Clean clean;
    std::mt19937_64 random(20241124);
    const Bytes good = stream_of(kSomeFrames);
    for (int round = 0; round < 20'000; ++round) {
      Bytes stream = good;
      if (round % 2 == 0) {
        stream[random() % stream.size()] ^= std::byte(1u << (random() % 8));
      } else {
        for (std::byte& byte : stream) byte = std::byte(static_cast<std::uint8_t>(random()));
      }
      FrameDecoder decoder({.max_payload_bytes = 4096, .kinds = 16});
      decoder.feed(stream);
      for (std::size_t count = 0;; ++count) {
        REQUIRE(count <= kSomeFrames.size());
        auto next = decoder.next();
        if (!next) REQUIRE(next.error().code == ErrorCode::kProtocolError);
        if (!next || !*next) break;
      }
    }
  }
}
