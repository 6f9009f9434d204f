// Values of the user's are destroyed with no lock of the runtime's held: a destructor may drop handles and refs, call, submit and
// cancel. The story: what was queued behind a task that takes long was given back, and destroyed, under the worker's lock; a
// destructor that came back to that worker hung.
#include <doctest/doctest.h>

#include <future>

#include "runtime/actors/actor_link.hpp"
#include "tests/runtime/actors/host_fixture.hpp"

namespace manta::detail {
namespace {

using namespace std::chrono_literals;

std::atomic<bool> g_open{false};
std::atomic<int> g_waiting{0};
int wait_open(int x) {
  ++g_waiting;
  while (!g_open) std::this_thread::sleep_for(1ms);
  --g_waiting;
  return x;
}

struct Clerk {
  int wait() { return wait_open(1); }
  int leave(Context& ctx) {
    wait_open(1);
    ctx.exit_actor();
    return 1;
  }
  int one() { return 1; }
};

constexpr ActorId kActor{(std::uint64_t{1} << 40) + 3};  // of owner 1

/// Work that holds what a destructor of the user's asks the host about, from another thread: no lock is held by this one when
/// that thread is answered.
class Probe {
 public:
  explicit Probe(HostFixture& fixture) : fixture_(fixture) {}
  Work load(Work work) {
    ++loaded_;
    auto references = std::make_shared<wire::ValueReferences>();
    references->accepted = std::shared_ptr<const void>(static_cast<const void*>(this), [this](const void*) { ended(); });
    work.encoded->arguments.references = std::move(references);
    return work;
  }
  /// True when all that was loaded has been destroyed, each time with the locks free.
  bool clean() {
    return eventually([this] { return ended_ == loaded_; }) && held_ == 0;
  }

 private:
  void ended() {
    std::promise<void> answered;
    auto done = answered.get_future();
    std::thread asking([this, &answered] {
      fixture_.host->cancel(1, {.lease = {5}, .tasks = {{999}}});
      fixture_.host->cancel(1, {.actor = kActor, .tasks = {{(std::uint64_t{1} << 40) + 999}}});
      static_cast<void>(fixture_.host->take_back({5}, {998}));
      answered.set_value();
    });
    if (done.wait_for(2s) != std::future_status::ready) ++held_;
    late_.push_back(std::move(asking));  // joined when this has returned, and the lock is free again
    ++ended_;
  }
  HostFixture& fixture_;
  std::atomic<int> loaded_{0}, ended_{0}, held_{0};
  std::vector<std::thread> late_;

 public:
  ~Probe() {
    for (auto& each : late_) each.join();
  }
};

struct Held {
  HostFixture f{};
  Probe probe{f};
  std::uint64_t next_id = (std::uint64_t{1} << 40) + 10;
  Held() { g_open = false; }
  ~Held() { g_open = true; }

