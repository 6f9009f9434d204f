#include <random>

#include "runtime/wire/capnp_codec.hpp"
#include "tests/runtime/api/support.hpp"
#include "tests/runtime/objects/route.capnp.h"

namespace manta_test {

namespace {

using RouteMessage = CapnpMessage<Route>;

RouteMessage two_legs(const std::string& name) {
  return RouteMessage::build([&](Route::Builder r) {
    r.setName(name);
    r.setSpeed(2.5f);
    r.initNext().setName(name + ", then home");
  });
}
RouteMessage longer(const RouteMessage& route) {
  auto reading = route.read();
  return RouteMessage::build([&](Route::Builder r) {
    r.setName(reading.root().getName());
    r.setNext(reading.root());
  });
}
std::string name_of(const RouteMessage& route) { return route.read()->getName(); }

/// Walks a message that may be damaged, as far as it can be walked.
std::uint64_t walk(Route::Reader r) {
  std::uint64_t seen = r.getName().size();
  for (double each : r.getPoints()) seen += each > 0;
  return r.hasNext() ? seen + walk(r.getNext()) : seen;
}

/// A route that is its own next one.
Buffer endless() {
  auto message = two_legs("x");
  auto [buffer, bytes] = Buffer::allocate(message.words().size());
  std::memcpy(bytes.data(), message.words().data(), bytes.size());
  // Word 0 is the table of segments, word 1 the root's pointer; the root has one data word and three pointers, the third
  // of which is `next`. A struct pointer's offset counts from the word behind it: back to the root's data.
  const auto root = 1 + 1 + (reinterpret_cast<const std::int32_t*>(bytes.data() + 8)[0] >> 2);
  const auto next = root + 1 + 2;
  const std::int32_t to_root[2] = {static_cast<std::int32_t>(static_cast<std::uint32_t>(root - (next + 1)) << 2), 1 | (3 << 16)};
  std::memcpy(bytes.data() + 8 * next, to_root, sizeof to_root);
  return buffer;
}

}  // namespace

TEST_SUITE("runtime/objects/capnp_message") {
  TEST_CASE("a message has its defaults, is built, travels, and is read field by field") {
    CHECK(RouteMessage{}.read()->getSpeed() == 1.5f);
    CHECK(RouteMessage{}.read()->getName().size() == 0);
    const auto back = decode<RouteMessage>(encode(two_legs("north")));
    auto reading = back.read();
    CHECK(reading->getSpeed() == 2.5f);
    CHECK(std::string(reading.root().getNext().getName()) == "north, then home");
    CHECK(RouteMessage::parse(back.words()).words().data() == back.words().data());
  }

  TEST_CASE("messages are arguments and results of tasks, as refs and inside other values") {
    Machine machine;
    auto& rt = machine.rt;
    CHECK(rt.get(rt.remote<name_of>(two_legs("here"))) == "here");
    auto ref = rt.remote<longer>(rt.task<longer>({.isolation = own_process}).remote(two_legs(std::string(200'000, 'r'))));
    CHECK(rt.get(rt.remote<name_of>(ref)).size() == 200'000);
    CHECK(std::string(rt.get_shared(ref)->read()->getNext().getNext().getNext().getName()).ends_with("then home"));
    const std::vector<RouteMessage> routes{two_legs("a"), two_legs("b")};
    CHECK(std::string(decode<std::vector<RouteMessage>>(encode(routes))[1].read()->getName()) == "b");
  }

  TEST_CASE("a message can be read any number of times, and each reading has its limit") {
    const auto message = RouteMessage::build([](Route::Builder r) { r.initPoints(10'000); });
    for (int i = 0; i < 100; ++i) CHECK(message.read()->getPoints().size() == 10'000);
    auto reading = message.read();
    CHECK_THROWS_AS(([&] {
                      for (int i = 0; i < 100; ++i) static_cast<void>(reading->getPoints());
                    }()),
                    kj::Exception);
  }

  TEST_CASE("a message that goes round in circles ends in an exception") {
    auto message = RouteMessage::parse(endless());
    auto reading = message.read();
    CHECK_THROWS_AS(walk(reading.root()), kj::Exception);
  }

  TEST_CASE("damaged messages are refused or throw where they are read, and never do worse") {
    CHECK_THROWS_AS(RouteMessage::parse(Buffer{}), ProtocolError);
    const auto good = two_legs("somewhere").words();
    for (std::size_t size = 0; size < good.size(); ++size) {
      CAPTURE(size);
      try {
        auto cut = RouteMessage::parse(Buffer::copy(good.bytes().first(size)));
        auto reading = cut.read();
        walk(reading.root());
      } catch (const ProtocolError&) {
      } catch (const kj::Exception&) {
      }
    }
    std::mt19937 random(4);
    for (int i = 0; i < 20'000; ++i) {
      auto [damaged, bytes] = Buffer::allocate(good.size());
      std::memcpy(bytes.data(), good.data(), good.size());
      for (int flips = 1 + static_cast<int>(random() % 4); flips > 0; --flips)
        bytes[random() % bytes.size()] ^= static_cast<std::byte>(1u << random() % 8);
      try {
        auto message = RouteMessage::parse(damaged);
        auto reading = message.read();
        walk(reading.root());
      } catch (const ProtocolError&) {
      } catch (const kj::Exception&) {
      }
    }
  }
}

}  // namespace manta_test
