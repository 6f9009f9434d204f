// A Cap'n Proto message as a user's value: the bytes as flat words, and as what the codec wrote of one.
#include <algorithm>

#include "runtime/codec.hpp"
#include "runtime/wire/capnp_codec.hpp"
#include "tests/runtime/objects/route.capnp.h"

namespace {

using Message = manta::CapnpMessage<manta_test::Route>;

std::uint64_t walk(manta_test::Route::Reader route) {
  std::uint64_t seen = route.getName().size() + (route.getSpeed() > 0);
  for (const double each : route.getPoints()) seen += each > 0;
  return route.hasNext() ? seen + walk(route.getNext()) : seen;
}

/// Each reading ends, with all of it or an exception of Cap'n Proto's; the words travel as they are.
void check(const Message& message) {
  for (int i = 0; i < 2; ++i) {
    try {
      auto reading = message.read();
      (void)walk(reading.root());
    } catch (const kj::Exception&) {
    }
  }
  const auto back = manta::decode<Message>(manta::encode(message));
  MANTA_CHECK(std::ranges::equal(back.words().bytes(), message.words().bytes()));
}

template <class Make>
void try_check(Make make) {
  try {
    check(make());
  } catch (const manta::ProtocolError&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = manta::Buffer::copy(std::as_bytes(std::span(data, size)));
  try_check([&] { return Message::parse(bytes); });
  if (size > 0) try_check([&] { return Message::parse(bytes.slice(1, size - 1)); });  // words that lie askew
  try_check([&] { return manta::decode<Message>(bytes); });
  return 0;
}
