// What comes to an executor at the wrong moment, each driven to that moment: a cancel ahead of its work or before the work's
// coroutine is there, a caller's end before its call begins, an owner's end when its worker serves another one, anything when the
// actor is over. Each was a race once.
#include <doctest/doctest.h>

#include <set>

#include "runtime/actors/hosted_actor.hpp"
#include "runtime/actors/threaded_actor.hpp"
#include "runtime/in_task.hpp"
#include "runtime/promise.hpp"
#include "runtime/ref_stream.hpp"
#include "tests/runtime/actors/host_fixture.hpp"

namespace manta::detail {
namespace {

using namespace std::chrono_literals;

constexpr ProcessId kOwner = 1;
constexpr ProcessId kOther = 2;
constexpr std::uint64_t kBase = std::uint64_t{kOwner} << 40;
constexpr ActorId kActor{kBase + 3};

/// A place in the program where a thread waits until the test lets it go.
struct Stop {
  std::atomic<bool> open{false};
  std::atomic<int> there{0};
  void pass() {
    ++there;
    while (!open) std::this_thread::sleep_for(1ms);
  }
};
Stop* g_stop = nullptr;

/// An argument that is read slowly: its work has begun, and has no coroutine yet.
struct Slow {
  template <class Archive>
  void save(Archive& archive) const {
    archive(1);
  }
  template <class Archive>
  void load(Archive& archive) {
    int one = 0;
    archive(one);
    g_stop->pass();
  }
};

/// A result that is written slowly: its function has returned, and its work is not over.
struct SlowToSave {
  template <class Archive>
  void save(Archive& archive) const {
    archive(1);
    g_stop->pass();
  }
  template <class Archive>
  void load(Archive& archive) {
    int one = 0;
    archive(one);
  }
};

std::atomic<int> g_begun{0}, g_most{0};

Async<int> wait_for_ever(Slow) {
  Promise<int> never;
  auto ref = never.ref();
  co_return co_await ref;
}

class Clerk {
 public:
  int pass() { return g_stop->pass(), 1; }
  Async<int> wait() {
    auto ref = never_.ref();
    co_return co_await ref;
  }
  Async<int> wait_slowly(Slow) {
    auto ref = never_.ref();
    co_return co_await ref;
  }
  Async<int> begin_and_wait(Slow) {
    const int begun = ++g_begun;
    for (int most = g_most; most < begun && !g_most.compare_exchange_weak(most, begun);) {
    }
    auto ref = never_.ref();
    try {
      co_await ref;
    } catch (const Cancelled&) {
      --g_begun;
      throw;
    }
    co_return 0;
  }
  int one() { return 1; }
  SlowToSave give() { return {}; }
  std::tuple<int, SlowToSave> give_two() { return {1, SlowToSave{}}; }
  Async<SlowToSave> give_later() { co_return SlowToSave{}; }

 private:
  Promise<int> never_;
};

struct Late {
  Late() { g_stop = &stop; }
  ~Late() { stop.open = true; }
  Stop stop{};
  HostFixture f{};
  std::uint64_t next_id = kBase + 10;

