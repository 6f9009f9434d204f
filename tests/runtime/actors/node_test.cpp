#include "tests/runtime/actors/node_fixture.hpp"

#include <doctest/doctest.h>

#include "tests/runtime/clean.hpp"

namespace manta::detail {

using Fixture = NodeFixture;

TEST_SUITE("runtime/actors/node") {
  TEST_CASE("leases for threads are granted at once, as many as fit, and the rest when one comes back") {
    Fixture f;
    f.want(1, 3);
    auto grants = f.grants();
    REQUIRE(grants.size() == 2);
    CHECK(grants[0].worker == kNodeProcess);
    CHECK(f.node.leases_held() == 2);
    f.node.deliver(kOwner, wire::ReleaseLease{.lease = grants[0].lease.id});
    f.node.deliver(kOwner, wire::ReleaseLease{.lease = grants[0].lease.id});
    const auto third = f.grants();
    REQUIRE(third.size() == 1);
    f.node.deliver(kOwner, wire::ReleaseLease{.lease = third[0].lease.id});
    f.node.deliver(kOwner, wire::ReleaseLease{.lease = grants[1].lease.id});
    CHECK(f.full());
    CHECK(f.launcher.launched.empty());
  }

  // A run that gives each of its tasks another environment kept all of them to its end.
  TEST_CASE("options are kept while leases are wanted with them, and no longer") {
    Fixture f;
    for (core::Purpose purpose = 1; purpose <= 60; ++purpose) f.want(purpose, purpose <= 20 ? 2 : 1, true);
    auto grants = f.grants();
    REQUIRE(grants.size() == 2);
    CHECK(f.node.options_kept() == 59);  // the first has what it wanted
    for (std::size_t given = 0; !grants.empty(); grants = f.grants()) {
      for (const auto& grant : grants) {
        CHECK(f.launcher.names.size() >= ++given);
        f.node.deliver(kOwner, wire::ReleaseLease{.lease = grant.lease.id});
      }
    }
    CHECK(f.launcher.names.size() == 80);
    for (core::Purpose purpose = 1; purpose <= 60; ++purpose)
      CHECK(std::count(f.launcher.names.begin(), f.launcher.names.end(), "worker-" + std::to_string(purpose)) == (purpose <= 20 ? 2 : 1));
    CHECK(f.node.options_kept() == 0);
    CHECK(f.full());
  }

  TEST_CASE("a lease that is killed kills its process") {
    Fixture f;
    f.want(1, 1, true);
    const auto grants = f.grants();
    REQUIRE(grants.size() == 1);
    f.node.deliver(kOwner, wire::ReleaseLease{.lease = grants[0].lease.id, .kill = true});
    CHECK(f.full());
    CHECK(f.launcher.killed == std::vector{grants[0].worker});
  }

  TEST_CASE("a lease that is terminated lets its process end by SIGTERM, and is given on when that has ended") {
    Fixture f;
    f.want(1, 1, true, 1);
    const auto grants = f.grants();
    REQUIRE(grants.size() == 1);
    for (int i = 0; i < 2; ++i) f.node.deliver(kOwner, wire::ReleaseLease{.lease = grants[0].lease.id, .terminate = true});
    CHECK_FALSE(f.full());
    CHECK((f.launcher.terminated == std::vector{grants[0].worker} && f.launcher.killed.empty()));
    f.node.deliver(kOwner, wire::ReleaseLease{.lease = grants[0].lease.id, .kill = true});
    f.node.deliver(kOwner, wire::ReleaseLease{.lease = grants[0].lease.id});  // as it hears that the actor has ended
    CHECK((!f.full() && f.launcher.killed == std::vector{grants[0].worker}));
    f.node.process_ended(grants[0].worker, "was killed by signal 9 (Killed)");
    CHECK((f.full() && f.router.take<wire::LeaseLost>(kOwner).empty()));
  }

  TEST_CASE("what alone ran in a process that ended itself is told that it was its own doing, unless that had never been ready") {
    for (const bool ready : {true, false}) {
      Fixture f;
      f.want(1, 1, true);
      const auto grants = f.grants();
      REQUIRE(grants.size() == 1);
      if (ready) f.node.deliver(grants[0].worker, wire::Ready{});
      f.node.process_ended(grants[0].worker, "exited with status 0", true);
      CHECK(f.full());
      const auto lost = f.router.take<wire::LeaseLost>(kOwner);
      REQUIRE(lost.size() == 1);
      CHECK(lost[0].own_doing == ready);
    }
  }

  TEST_CASE("what was for one more shared process, which could not be made, goes to those that there are") {
    Fixture f({.workers = Workers::kProcess, .shared_processes = 2, .gpu_names = {"0", "1"}});
    f.want(1, 1);
    const auto first = f.grants();
    REQUIRE(first.size() == 1);
    f.launcher.fail = true;
    f.want(1, 1);
    const auto second = f.grants();
    REQUIRE(second.size() == 1);
    CHECK(second[0].worker == first[0].worker);
    CHECK(f.router.take<wire::LeaseRefused>(kOwner).empty());
    for (const auto& grant : {first[0], second[0]}) f.node.deliver(kOwner, wire::ReleaseLease{.lease = grant.lease.id});
    CHECK(f.full());
    f.node.process_ended(first[0].worker, "died");  // now there is none
    f.want(1, 1);
    CHECK(f.grants().empty());
    CHECK(f.router.take<wire::LeaseRefused>(kOwner).size() == 1);
  }

  TEST_CASE("a process that dies after its grant was told loses the lease with the reason") {
    Fixture f;
    f.want(1, 1, true);
    const auto grants = f.grants();
    REQUIRE(grants.size() == 1);
    f.node.process_ended(grants[0].worker, "was killed by signal 9 (Killed)");
    f.node.process_ended(grants[0].worker, "twice");
    CHECK(f.full());
    const auto lost = f.router.take<wire::LeaseLost>(kOwner);
    REQUIRE(lost.size() == 1);
    CHECK(lost[0].lease == grants[0].lease.id);
    CHECK(lost[0].error.code == ErrorCode::kWorkerCrashed);
    CHECK(lost[0].error.message.find("signal 9") != std::string::npos);
    CHECK(f.gone.size() == 1);
  }

  TEST_CASE("a process that dies before its grant was told: granted, then lost, in this order") {
    Fixture f;
    f.want(1, 1, true);
    f.step();  // launched, but the node has not heard of it
    REQUIRE(f.launcher.launched.size() == 1);
    f.node.process_ended(f.launcher.launched[0], "died young");
    f.settle();
    std::vector<std::size_t> order;
    for (const auto& [to, message] : f.router.sent)
      if (std::holds_alternative<wire::LeaseGranted>(message) || std::holds_alternative<wire::LeaseLost>(message))
        order.push_back(message.index());
    CHECK(order == std::vector{wire::Message(wire::LeaseGranted{}).index(), wire::Message(wire::LeaseLost{}).index()});
    CHECK(f.full());
  }

  TEST_CASE("actors that follow each other find a process ready; one that has ended meanwhile is not waited for") {
    Fixture f({.workers = Workers::kThread, .spare_processes = 1, .gpu_names = {}});
    constexpr core::Purpose kActor = core::Purpose{1} << 63;
    const auto spare_after = [&](std::size_t launched) {  // the node looks 0.1 s after a change
      const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(30);
      while (f.launcher.launched.size() < launched && std::chrono::steady_clock::now() < limit) f.settle();
      f.settle();
      REQUIRE(f.launcher.launched.size() == launched);
      CHECK(f.launcher.names.back() == "spare");
      return f.launcher.launched.back();
    };
    f.want(kActor | 1, 1, true);
    const auto first = f.grants();
    REQUIRE(first.size() == 1);
    f.node.deliver(kOwner, wire::ReleaseLease{.lease = first[0].lease.id});
    f.want(kActor | 2, 1, true);
    const auto second = f.grants();
    REQUIRE(second.size() == 1);
    CHECK(f.launcher.adopted.empty());
    const ProcessId spare = spare_after(3);

    f.node.deliver(kOwner, wire::ReleaseLease{.lease = second[0].lease.id});
    f.want(kActor | 3, 1, true);
    const auto third = f.grants();
    REQUIRE(third.size() == 1);
    CHECK(third[0].worker == spare);
    CHECK(f.launcher.adopted.back().first == spare);
    CHECK(f.launcher.adopted.back().second == "worker-" + std::to_string(kActor | 3));
    f.node.process_ended(spare, "was killed by signal 9 (Killed)");
    f.settle();
    CHECK(f.router.take<wire::LeaseLost>(kOwner).size() == 1);

    f.want(kActor | 4, 1, true);
    const auto fourth = f.grants();
    REQUIRE(fourth.size() == 1);
    spare_after(5);
    f.node.deliver(kOwner, wire::ReleaseLease{.lease = fourth[0].lease.id});
    f.launcher.refuse_adoption = true;
    f.want(kActor | 5, 1, true);
    const auto fifth = f.grants();
    REQUIRE(fifth.size() == 1);
    CHECK(fifth[0].worker == f.launcher.launched.at(5));
    CHECK(f.launcher.names.at(5) == "worker-" + std::to_string(kActor | 5));
    f.node.deliver(kOwner, wire::ReleaseLease{.lease = fifth[0].lease.id});
    CHECK(f.full());
  }

  TEST_CASE("an actor whose spare died before it began there hears so, and then gets a process that is launched for it") {
    Fixture f({.workers = Workers::kThread, .spare_processes = 2, .gpu_names = {}});
    const auto take_place = [&](core::Purpose purpose) {
      f.want(core::Purpose{1} << 63 | purpose, 1, true);
      return f.grants().at(0);
    };
    const auto spares = [&] { return std::count(f.launcher.names.begin(), f.launcher.names.end(), "spare"); };
    f.node.deliver(kOwner, wire::ReleaseLease{.lease = take_place(1).lease.id});
    const auto second = take_place(2);
    for (const auto begin = std::chrono::steady_clock::now(); spares() < 1 && std::chrono::steady_clock::now() - begin < std::chrono::seconds(30);) f.settle();
    f.settle();
    f.node.deliver(kOwner, wire::ReleaseLease{.lease = second.lease.id});
    const auto third = take_place(3);
    REQUIRE(f.launcher.adopted.size() == 1);
    CHECK(third.worker == f.launcher.adopted.back().first);
    f.node.process_ended(third.worker, "was killed by signal 9 (Killed)", false, true);
    f.settle();
    CHECK(f.router.take<wire::LeaseLost>(kOwner).at(0).unused);
    const auto again = take_place(3);
    const auto index = std::find(f.launcher.launched.begin(), f.launcher.launched.end(), again.worker) - f.launcher.launched.begin();
    CHECK(f.launcher.names.at(static_cast<std::size_t>(index)) != "spare");
    f.node.process_ended(again.worker, "was killed by signal 9 (Killed)");
    f.settle();
    CHECK_FALSE(f.router.take<wire::LeaseLost>(kOwner).at(0).unused);
    CHECK(f.full());
  }

  TEST_CASE("a launch that fails refuses the lease and takes nothing") {
    Fixture f;
    f.launcher.fail = true;
    f.want(1, 1, true);
    CHECK(f.grants().empty());
    const auto refused = f.router.take<wire::LeaseRefused>(kOwner);
    REQUIRE(refused.size() == 1);
    CHECK(refused[0].purpose == 1);
    CHECK(refused[0].error.message == "no more processes");
    CHECK(f.full());
    f.launcher.fail = false;
    f.want(1, 1, true);
    CHECK(f.grants().size() == 1);
  }

  TEST_CASE("shared worker processes are few, and take several leases") {
    Fixture f({.workers = Workers::kProcess, .shared_processes = 1, .gpu_names = {"0", "1"}});
    f.want(1, 2);
    const auto grants = f.grants();
    REQUIRE(grants.size() == 2);
    CHECK(f.launcher.launched.size() == 1);
    CHECK(grants[0].worker == grants[1].worker);
    f.node.deliver(kOwner, wire::ReleaseLease{.lease = grants[0].lease.id});
    f.settle();
    CHECK(f.router.take<wire::Shutdown>(grants[0].worker).empty());
    f.node.process_ended(grants[0].worker, "died");
    CHECK(f.full());
    CHECK(f.router.take<wire::LeaseLost>(kOwner).size() == 1);
    f.want(1, 1);
    const auto next = f.grants();
    REQUIRE(next.size() == 1);
    CHECK(next[0].worker != grants[0].worker);
  }

  TEST_CASE("what a dead process wanted and held is taken back") {
    Fixture f({.workers = Workers::kProcess, .shared_processes = 1, .gpu_names = {"0", "1"}});
    f.want(1, 1);
    const auto parent = f.grants().at(0);
    f.want(9, 5, true, 0, parent.worker);
    f.settle();
    const auto child = f.router.take<wire::LeaseGranted>(parent.worker);
    REQUIRE(child.size() == 1);
    f.node.process_ended(parent.worker, "died");
    CHECK(f.full());
    CHECK(f.launcher.killed == std::vector{child[0].worker});
    CHECK_FALSE(f.router.take<wire::OwnerGone>(kNodeProcess).empty());
  }

  TEST_CASE("a lease that waits lends its CPU") {
    Fixture f;
    f.want(1, 2);
    const auto both = f.grants();
    REQUIRE(both.size() == 2);
    f.want(2, 1);
    CHECK(f.grants().empty());
    f.node.deliver(kOwner, wire::SetBlocked{.lease = both[0].lease.id, .blocked = true});
    const auto nested = f.grants();
    REQUIRE(nested.size() == 1);
    f.node.deliver(kOwner, wire::SetBlocked{.lease = both[0].lease.id, .blocked = false});
    f.settle();
    CHECK(f.node.available()["CPU"] == Amount(-1));
    for (const auto& lease : {both[0], both[1], nested[0]}) f.node.deliver(kOwner, wire::ReleaseLease{.lease = lease.lease.id});
    CHECK(f.full());
  }

  TEST_CASE("short of memory the newest process whose work may run again is killed, one at a time, and its owner hears why") {
    Fixture f({.workers = Workers::kThread, .gpu_names = {"0", "1"}, .memory_threshold = 0.9});
    f.want(1, 1, true, 0, kOwner, false);
    const auto once = f.grants().at(0);
    f.want(2, 1, true);
    const auto again = f.grants().at(0);
    f.node.memory_read({.used_bytes = 90, .total_bytes = 100});
    f.settle();
    CHECK(f.launcher.killed.empty());
    f.node.memory_read({.used_bytes = 91, .total_bytes = 100});
    f.node.memory_read({.used_bytes = 91, .total_bytes = 100});
    f.settle();
    CHECK(f.launcher.killed == std::vector{again.worker});
    f.node.process_ended(again.worker, "was killed by signal 9 (Killed)");
    f.settle();
    auto lost = f.router.take<wire::LeaseLost>(kOwner);
    REQUIRE(lost.size() == 1);
    CHECK(lost[0].error.code == ErrorCode::kOutOfMemory);
    CHECK(lost[0].error.message.find("more than 90 %") != std::string::npos);
    CHECK_FALSE(lost[0].own_doing);
    f.node.memory_read({.used_bytes = 91, .total_bytes = 100});
    f.settle();
    CHECK(f.launcher.killed == std::vector{again.worker, once.worker});
    f.node.process_ended(once.worker, "was killed by signal 9 (Killed)");
    f.node.memory_read({.used_bytes = 91, .total_bytes = 100});  // nobody is left to end
    CHECK(f.full());
    CHECK(f.launcher.killed.size() == 2);
  }

  TEST_CASE("stop tells all processes to end, and one that is being launched is killed") {
    Fixture f;
    f.want(1, 1, true);
    const auto first = f.grants().at(0);
    f.want(2, 1, true);
    f.step();
    REQUIRE(f.launcher.launched.size() == 2);
    f.node.stop();
    f.settle();
    CHECK(f.router.take<wire::Shutdown>(first.worker).size() == 1);
    const auto second = f.launcher.launched[1];
    CHECK((f.launcher.killed == std::vector{second} || f.router.take<wire::Shutdown>(second).size() == 1));
    f.router.sent.clear();
    f.want(3, 1);
    CHECK(f.grants().empty());
  }

  TEST_CASE("a placement group with a negative amount, or in another process's name, is of no effect") {
    Fixture f;
    wire::PlaceGroup group;
    group.group.spec.id = f.ids.next<GroupId>();
    group.group.spec.bundles = {{.cpus = Amount(-5)}};
    f.node.deliver(kOwner, group);
    CHECK(f.full());
    group.group.spec.bundles = {{.cpus = Amount(1)}};
    f.node.deliver(4, group);  // its id says that process 0 made it
    CHECK(f.full());
    CHECK(f.router.sent.empty());
    f.node.deliver(kOwner, group);
    f.settle();
    CHECK(f.node.available()["CPU"] == Amount(1));
    f.node.deliver(kOwner, wire::RemoveGroup{group.group.spec.id});
    CHECK(f.full());
  }

  TEST_CASE("messages of no sense are of no effect") {
    Fixture f;
    f.node.deliver(5, wire::ReleaseLease{.lease = {77}});
    f.node.deliver(5, wire::SetBlocked{.lease = {77}, .blocked = true});
    f.node.deliver(5, wire::TasksDone{});
    f.node.process_ended(42, "who?");
    CHECK(f.full());
    CHECK(f.gone.empty());
  }

  TEST_CASE("nothing is placed in a process that is being ended, though it has room") {
    Fixture f({.workers = Workers::kProcess, .shared_processes = 2, .memory_threshold = 0.9});
    f.want(1, 1);
    const auto first = f.grants();
    REQUIRE(first.size() == 1);
    f.node.memory_read({.used_bytes = 91, .total_bytes = 100});
    f.settle();
    REQUIRE(f.launcher.killed == std::vector{first[0].worker});
    f.node.deliver(kOwner, wire::ReleaseLease{.lease = first[0].lease.id});
    f.want(2, 1);
    const auto second = f.grants();
    REQUIRE(second.size() == 1);
    CHECK(second[0].worker != first[0].worker);
    f.node.process_ended(first[0].worker, "was killed by signal 9 (Killed)");
    f.settle();
    CHECK(f.router.take<wire::LeaseLost>(kOwner).empty());
    f.node.deliver(kOwner, wire::ReleaseLease{.lease = second[0].lease.id});
    f.settle();
    CHECK(f.node.leases_held() == 0);
  }
}

}  // namespace manta::detail