  /// A task that waits until the gate opens, and behind it `count` that hold a probe.
  std::vector<TaskId> queue_tasks(int count) {
    f.run(HostFixture::work<wait_open>(next_id++, HostFixture::argument(1)));
    REQUIRE(eventually([] { return g_waiting == 1; }));
    std::vector<Work> works;
    std::vector<TaskId> ids;
    for (int i = 0; i < count; ++i) {
      works.push_back(probe.load(HostFixture::work<twice>(next_id, HostFixture::argument(1))));
      ids.push_back({next_id++});
    }
    f.host->run(1, {.id = {5}, .cpus = Amount(1)}, std::move(works));
    return ids;
  }
  template <auto Method>
  void queue_calls(int count, wire::Concurrency concurrency = {}) {
    f.host->create(1, kActor, {.id = {6}}, HostFixture::work_of<ConstructorRecord<Clerk>>(next_id++, {}), std::move(concurrency));
    std::vector<Work> calls;
    calls.push_back(HostFixture::work_of<MethodRecord<Clerk, Method>>(next_id++, {}));
    for (int i = 0; i < count; ++i) calls.push_back(probe.load(HostFixture::work_of<MethodRecord<Clerk, &Clerk::one>>(next_id++, {})));
    for (auto& each : calls) each.caller = 1;
    f.host->call(kActor, std::move(calls));
    REQUIRE(eventually([] { return g_waiting == 1; }));
  }
};

}  // namespace

TEST_SUITE("runtime/actors/destruction") {
  TEST_CASE("tasks that are given back, cancelled, taken back or abandoned are destroyed with no lock held") {
    Held held;
    std::vector<TaskId> ids;
    SUBCASE("given back, as the one before them takes long") {
      held.queue_tasks(3);  // the watchdog, or who comes behind them, sees to it
    }
    SUBCASE("cancelled") {
      ids = held.queue_tasks(1);
      held.f.host->cancel(1, {.lease = {5}, .tasks = ids});
    }
    SUBCASE("taken back by who waits for them") {
      ids = held.queue_tasks(1);
      static_cast<void>(held.f.host->take_back({5}, ids[0]));
    }
    SUBCASE("of an owner that is gone") {
      held.queue_tasks(3);
      held.f.host->drop_owner(1);
    }
    CHECK(held.probe.clean());
  }

  TEST_CASE("calls of an actor that is killed, or ends itself, are destroyed with no lock held") {
    Held held;
    wire::Concurrency concurrency;
    SUBCASE("killed") {
      held.queue_calls<&Clerk::wait>(3);
      held.f.host->destroy(kActor, true);
      CHECK(held.probe.clean());
      g_open = true;
    }
    SUBCASE("killed, with several calls at once") {
      concurrency.groups.push_back({.name = "other", .limit = 1});
      held.queue_calls<&Clerk::wait>(3, concurrency);
      held.f.host->destroy(kActor, true);
      CHECK(held.probe.clean());
      g_open = true;
    }
    SUBCASE("by exit_actor") {
      held.queue_calls<&Clerk::leave>(3);
      g_open = true;
      CHECK(held.probe.clean());
    }
    CHECK(held.f.router.wait_for_ends(1));
  }

  // The owner's events hold tasks with their arguments. One whose destructor told the owner something waited for itself.
  TEST_CASE("events that are dropped at the end of their actor may tell it something as they go") {
    struct Talker;
    using Control = ControlActor<std::shared_ptr<Talker>>;
    struct Talker {
      Control* to = nullptr;
      ~Talker() {
        if (to) to->tell(std::make_shared<Talker>());
      }
    };
    HostFixture f;
    std::atomic<int> handled{0};
    std::atomic<bool> busy{false}, go_on{false};
    Control control(f.system, [&](std::vector<std::shared_ptr<Talker>>&) {
      busy = true;
      while (!go_on) std::this_thread::sleep_for(1ms);
      ++handled;
    });
    control.tell_in_background(std::make_shared<Talker>());
    REQUIRE(eventually([&] { return busy.load(); }));
    for (int i = 0; i < 3; ++i) {
      auto talker = std::make_shared<Talker>();
      talker->to = &control;
      control.tell(std::move(talker));
    }
    std::thread opener([&] { go_on = true; });
    control.stop();  // hung
    opener.join();
    CHECK(handled >= 1);
  }

  TEST_CASE("a look at calls that are pending destroys no value under its lock") {
    PendingCalls pending(1);
    struct Caller {
      PendingCalls* pending = nullptr;
      std::atomic<int>* ended = nullptr;
      ~Caller() {
        if (!pending) return;
        try {
          pending->admit(std::make_shared<Cell>(type_ops<Void>()), "a destructor");  // hung
        } catch (const ResourceExhausted&) {
        }
        ++*ended;
      }
    };
    std::atomic<int> ended{0};
    for (int round = 0; round < 200; ++round) {
      auto caller = std::make_shared<Caller>();
      caller->pending = &pending, caller->ended = &ended;
      auto cell = std::make_shared<Cell>(type_ops<Void>());
      try {
        pending.admit(cell, "test");
      } catch (const ResourceExhausted&) {
      }
      cell->set_value(std::move(caller));
      std::thread dropper([&] { cell.reset(); });
      try {
        pending.admit(std::make_shared<Cell>(type_ops<Void>()), "test");
      } catch (const ResourceExhausted&) {
      }
      dropper.join();
      CHECK(ended == round + 1);
    }
  }
}

}  // namespace manta::detail
