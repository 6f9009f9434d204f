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

  TEST_CASE("a cycle is one when all of its members have said that their waits stand, in any order and more than once") {
    constexpr ActorId a{1}, b{2}, c{3}, d{4};
    WaitGraph graph;
    graph.wait(d, "d", a, 9);
    graph.wait(a, "a", b, 7);
    graph.wait(b, "b", c, 8);
    const auto cycle = graph.wait(c, "c", a);
    CHECK(graph.host(a) == 7);
    CHECK(graph.host(c) == 0);
    const auto round = graph.ask(cycle);
    CHECK(round != 0);
    CHECK(graph.confirm(a, round).empty());
    CHECK(graph.confirm(a, round).empty());
    CHECK(graph.confirm(d, round).empty());
    CHECK(graph.confirm(c, round).empty());
    CHECK(graph.confirm(b, round + 1).empty());
    CHECK(graph.confirm(b, round) == cycle);
    CHECK(graph.confirm(b, round).empty());
    CHECK(graph.ask(cycle) != round);
  }

  TEST_CASE("a member whose wait has ended, that waits anew or whose process has died ends the round; others do not") {
    constexpr ActorId a{1}, b{2}, c{3};
    constexpr ProcessId host = 6;
    for (int way = 0; way < 5; ++way) {
      CAPTURE(way);
      WaitGraph graph;
      graph.wait(c, "c", a, host + 1);
      graph.wait(a, "a", b, host);
      const auto round = graph.ask(graph.wait(b, "b", a));
      CHECK(graph.confirm(a, round).empty());
      if (way == 0) graph.done(a);
      if (way == 1) graph.wait(a, "a again", b, host);
      if (way == 2) graph.drop_owner(host);
      if (way == 3) graph.done(c);
      if (way == 4) graph.drop_owner(host + 1);
      CHECK(graph.confirm(b, round).empty() == (way < 3));
    }
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
