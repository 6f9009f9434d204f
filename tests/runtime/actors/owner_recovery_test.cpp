// What an owner does about arguments whose copies are lost, without ever waiting in its actor, and about messages of no sense.
#include <doctest/doctest.h>

#include <future>
#include <thread>

#include "tests/runtime/actors/owner_fixture.hpp"

namespace manta::detail {

TEST_SUITE("runtime/actors/owner_recovery") {
  // The second of two works that shared it encoded it in the owner's actor, on the thread that was to read the store's answer: a worker process
  // stood for ever.
  TEST_CASE("an argument that has lost its copy is not made into bytes by the owner's actor, but on the lane") {
    Fixture f;
    const auto argument = f.stored_argument();
    std::vector<std::shared_ptr<Cell>> results;
    for (int i = 0; i < 2; ++i) {
      auto record = make_record<FunctionRecord<&count>>(ObjectRef<std::vector<int>>(argument));
      results.push_back(record->result);
      f.owner->submit(std::move(record), std::make_shared<const TaskOptions>(), false);
    }
    f.run();
    const auto wants = f.router.take<wire::WantLeases>(kNodeProcess);
    REQUIRE_FALSE(wants.empty());
    std::vector<TaskId> sent;
    for (std::uint64_t lease : {1, 2}) {
      f.grant(wants[0].purpose, lease);
      f.run();
      for (const auto& message : f.router.take<wire::RunTasks>(kWorker))
        for (const auto& task : message.tasks) sent.push_back(task.id);
    }
    REQUIRE(sent.size() == 2);
    f.store.creating = [test = std::this_thread::get_id()] { CHECK(std::this_thread::get_id() != test); };
    const auto lose = [&](std::size_t i) {
      f.owner->deliver(wire::TasksDone{.lease = {i + 1}, .outcomes = {{.id = sent[i], .result = ErrorInfo{.code = ErrorCode::kObjectLost, .message = "lost"}, .lost = {17}}}});
      f.run();
    };
    lose(0);
    lose(1);
    for (int i = 0; i < 1000 && !(results[0]->settled() && results[1]->settled()); ++i) {
      f.lane.drain();
      f.run();
    }
    for (const auto& result : results) {
      REQUIRE(result->failed());  // there is no room for it
      CHECK(result->error()->code == ErrorCode::kObjectStoreFull);
      CHECK(result->error()->did_not_run);
    }
    CHECK(f.owner->unfinished().all() == 0);
  }

  // It was put into the queue a second time, and stayed there when it had failed.
  TEST_CASE("word of a lost argument of a task that no worker has changes nothing") {
    Fixture f;
    auto record = make_record<FunctionRecord<&count>>(ObjectRef<std::vector<int>>(f.stored_argument()));
    const auto result = record->result;
    f.owner->submit(std::move(record), std::make_shared<const TaskOptions>(), false);
    f.run();
    const auto wants = f.router.take<wire::WantLeases>(kNodeProcess);
    REQUIRE(wants.size() == 1);
    const TaskId task{f.ids.next<TaskId>().value - 1};
    f.owner->deliver(wire::TasksDone{.lease = {1}, .outcomes = {{.id = task, .result = ErrorInfo{.code = ErrorCode::kObjectLost, .message = "lost"}, .lost = {17}}}});
    for (int i = 0; i < 10; ++i) f.run(), f.lane.drain();
    CHECK_FALSE(result->settled());
    CHECK(f.owner->unfinished().all() == 1);
    f.grant(wants[0].purpose, 1);
    f.run();
    const auto runs = f.router.take<wire::RunTasks>(kWorker);
    REQUIRE(runs.size() == 1);
    REQUIRE(runs[0].tasks.size() == 1);
    CHECK(runs[0].tasks[0].id == task);
  }

  TEST_CASE("work whose argument has lost its copy when it is to leave comes back as one that lost it, and waits for the lane") {
    Fixture f;
    const auto argument = f.stored_argument();
    auto record = make_record<FunctionRecord<&count>>(ObjectRef<std::vector<int>>(argument));
    const auto result = record->result;
    f.owner->submit(std::move(record), std::make_shared<const TaskOptions>(), false);
    f.run();
    REQUIRE(argument->forget_stored(17));
    const auto wants = f.router.take<wire::WantLeases>(kNodeProcess);
    f.store.creating = [test = std::this_thread::get_id()] { CHECK(std::this_thread::get_id() != test); };
    f.grant(wants.at(0).purpose, 1);
    f.run();
    const auto runs = f.router.take<wire::RunTasks>(kWorker);
    REQUIRE(runs.size() == 1);
    const auto named = runs[0].tasks.at(0).refs.at(0).stored;
    CHECK(named);
    CHECK(named.value != 17);
    f.owner->deliver(wire::TasksDone{.lease = {1}, .outcomes = {{.id = runs[0].tasks[0].id, .result = ErrorInfo{.code = ErrorCode::kObjectLost, .message = "lost"}, .lost = named}}});
    f.run();
    f.lane.drain();
    f.run();
    REQUIRE(result->failed());
    CHECK(result->error()->code == ErrorCode::kObjectStoreFull);
    CHECK(f.owner->unfinished().all() == 0);
  }

  // Its place was asked to destroy what it had never heard of, and said nothing: the lease was lost.
  TEST_CASE("an actor that is killed as its constructor cannot be sent gives its lease back") {
    Fixture f;
    const auto argument = f.borrowed_argument();
    const auto id = f.ids.next<ActorId>();
    auto record = make_record<ConstructorRecord<Heir, const std::vector<int>&>>(ObjectRef<std::vector<int>>(argument));
    auto link = f.owner->spawn(std::move(record), std::make_shared<const ActorOptions>(ActorOptions{}), id);
    f.run();
    const auto wants = f.router.take<wire::WantLeases>(kNodeProcess);
    REQUIRE(wants.size() == 1);
    f.references->process_gone(kOther);
    f.grant(wants[0].purpose, 1);
    f.owner->kill(id);
    f.run();
    CHECK(f.router.take<wire::CreateActor>(kWorker).empty());
    CHECK(f.router.take<wire::DestroyActor>(kWorker).empty());
    link.reset();
    f.run();
    CHECK(f.router.take<wire::ReleaseLease>(kNodeProcess).size() == 1);
    CHECK(f.owner->unfinished().all() == 0);
  }

  // Each of these ended the driver, or stopped it for good: a worker process is not trusted.
  TEST_CASE("word of an actor's creation that has no place yet changes nothing") {
    Fixture f;
    const auto id = f.ids.next<ActorId>();
    auto link = f.spawn(id);
    f.run();
    const auto wants = f.router.take<wire::WantLeases>(kNodeProcess);
    REQUIRE(wants.size() == 1);
    f.owner->deliver(wire::ActorCreated{.actor = id, .lease = {}});
    f.run();
    f.grant(wants[0].purpose, 1);
    f.run();
    CHECK(f.router.take<wire::CreateActor>(kWorker).size() == 1);
  }

  TEST_CASE("word of the creation of an actor that another process owns changes nothing") {
    Fixture f;
    f.owner->borrow(kTheirs, "actor of theirs", std::make_shared<int>(1));
    f.owner->deliver(kOther, wire::ActorPlace{.actor = kTheirs, .state = core::ActorState::kDead});
    f.run();
    f.owner->deliver(wire::ActorCreated{.actor = kTheirs, .lease = {}});
    f.run();
    auto cell = f.call(kTheirs);
    f.run();
    CHECK(cell->failed());
  }

  TEST_CASE("an actor's owner that gives it a lease of somebody else's takes nothing from that one") {
    Fixture f;
    auto cell = f.submit();
    f.run();
    const auto wants = f.router.take<wire::WantLeases>(kNodeProcess);
    f.owner->borrow(kTheirs, "actor of theirs", std::make_shared<int>(1));
    f.grant(wants.at(0).purpose, 1);
    f.run();
    CHECK(f.router.take<wire::RunTasks>(kWorker).size() == 1);
    f.owner->deliver(kOther, wire::ActorPlace{.actor = kTheirs, .state = core::ActorState::kAlive, .lease = {1}, .worker = kOther});
    f.owner->process_gone(kOther);
    f.owner->deliver(wire::LeaseLost{.lease = {1}, .error = {.code = ErrorCode::kWorkerCrashed, .message = "died"}});
    f.run();
    CHECK_FALSE(f.router.take<wire::WantLeases>(kNodeProcess).empty());  // for the next attempt
  }

  TEST_CASE("a unit that the owner itself is said to have is none, and its giver's end stops nothing") {
    struct HomeRouter final : Router {  // as ProcessEngine: what is for this process is handed over at once
      ProcessId self() const override { return kSelf; }
      void send(ProcessId to, wire::Message message) override {
        if (auto* updates = std::get_if<wire::ReferenceUpdates>(&message); updates && to == kSelf) keeper->deliver(kSelf, *updates);
      }
      ReferenceKeeper* keeper = nullptr;
    } router;
    IdSource ids{kSelf};
    EmptyStore store{kSelf};
    Lane lane(1);
    const auto keeper = std::make_shared<ReferenceKeeper>(kSelf, ids, router, store, lane, 100'000);
    router.keeper = keeper.get();
    keeper->deliver(kOther, wire::ReferenceUpdates{{{core::ReferenceOperation::kLend, ids.next<ObjectId>().value, kSelf, 1}}});
    keeper->process_gone(kOther);
    CHECK(keeper->counts().lent == 0);
  }
}

}  // namespace manta::detail
