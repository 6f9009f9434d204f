// GPUs and the processes that have them: given on when the process has gone, and lost when the driver says so.
#include <doctest/doctest.h>

#include <thread>

#include "tests/runtime/actors/node_fixture.hpp"
#include "tests/runtime/clean.hpp"

namespace manta::detail {
namespace {
using Names = std::vector<std::string>;
}

TEST_SUITE("runtime/actors/node") {
  TEST_CASE("a process of its own is launched with its GPUs, told of when it is there, and ended with its lease") {
    NodeFixture f;
    f.want(1, 1, true, 2);
    f.step();
    CHECK(f.router.take<wire::LeaseGranted>(kOwner).empty());
    const auto grants = f.grants();
    REQUIRE(grants.size() == 1);
    CHECK(grants[0].lease.gpu_ids == std::vector{0, 1});
    CHECK(f.launcher.names == std::vector<std::string>{"worker-1"});
    CHECK(f.launcher.last_environment.at("CUDA_VISIBLE_DEVICES") == "GPU-a,GPU-b");
    CHECK(f.launcher.last_environment.at("OMP_NUM_THREADS") == "1");
    const auto process = grants[0].worker;
    CHECK(process == f.launcher.launched.at(0));
    f.node.deliver(kOwner, wire::ReleaseLease{.lease = grants[0].lease.id});
    CHECK_FALSE(f.full());  // it has the GPUs' memory until it has gone
    CHECK(f.router.take<wire::Retire>(process).size() == 1);
    f.node.deliver(kOwner, wire::ReleaseLease{.lease = grants[0].lease.id});
    f.settle();
    CHECK(f.router.take<wire::Retire>(process).empty());
    f.node.process_ended(process, "ended");
    CHECK(f.full());
    CHECK(f.router.take<wire::LeaseLost>(kOwner).empty());
    CHECK(f.gone == std::vector{process});
  }

  TEST_CASE("a process that stays, as others refer to what it owns, leaves its GPUs to others after a while") {
    using namespace std::chrono_literals;
    NodeFixture f({.workers = Workers::kThread, .gpu_names = {"GPU-a", "GPU-b"}, .stays_long = 50ms});
    f.want(1, 1, true, 2);
    const auto grant = f.grants().at(0);
    f.want(2, 1, true, 1);
    CHECK(f.grants().empty());
    f.node.deliver(kOwner, wire::ReleaseLease{.lease = grant.lease.id});
    std::vector<wire::LeaseGranted> next;
    for (int i = 0; i < 60 && next.empty(); ++i) {
      std::this_thread::sleep_for(300ms);  // the node's timer has come by then: the test's coordinator takes no letter while it runs
      next = f.grants();
    }
    REQUIRE(next.size() == 1);
    CHECK(next[0].worker != grant.worker);
    f.node.process_ended(grant.worker, "ended");
    f.settle();
    CHECK(f.router.take<wire::LeaseLost>(kOwner).empty());
    CHECK(f.node.leases_held() == 1);
    f.node.deliver(kOwner, wire::ReleaseLease{.lease = next[0].lease.id, .kill = true});
    f.settle();
    CHECK(f.launcher.killed == std::vector{next[0].worker});
    f.node.process_ended(next[0].worker, "was killed by signal 9 (Killed)");
    CHECK(f.full());
  }

  // Its CPU stayed taken for those five seconds, while it waited for what it had submitted, which waited for that CPU.
  TEST_CASE("of a process with GPUs that is to leave others get the CPUs and all else at once") {
    NodeFixture f;
    f.want(1, 2, true, 1);
    const auto grants = f.grants();
    REQUIRE(grants.size() == 2);
    f.want(2, 1);  // what one of them has submitted, say
    f.want(3, 1, true, 1);
    CHECK(f.grants().empty());
    f.node.deliver(kOwner, wire::ReleaseLease{.lease = grants[0].lease.id});
    const auto next = f.grants();
    REQUIRE(next.size() == 1);
    CHECK(next[0].purpose == 2);
    f.node.deliver(grants[0].worker, wire::SetBlocked{.lease = grants[0].lease.id, .blocked = true});
    f.node.deliver(grants[0].worker, wire::SetBlocked{.lease = grants[0].lease.id, .blocked = false});
    f.node.deliver(kOwner, wire::ReleaseLease{.lease = next[0].lease.id});
    f.settle();
    CHECK(f.node.available()["CPU"] == Amount(1));
    CHECK(f.node.available()["GPU"] == Amount(0));
    f.node.process_ended(grants[0].worker, "ended");
    const auto last = f.grants();
    REQUIRE(last.size() == 1);
    CHECK(last[0].purpose == 3);
    for (const auto& grant : {grants[1], last[0]}) {
      f.node.deliver(kOwner, wire::ReleaseLease{.lease = grant.lease.id, .kill = true});
      f.settle();
      f.node.process_ended(grant.worker, "was killed by signal 9 (Killed)");
    }
    CHECK(f.full());
  }

  TEST_CASE("fault 38: a GPU that is missing twice is gone: its process is killed, what it alone could serve is refused, the rest goes on") {
    const manta_test::Clean clean;
    NodeFixture f;
    f.want(1, 1, true, 1);
    const auto first = f.grants().at(0);
    REQUIRE(first.lease.gpu_ids == std::vector{0});
    f.want(2, 1, true, 2);  // waits for both
    f.node.gpus_seen(Names{"GPU-b"});
    f.node.gpus_seen(Names{"GPU-a", "GPU-b"});
    f.node.gpus_seen(Names{"GPU-b"});
    f.settle();
    CHECK(f.launcher.killed.empty());
    CHECK(f.router.take<wire::LeaseRefused>(kOwner).empty());
    f.node.gpus_seen(Names{"GPU-b"});
    f.settle();
    CHECK(f.launcher.killed == std::vector{first.worker});
    const auto refused = f.router.take<wire::LeaseRefused>(kOwner);
    REQUIRE(refused.size() == 1);
    CHECK(refused[0].purpose == 2);
    CHECK(refused[0].error.code == ErrorCode::kInfeasibleResources);
    f.node.process_ended(first.worker, "was killed by signal 9 (Killed)");
    f.settle();
    const auto lost = f.router.take<wire::LeaseLost>(kOwner);
    REQUIRE(lost.size() == 1);
    CHECK(lost[0].error.message.find("GPU-a has vanished") != std::string::npos);
    CHECK(f.node.total()["GPU"] == Amount(1));
    CHECK(f.node.available() == f.node.total());
    f.want(1, 1, true, 1);
    const auto again = f.grants().at(0);
    CHECK(again.lease.gpu_ids == std::vector{1});
    f.node.deliver(kOwner, wire::ReleaseLease{.lease = again.lease.id});
    f.settle();
    f.node.process_ended(again.worker, "ended");
    f.settle();
    CHECK(f.node.available() == f.node.total());
  }

  // It was killed, though the driver had been given a ref to what it owned.
  TEST_CASE("a process with GPUs that leaves is not killed when the process that wanted it ends") {
    NodeFixture f;
    f.want(1, 1, true);
    const auto submitter = f.grants().at(0).worker;
    f.want(2, 1, true, 1, submitter);
    f.settle();
    const auto grant = f.router.take<wire::LeaseGranted>(submitter).at(0);
    f.node.deliver(submitter, wire::ReleaseLease{.lease = grant.lease.id});
    f.settle();
    f.node.process_ended(submitter, "ended");
    f.node.deliver(kOwner, wire::ReleaseLease{.lease = grant.lease.id});  // not its lease
    f.settle();
    CHECK(f.launcher.killed.empty());
    CHECK(f.node.leases_held() == 1);
    f.node.process_ended(grant.worker, "ended");
    CHECK(f.full());
  }

  // The driver process without a descriptor for the library, twice: all GPUs were lost for good, and what ran on them killed.
  TEST_CASE("fault 38: that the GPUs cannot be asked for says nothing about them") {
    const manta_test::Clean clean;
    NodeFixture f;
    f.node.gpus_seen(Names{"GPU-b"});
    for (int i = 0; i < 5; ++i) f.node.gpus_seen(std::nullopt);
    f.settle();
    CHECK(f.node.total()["GPU"] == Amount(2));
    f.node.gpus_seen(Names{"GPU-b"});
    f.settle();
    CHECK(f.node.total()["GPU"] == Amount(1));
  }
}

}  // namespace manta::detail