  void create(bool threaded) {
    wire::Concurrency concurrency;
    if (threaded) concurrency.groups.push_back({.name = "other"});
    f.host->create(kOwner, kActor, {.id = {6}}, HostFixture::work_of<ConstructorRecord<Clerk>>(next_id++, {}), std::move(concurrency));
  }
  template <auto Method, class... Args>
  TaskId call(ProcessId caller, Args&&... args) {
    using Record = MethodRecord<Clerk, Method>;
    std::vector<Work> one;
    one.push_back(HostFixture::work_of<Record>(next_id, HostFixture::arguments<Record>(std::forward<Args>(args)...)));
    one.back().caller = caller;
    f.host->call(kActor, std::move(one));
    return {next_id++};
  }
  void end_actor() {
    f.host->destroy(kActor, true);
    CHECK(f.router.wait_for_ends(1));
  }
};

ErrorCode code_of(const wire::Outcome& outcome) {
  const auto* error = std::get_if<ErrorInfo>(&outcome.result);
  const ErrorInfo* root = error;
  while (root && root->cause) root = root->cause.get();
  return root ? root->code : ErrorCode{};
}

}  // namespace

TEST_SUITE("runtime/actors/late_events") {
  TEST_CASE("a cancel that comes ahead of its work meets it when it begins, once") {
    RunningWork running;
    running.cancel({5}, true);
    {
      RunningWork::Scope other(running, {4});
      CHECK_FALSE(other.slot().cancelled());
      RunningWork::Scope its(running, {5});
      CHECK(its.slot().cancelled());
      CHECK(its.slot().cancelled_with_children());
      CHECK_THROWS_AS(CancelSlot::check(), Cancelled);
    }
    CHECK_NOTHROW(CancelSlot::check());
    RunningWork::Scope again(running, {5});
    CHECK_FALSE(again.slot().cancelled());
  }

  TEST_CASE("of several cancels that come ahead of their work none is lost") {
    RunningWork running;
    running.cancel({5}, false);
    running.cancel({5}, true);
    running.cancel({5}, false);
    {
      RunningWork::Scope other(running, {4});
      RunningWork::Scope its(running, {5});
      CHECK(its.slot().cancelled_with_children());
    }
    RunningWork::Scope again(running, {5});
    CHECK_FALSE(again.slot().cancelled());
  }

  TEST_CASE("a cancel of what runs now is not kept for what begins") {
    RunningWork running;
    running.cancel_now({5}, true);
    CHECK_FALSE(running.runs({5}));
    RunningWork::Scope other(running, {4});
    RunningWork::Scope its(running, {5});
    CHECK(running.runs({4}));
    CHECK(running.runs({5}));
    CHECK_FALSE(its.slot().cancelled());
    running.cancel_now({5}, false);
    CHECK(its.slot().cancelled());
    CHECK_FALSE(its.slot().cancelled_with_children());
    CHECK_FALSE(other.slot().cancelled());
  }

  TEST_CASE("threads that work has started hear its cancel, and no more than that") {
    RunningWork running;
    auto as_helper = [&](const auto& look) { std::thread([&] { RunningWork::Helper helper(running); look(helper.belongs()); }).join(); };
    as_helper([](bool belongs) { CHECK_FALSE(belongs); });
    {
      RunningWork::Scope scope(running, {5});
      as_helper([](bool belongs) {
        CHECK(belongs);
        CHECK(CancelSlot::current()->id() == TaskId{5});
        CHECK_NOTHROW(CancelSlot::check());
      });
      std::vector<std::thread> threads;
      std::atomic<int> asleep{0}, woken{0};
      std::atomic<std::uint32_t> words[3]{};
      for (auto& own : words)
        threads.emplace_back([&] {
          const RunningWork::Helper helper(running);
          const CancelSlot::Sleep sleep(own, 0);
          ++asleep;
          while (own.load() == 0) futex_wait(own, 0, {});
          woken += CancelSlot::current()->cancelled_with_children();
        });
      CHECK(eventually([&] { return asleep == 3; }));
      running.cancel({5}, true);
      for (auto& each : threads) each.join();
      CHECK(woken == 3);
      as_helper([](bool belongs) {
        CHECK(belongs);
        CHECK_THROWS_AS(CancelSlot::check(), Cancelled);  // also one that comes later
      });
    }
    CHECK(running.take_helped());
    CHECK_FALSE(running.take_helped());
    RunningWork::Scope next(running, {6});
    as_helper([](bool) { CHECK_FALSE(CancelSlot::current()->cancelled()); });
  }

  TEST_CASE("a task's cancel that comes before its coroutine is there is heard at its first wait") {
    Late late;
    const std::uint64_t id = late.next_id;
    using Record = FunctionRecord<wait_for_ever>;
    late.f.run(HostFixture::work_of<Record>(id, HostFixture::arguments<Record>(Slow{})));
    REQUIRE(eventually([&] { return late.stop.there == 1; }));
    late.f.host->cancel(kOwner, {.lease = {5}, .tasks = {{id}}});
    late.stop.open = true;
    const auto outcomes = late.f.router.wait_for(1);
    REQUIRE(outcomes.size() == 1);
    CHECK(code_of(outcomes[0]) == ErrorCode::kCancelled);
  }

  TEST_CASE("a call's cancel that comes before its coroutine is there is heard at its first wait") {
    for (const bool threaded : {false, true}) {
      Late late;
      late.create(threaded);
      const auto id = late.call<&Clerk::wait_slowly>(kOwner, Slow{});
      REQUIRE(eventually([&] { return late.stop.there == 1; }));
      late.f.host->cancel(kOwner, {.actor = kActor, .tasks = {id}});
      late.stop.open = true;
      const auto outcomes = late.f.router.wait_for(1);
      REQUIRE(outcomes.size() == 1);
      CHECK(code_of(outcomes[0]) == ErrorCode::kCancelled);
      late.end_actor();
    }
  }

  TEST_CASE("an actor's end names a call whose value is being turned into bytes, so that what it submitted is cancelled") {
    for (const bool threaded : {false, true}) {
      for (const int kind : {0, 1, 2, 3}) {
        CAPTURE(kind);
        Late late;
        late.create(threaded);
        TaskId call{};
        if (kind == 0) call = late.call<&Clerk::pass>(kOwner);
        if (kind == 1) call = late.call<&Clerk::give>(kOwner);
        if (kind == 2) call = late.call<&Clerk::give_two>(kOwner);
        if (kind == 3) call = late.call<&Clerk::give_later>(kOwner);
        REQUIRE(eventually([&] { return late.stop.there == 1; }));
        const auto unwanted = late.f.host->destroy(kActor, true);
        CHECK(std::set(unwanted.begin(), unwanted.end()) == std::set{call});  // nobody has its value
        late.stop.open = true;
        CHECK(late.f.router.wait_for(1).size() == 1);
        CHECK(late.f.router.wait_for_ends(1));
      }
    }
  }

  // In the caller's process the value is there before the work is over: who had got it and killed the actor at once had the tasks
  // cancelled whose refs it had been given.
  TEST_CASE("work whose caller has its result is met by no cancel, and begins no helper") {
    RunningWork running;
    result_is_made();  // nothing runs
    {
      RunningWork elsewhere;
      RunningWork::Scope scope(elsewhere, {4});  // for a caller in another process
      result_is_made();
      CHECK(elsewhere.cancel_all() == std::vector<TaskId>{{4}});
    }
    {
      RunningWork::Scope scope(running, {5}, true);
      result_is_made();
      running.cancel({5}, true);
      CHECK(running.cancel_all().empty());
      CHECK_NOTHROW(CancelSlot::check());
      CHECK_FALSE(scope.slot().cancelled_with_children());
      std::thread([&] {
        const RunningWork::Helper helper(running);
        CHECK_FALSE(helper.belongs());
      }).join();
    }
    CHECK(running.take_helped());
  }

  TEST_CASE("a coroutine whose caller ended before it began is interrupted as soon as it waits") {
    for (const bool threaded : {false, true}) {
      Late late;
      late.create(threaded);
      late.call<&Clerk::pass>(kOwner);
      REQUIRE(eventually([&] { return late.stop.there == 1; }));
      late.call<&Clerk::wait>(kOther);
      late.f.host->drop_owner(kOther);  // its process is gone; the call waits behind the one that runs
      late.stop.open = true;
      const auto outcomes = late.f.router.wait_for(2);
      REQUIRE(outcomes.size() == 2);
      CHECK(std::holds_alternative<wire::Value>(outcomes[0].result));
      CHECK(code_of(outcomes[1]) == ErrorCode::kCancelled);
      late.end_actor();
    }
  }

  TEST_CASE("a coroutine whose caller ended while its arguments were read is interrupted as soon as it waits") {
    for (const bool threaded : {false, true}) {
      Late late;
      late.create(threaded);
      late.call<&Clerk::wait_slowly>(kOther, Slow{});
      REQUIRE(eventually([&] { return late.stop.there == 1; }));
      late.f.host->drop_owner(kOther);
      late.stop.open = true;
      const auto outcomes = late.f.router.wait_for(1);
      REQUIRE(outcomes.size() == 1);
      CHECK(code_of(outcomes[0]) == ErrorCode::kCancelled);
      late.end_actor();
    }
  }

  // The host collected the workers of an owner that was gone; one of them served the next lease when it was emptied.
  TEST_CASE("a worker that serves another owner by now keeps that one's tasks when the first one's end is told") {
    HostFixture f;
    auto worker = std::make_shared<TaskWorker>(*f.host, f.environment);
    worker->bind(kOwner, {.id = {5}});
    worker->bind(kOther, {.id = {6}});
    std::vector<Work> tasks;
    for (std::uint64_t id = 1; id <= 2; ++id) tasks.push_back(HostFixture::work<twice>(id, HostFixture::argument(1)));
    static_cast<void>(worker->append(std::move(tasks)));  // it is not woken: nothing begins
    CHECK_FALSE(worker->abandon(kOwner));
    CHECK(worker->take_back({1}).has_value());
    CHECK_FALSE(worker->abandon(kOther));  // none runs
    CHECK_FALSE(worker->take_back({2}).has_value());
  }

  TEST_CASE("an actor that is over hears nothing more: no call, no second end, no caller's") {
    for (const bool threaded : {false, true}) {
      HostFixture f;
      std::shared_ptr<Hosted> actor;
      if (threaded)
        actor = std::make_shared<ThreadedActor>(*f.host, f.environment, kOwner, kActor, wire::LeaseInfo{.id = {6}},
                                                wire::Concurrency{.limit = 2});
      else
        actor = std::make_shared<HostedActor>(*f.host, f.environment, kOwner, kActor, wire::LeaseInfo{.id = {6}}, 1000);
      actor->start(HostFixture::work_of<ConstructorRecord<Clerk>>(kBase + 1, {}));
      actor->destroy(false);
      REQUIRE(f.router.wait_for_ends(1));
      std::vector<Work> calls;
      calls.push_back(HostFixture::work_of<MethodRecord<Clerk, &Clerk::one>>(kBase + 2, {}));
      calls.back().caller = kOther;
      actor->call(std::move(calls));  // on no object
      actor->caller_gone(kOther);
      actor->destroy(true);
      actor->cancel({kBase + 2}, false);
      while (!f.host->idle()) std::this_thread::yield();
      f.run(HostFixture::work<twice>(1, HostFixture::argument(4)));  // behind all that was scheduled
      const auto outcomes = f.router.wait_for(1);
      CHECK(outcomes.size() == 1);
      CHECK(std::holds_alternative<wire::Value>(outcomes.at(0).result));
      CHECK(f.router.ends() == 1);
    }
  }

  // Lanes that had taken a coroutine counted it only once it had begun: each of them could begin one too many.
  TEST_CASE("an actor of several calls at once begins as many coroutines as it may, and not one more") {
    Late late;
    g_begun = g_most = 0;
    late.f.host->create(kOwner, kActor, {.id = {6}}, HostFixture::work_of<ConstructorRecord<Clerk>>(late.next_id++, {}),
                        wire::Concurrency{.limit = 4, .coroutines = 2});
    late.call<&Clerk::one>(kOwner);
    REQUIRE(late.f.router.wait_for(1).size() == 1);
    std::vector<TaskId> calls;
    for (int i = 0; i < 8; ++i) calls.push_back(late.call<&Clerk::begin_and_wait>(kOwner, Slow{}));
    REQUIRE(eventually([&] { return late.stop.there >= 2; }));
    for (std::uint64_t id = 1; id <= 2; ++id) late.f.run(HostFixture::work<twice>(id, HostFixture::argument(1)));
    REQUIRE(late.f.router.wait_for(3).size() == 3);  // behind the lanes in the pool's queue: they have looked for calls by now
    late.stop.open = true;
    REQUIRE(eventually([] { return g_begun == 2; }));
    late.f.host->cancel(kOwner, {.actor = kActor, .tasks = calls});
    CHECK(late.f.router.wait_for(11).size() == 11);
    CHECK(g_most == 2);
    late.end_actor();
  }

  TEST_CASE("a coroutine that does not come to begin gives its place to the next one") {
    Late late;
    late.stop.open = true;
    late.f.host->create(kOwner, kActor, {.id = {6}}, HostFixture::work_of<ConstructorRecord<Clerk>>(late.next_id++, {}),
                        wire::Concurrency{.limit = 2, .coroutines = 1});
    for (int i = 0; i < 3; ++i) {
      std::vector<Work> damaged;
      damaged.push_back(HostFixture::work_of<MethodRecord<Clerk, &Clerk::wait_slowly>>(late.next_id++, {}));  // its arguments cannot be read
      damaged.back().caller = kOwner;
      late.f.host->call(kActor, std::move(damaged));
    }
    const auto waits = late.call<&Clerk::wait_slowly>(kOwner, Slow{});
    REQUIRE(eventually([&] { return late.stop.there == 1; }));
    late.f.host->cancel(kOwner, {.actor = kActor, .tasks = {waits}});
    CHECK(late.f.router.wait_for(4).size() == 4);
    late.end_actor();
  }

  // Under a sanitizer: the table of streams was looked at as it was freed.
  TEST_CASE("a caller's end at the moment of the actor's end is of no effect") {
    for (int round = 0; round < 100; ++round) {
      HostFixture f;
      f.host->create(kOwner, kActor, {.id = {6}}, HostFixture::work_of<ConstructorRecord<Clerk>>(kBase + 1, {}),
                     round % 2 ? wire::Concurrency{.limit = 2} : wire::Concurrency{});
      std::thread teller([&] {
        for (ProcessId each = 10; each < 40; ++each) f.host->drop_owner(each);
      });
      f.host->destroy(kActor, round % 4 < 2);
      teller.join();
      REQUIRE(f.router.wait_for_ends(1));
    }
  }
}

}  // namespace manta::detail
