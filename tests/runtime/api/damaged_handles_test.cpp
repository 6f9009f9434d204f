// What another process's bytes may say of handles: a placement group, an item of a stream.
#include <doctest/doctest.h>

#include "runtime/actor_streams.hpp"
#include "runtime/codec.hpp"
#include "runtime/placement_group.hpp"
#include "support.hpp"

namespace manta {
namespace {

struct Feed {
  Generator<int> count(int n) {
    for (int i = 0; i < n; ++i) co_yield i;
  }
};

struct Words {
  std::string text = "as it was";
  std::string get() { return text; }
};
struct Numbers {
  std::array<int, 64> all{};
  int set(int n) {
    all.fill(n);
    return n;
  }
  Async<int> set_later(int n) { co_return set(n); }
  Generator<int> count(int n) {
    for (int i = 0; i < n; ++i) co_yield set(i);
  }
};

}  // namespace

// The story: with one bit of a handle's place turned over it was one of another class, and the method wrote into an object that it did not know.
TEST_SUITE("runtime/actor") {
  TEST_CASE("a handle that damage has made one of another class calls nothing, and says so") {
    manta_test::Machine machine;
    auto& rt = machine.rt;
    for (const auto& isolation : {ActorOptions{}, ActorOptions{.isolation = own_process}}) {
      auto words = rt.actor<Words>(isolation).spawn();
      CHECK(rt.get(words.call<&Words::get>()) == "as it was");
      const ActorHandle<Numbers> wrong(words.link());
      const auto refused = [&](const auto& call) {
        const auto error = manta_test::error_of<TaskError>(call);
        CHECK_MESSAGE(error.to_string().find("of class") != std::string::npos, error.to_string());
      };
      refused([&] { rt.get(wrong.call<&Numbers::set>(5)); });
      refused([&] { rt.get(wrong.call<&Numbers::set_later>(5)); });
      refused([&] { for (const auto& each : wrong.call<&Numbers::count>(5)) rt.get(each); });
      CHECK(rt.get(words.call<&Words::get>()) == "as it was");
    }
  }
}

// The story: a group with a number and no bundles had nothing to which its placement could refer, which crashed whoever used it.
TEST_SUITE("runtime/placement_group") {
  TEST_CASE("a placement group with a number and no bundles, or with bundles and no number, is damage") {
    CHECK_FALSE(decode<PlacementGroup>(encode(PlacementGroup{})));
    CHECK_THROWS_AS(decode<PlacementGroup>(encode(std::pair<std::uint64_t, std::uint64_t>(7, 0))), ProtocolError);
    CHECK_THROWS_AS(decode<PlacementGroup>(encode(std::tuple<std::uint64_t, std::uint64_t, std::string, std::uint8_t>(0, 1, "name", 0))), ProtocolError);
  }
}

TEST_SUITE("runtime/actor_streams") {
  // The story: all items before it were made, without an end.
  TEST_CASE("an item that is further ahead than a reader can ask for is refused, and none is made for it") {
    const std::string name = "a call";
    detail::Invocation invocation{};
    invocation.name = &name;
    Context context(nullptr, invocation);
    Feed feed;
    detail::MethodStream<Feed, &Feed::count> stream(feed, context, 1000);
    CHECK_THROWS_AS(stream.item(context, ~std::uint64_t{0}), ProtocolError);
    CHECK_THROWS_AS(stream.item(context, 1'000'002), ProtocolError);
    CHECK(stream.item(context, 3) == 3);
    CHECK(stream.item(context, 0) == 0);
    CHECK_THROWS_AS(stream.item(context, 1000), detail::EndOfStream);
  }
}

}  // namespace manta
