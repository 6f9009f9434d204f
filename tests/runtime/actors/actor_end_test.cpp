// The end of an actor, with something that comes to it between two of its steps: each was a race once.
#include <doctest/doctest.h>

#include <optional>

#include "runtime/actors/hosted_actor.hpp"
#include "runtime/actors/threaded_actor.hpp"
#include "runtime/promise.hpp"
#include "tests/runtime/actors/host_fixture.hpp"

namespace manta::detail {
namespace {

using namespace std::chrono_literals;

constexpr ProcessId kOwner = 1;
constexpr std::uint64_t kBase = std::uint64_t{kOwner} << 40;
constexpr ActorId kActor{kBase + 3};

std::optional<Promise<int>> g_promise;
std::atomic<bool> g_open{false}, g_running{false};
std::atomic<std::thread::id> g_thread{};

class Clerk {
 public:
  Async<int> wait() {
    auto ref = g_promise->ref();
    co_return co_await ref;
  }
  int one() { return 1; }
  int hold() {
    g_thread = std::this_thread::get_id();
    g_running = true;
    while (!g_open) std::this_thread::sleep_for(1ms);
    return 2;
  }
};

void create(HostFixture& f, Amount cpus, wire::Concurrency concurrency) {
  f.host->create(kOwner, kActor, {.id = {6}, .cpus = cpus}, HostFixture::work_of<ConstructorRecord<Clerk>>(kBase + 10, {}), std::move(concurrency));
}

template <auto Method>
Work call_of(std::uint64_t id) {
  auto work = HostFixture::work_of<MethodRecord<Clerk, Method>>(id, {});
  work.caller = kOwner;
  return work;
}

void call(HostFixture& f, std::vector<Work> calls) { f.host->call(kActor, std::move(calls)); }

}  // namespace

TEST_SUITE("runtime/actors/actor_end") {
  // It put a lane to work that came to run when the actor was gone: the end of the program.
  TEST_CASE("a coroutine that is woken as its actor of several calls ends wakes nobody") {
    g_promise.emplace();
    HostFixture f;
    ElasticScheduler::of(f.system).set_parallelism(1);  // the thread that ends the actor takes what comes next, too
    std::atomic<bool> waits{false};
    f.router.on_send = [&](const wire::Message& message) {
      const auto* blocked = std::get_if<wire::SetBlocked>(&message);
      if (!blocked) return;
      if (!blocked->blocked && waits) g_promise->set(1);  // the actor takes its CPUs back for its end
      waits = blocked->blocked;
    };
    create(f, Amount(1), {.limit = 2});
    std::vector<Work> one;
    one.push_back(call_of<&Clerk::wait>(kBase + 11));
    call(f, std::move(one));
    REQUIRE(eventually([&] { return waits.load(); }));
    f.host->destroy(kActor, true);
    CHECK(f.router.wait_for_ends(1));
    CHECK(eventually([&] { return f.host->idle(); }));
    g_promise.reset();
  }

  // The call's caller was told that the actor had died, and nothing of the value that was there.
  TEST_CASE("an outcome that the watchdog has taken is told ahead of the actor's end") {
    for (const bool threaded : {false, true}) {
      CAPTURE(threaded);
      int taken_by_watchdog = 0;
      for (int round = 0; round < 50 && taken_by_watchdog == 0; ++round) {  // on a busy machine the actor may tell it first
        g_open = g_running = false;
        HostFixture f;
        std::atomic<bool> created{false}, told{false}, taken{false}, ended{false}, late{false};
        f.router.on_send = [&](const wire::Message& message) {
          created = created || std::holds_alternative<wire::ActorCreated>(message);
          ended = ended || std::holds_alternative<wire::ActorDestroyed>(message);
          const auto* done = std::get_if<wire::ActorDone>(&message);
          if (!done || done->outcomes.empty() || done->outcomes.front().id != TaskId{kBase + 11}) return;
          taken = g_running && std::this_thread::get_id() != g_thread;
          told = true;
          for (int i = 0; i < 300 && taken && !ended; ++i) std::this_thread::sleep_for(1ms);
          late = ended.load();
        };
        wire::Concurrency concurrency;
        if (threaded) concurrency.groups.push_back({.name = "other"});
        create(f, Amount(0), std::move(concurrency));
        REQUIRE(eventually([&] { return created.load(); }));
        std::vector<Work> two;
        two.push_back(call_of<&Clerk::one>(kBase + 11));
        two.push_back(call_of<&Clerk::hold>(kBase + 12));
        call(f, std::move(two));
        CHECK(eventually([&] { return g_running && told; }));
        f.host->destroy(kActor, false);
        g_open = true;
        CHECK(f.router.wait_for_ends(1));
        CHECK(f.router.wait_for(2).size() == 2);
        CHECK_FALSE(late);
        taken_by_watchdog += taken;
      }
      CHECK(taken_by_watchdog == 1);
    }
  }
}

}  // namespace manta::detail
