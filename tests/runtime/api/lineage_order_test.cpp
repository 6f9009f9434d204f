// The order of an actor's calls when their arguments are lost and made again.
#include <signal.h>
#include <unistd.h>

#include "lossy_place.hpp"

namespace manta_test {
namespace {

/// Notes its calls in the order in which they run.
struct Sequence {
  std::vector<int> seen{};
  void small(int call) { seen.push_back(call); }
  void large(int call, const Buffer&) { seen.push_back(call); }
  std::vector<int> get() { return seen; }
  int pid() { return ::getpid(); }
};

}  // namespace

TEST_SUITE("runtime/api/lineage_order") {
  // Those behind it ran first; of two lost ones the second then came first.
  TEST_CASE("the calls of one caller run in their order, however many of their arguments are lost") {
    for (const auto isolation : {Isolation::kShared, own_process}) {
      Place place;
      auto& rt = place.machine.rt;
      auto actor = rt.actor<Sequence>({.isolation = isolation}).spawn();
      auto one = place.run<first>(3, place.file, 7), two = place.run<first>(3, place.file, 8);
      rt.wait(std::vector{one, two}, {.count = 2});
      CHECK(rt.get(actor.call<&Sequence::get>()).empty());
      place.lose_all();
      actor.call<&Sequence::small>(0);
      actor.call<&Sequence::large>(1, one);
      actor.call<&Sequence::small>(2);
      actor.call<&Sequence::large>(3, two);
      actor.call<&Sequence::large>(4, one);
      actor.call<&Sequence::small>(5);
      CHECK(rt.get(actor.call<&Sequence::get>(), 60s) == std::vector{0, 1, 2, 3, 4, 5});
      CHECK(place.runs() == 4);
    }
  }

  TEST_CASE("a call whose lost argument cannot be made again fails; those behind it run in their order") {
    Place place;
    auto& rt = place.machine.rt;
    auto actor = rt.actor<Sequence>({.isolation = own_process}).spawn();
    auto once = place.run<first>(0, place.file, 7), often = place.run<first>(3, place.file, 8);
    rt.wait(std::vector{once, often}, {.count = 2});
    CHECK(rt.get(actor.call<&Sequence::get>()).empty());
    place.lose_all();
    auto broken = actor.call<&Sequence::large>(1, once);
    actor.call<&Sequence::small>(2);
    actor.call<&Sequence::large>(3, often);
    actor.call<&Sequence::small>(4);
    CHECK(rt.get(actor.call<&Sequence::get>(), 60s) == std::vector{2, 3, 4});
    CHECK(contains(error_of<ObjectLost>([&] { rt.get(broken); }).message, "max_retries"));
  }

  TEST_CASE("while a call's argument is made again those behind it wait, also through a restart; they go on when it is cancelled") {
    for (const bool cancelled : {true, false}) {
      Gate gate;
      Place place;
      auto& rt = place.machine.rt;
      auto actor = rt.actor<Sequence>({.max_restarts = 1, .max_task_retries = -1, .isolation = own_process}).spawn();
      auto one = place.run<slow_again>(3, place.file, gate.path(), 7);
      rt.wait(std::vector{one});
      const int pid = rt.get(actor.call<&Sequence::pid>());
      place.lose_all();
      auto lost = actor.call<&Sequence::large>(1, one);
      auto behind = actor.call<&Sequence::small>(2);
      auto last = actor.call<&Sequence::get>();
      CHECK(eventually([&] { return place.runs() == 2; }));
      CHECK(eventually([&] { return contains(rt.explain(behind), "ahead of it"); }));
      if (cancelled)
        rt.cancel(lost);
      else
        ::kill(pid, SIGKILL);
      if (!cancelled) gate.open();
      CHECK(rt.get(last, 60s) == (cancelled ? std::vector{2} : std::vector{1, 2}));
      if (cancelled) error_of<Cancelled>([&] { rt.get(lost); });
      gate.open();
      CHECK(eventually([&] { return rt.stats().unfinished == 0; }));
    }
  }
}

}  // namespace manta_test
