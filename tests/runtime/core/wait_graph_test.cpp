#include "runtime/core/wait_graph.hpp"

#include <doctest/doctest.h>

namespace manta::core {

TEST_SUITE("runtime/core/wait_graph") {
  TEST_CASE("the wait that closes a cycle is told of it; a chain is none") {
    constexpr ActorId a{1}, b{2}, c{3};
    WaitGraph graph;
    CHECK(graph.wait(a, "a", a) == std::vector{a});
    CHECK(graph.wait(a, "a", b).empty());
    CHECK(graph.wait(b, "b", c).empty());
    CHECK(graph.wait(c, "c", a) == std::vector{c, a, b});
    graph.done(b);
    CHECK(graph.wait(c, "c", a).empty());
    CHECK(graph.what(a) == "a");
    CHECK(graph.what(b).empty());
    CHECK(graph.size() == 2);
  }

  TEST_CASE("who waits for a cycle of others is not in it, and is not caught in it either") {
    constexpr ActorId a{1}, b{2}, c{3};
    WaitGraph graph;
    graph.wait(a, "a", b);
    CHECK_FALSE(graph.wait(b, "b", a).empty());
    CHECK(graph.wait(c, "c", a).empty());
  }

  TEST_CASE("a chain goes from an actor to the one that does not wait, once around a cycle, and no further than asked") {
    constexpr ActorId a{1}, b{2}, c{3}, d{4};
    WaitGraph graph;
    CHECK(graph.chain(a, 9) == std::vector{a});
    graph.wait(a, "a", b);
    graph.wait(b, "b", c);
    CHECK(graph.chain(a, 9) == std::vector{a, b, c});
    CHECK(graph.chain(a, 2) == std::vector{a, b});
    CHECK(graph.chain(c, 9) == std::vector{c});
    graph.wait(c, "c", b);
    CHECK(graph.chain(a, 9) == std::vector{a, b, c, b});
    graph.wait(d, "d", d);
    CHECK(graph.chain(d, 9) == std::vector{d, d});
  }

  TEST_CASE("the waits of a process that has ended are gone") {
    constexpr ActorId ours{1}, theirs{(std::uint64_t{4} << 40) + 1};
    WaitGraph graph;
    graph.wait(theirs, "x", ours);
    graph.drop_owner(4);
    CHECK(graph.wait(ours, "y", theirs).empty());
    CHECK(graph.size() == 1);
  }

  // An actor of ours that ran in a process that died waited for ever: its next wait, elsewhere, closed a cycle that was none.
  TEST_CASE("the waits of actors that a dead process hosted are gone, though their owner lives") {
    constexpr ActorId a{1}, b{2};
    constexpr ProcessId host = 6;
    WaitGraph graph;
    CHECK(graph.wait(a, "a", b, host).empty());
    graph.drop_owner(host);
    CHECK(graph.size() == 0);
    CHECK(graph.wait(b, "b", a, host + 1).empty());
  }
}

}  // namespace manta::core
