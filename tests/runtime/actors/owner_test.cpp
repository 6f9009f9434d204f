// The owner on CAF's test coordinator: events that come together are handled together, as on a busy machine.
#include <doctest/doctest.h>

#include "tests/runtime/actors/owner_fixture.hpp"

namespace manta::detail {

TEST_SUITE("runtime/actors/owner") {
  // A task that died in company goes on in a process of its own. It was made ready after the asking for leases was done, so
  // that its lease was asked for only when something else happened.
  TEST_CASE("a task that died in company asks for its process at once, with no other event") {
    Fixture f;
    auto cell = f.submit();
    f.run();
    const auto wants = f.router.take<wire::WantLeases>(kNodeProcess);
    REQUIRE(wants.size() == 1);
    CHECK(wants[0].retriable);
    f.grant(wants[0].purpose, 1);
    f.run();
    CHECK(f.router.take<wire::RunTasks>(kWorker).size() == 1);
    f.router.sent.clear();
    f.owner->deliver(wire::LeaseLost{.lease = {1}, .error = {.code = ErrorCode::kWorkerCrashed, .message = "died"}, .shared = true});
    f.run();
    bool own = false;
    for (const auto& want : f.router.take<wire::WantLeases>(kNodeProcess)) own |= want.own_process && want.count == 1;
    CHECK(own);
    CHECK_FALSE(cell->settled());
  }

  // An actor of another process has no options here, and was asked for its placement group.
  TEST_CASE("the end of a placement group passes over actors that other processes own") {
    Fixture f;
    f.owner->borrow(kTheirs, "actor of theirs", std::make_shared<int>(1));
    f.run();
    f.owner->deliver(wire::GroupRemoved{.group = {9}, .error = {.code = ErrorCode::kCancelled, .message = "removed"}});
    f.run();
    auto waiting = f.call(kTheirs);
    f.run();
    CHECK_FALSE(waiting->settled());
    f.owner->deliver(kOther, wire::ActorPlace{.actor = kTheirs, .state = core::ActorState::kAlive, .lease = {4}, .worker = kWorker});
    f.run();
    CHECK(f.router.take<wire::CallActor>(kWorker).size() == 1);
  }

  // The last handle goes and a new one comes in one group of events: the new one was taken for the old, which then went.
  TEST_CASE("a handle that comes as the last one goes is a fresh one: its calls are sent") {
    Fixture f;
    f.owner->borrow(kTheirs, "actor of theirs", std::make_shared<int>(1));
    f.run();
    const auto alive = wire::ActorPlace{.actor = kTheirs, .state = core::ActorState::kAlive, .lease = {4}, .worker = kWorker};
    f.owner->deliver(kOther, alive);
    f.run();
    f.router.sent.clear();
    f.owner->dropped(kTheirs);
    f.owner->borrow(kTheirs, "actor of theirs", std::make_shared<int>(2));
    auto cell = f.call(kTheirs);
    f.run();
    CHECK(f.router.take<wire::ActorRequest>(kOther).size() == 1);  // follows it anew
    f.owner->deliver(kOther, alive);
    f.run();
    CHECK(f.router.take<wire::CallActor>(kWorker).size() == 1);
    CHECK_FALSE(cell->settled());
  }

  TEST_CASE("calls that come back from their actor are sent again in order, behind the one that was lost, and say that this is known") {
    Fixture f;
    f.owner->borrow(kTheirs, "actor of theirs", std::make_shared<int>(1));
    f.owner->deliver(kOther, wire::ActorPlace{.actor = kTheirs, .state = core::ActorState::kAlive, .lease = {4}, .worker = kWorker});
    const std::vector cells{f.call(kTheirs), f.call(kTheirs), f.call(kTheirs)};
    f.run();
    const auto sent = [&f] {
      std::vector<wire::Task> calls;
      for (auto& message : f.router.take<wire::CallActor>(kWorker)) std::move(message.calls.begin(), message.calls.end(), std::back_inserter(calls));
      return calls;
    };
    const auto first = sent();
    REQUIRE(first.size() == 3);
    CHECK(first[0].losses == 0);
    const auto back = [&](std::size_t index, wire::Outcome outcome) {
      outcome.id = first[index].id;
      f.owner->deliver(wire::ActorDone{.actor = kTheirs, .outcomes = {std::move(outcome)}});
      f.run();
    };
    back(0, {.result = ErrorInfo{.code = ErrorCode::kObjectLost, .message = "lost"}, .lost = {9}, .losses = 1});
    CHECK(cells[0]->failed());  // nobody has what it was made of
    const auto newer = f.call(kTheirs);
    back(1, {.result = wire::Unstarted{}, .losses = 1});
    CHECK(sent().empty());
    f.owner->cancel(*cells[2], {});
    back(2, {.result = wire::Unstarted{}, .losses = 1});
    const auto again = sent();
    REQUIRE(again.size() == 2);
    CHECK(again[0].id == first[1].id);
    CHECK(again[0].losses == 1);
    CHECK(again[1].losses == 1);
    CHECK(cells[2]->failed());
    CHECK_FALSE(cells[1]->settled());
    CHECK_FALSE(newer->settled());
  }

  // What the stop had ended was forgotten while the request behind it was answered: it read what was gone.
  TEST_CASE("who asks for an actor's place behind the stop of its owner hears that it is dead") {
    Fixture f;
    const auto id = f.ids.next<ActorId>();
    auto link = f.spawn(id);
    f.run();
    f.router.sent.clear();
    f.owner->stop();
    f.owner->deliver(kOther, wire::ActorRequest{.actor = id, .operation = wire::ActorOperation::kFollow});
    f.run();
    const auto places = f.router.take<wire::ActorPlace>(kOther);
    REQUIRE(places.size() == 1);
    CHECK(places[0].state == core::ActorState::kDead);
  }

  // The error left the owner's actor as an exception, and with it went the owner.
  TEST_CASE("a task whose argument has gone with its owner when it is to leave fails; the owner goes on") {
    Fixture f;
    const auto argument = f.borrowed_argument();
    auto record = make_record<FunctionRecord<&count>>(ObjectRef<std::vector<int>>(argument));
    auto cell = record->result;
    f.owner->submit(std::move(record), std::make_shared<const TaskOptions>(TaskOptions{.name = "sad"}), false);
    f.run();
    f.references->process_gone(kOther);
    const auto wants = f.router.take<wire::WantLeases>(kNodeProcess);
    REQUIRE(wants.size() == 1);
    f.grant(wants[0].purpose, 1);
    f.run();
    CHECK(f.router.take<wire::RunTasks>(kWorker).empty());
    REQUIRE(cell->failed());
    CHECK(cell->error()->code == ErrorCode::kOwnerDied);
    CHECK(cell->error()->where == "sad");
    CHECK(f.owner->unfinished().all() == 0);
    auto next = f.submit({.name = "sad"});
    f.run();
    CHECK_FALSE(f.router.sent.empty());
  }

  // The loss overtook what the owner had told itself: the task was made ready again, settled, and forgotten where it was ready.
  TEST_CASE("a task that fails as it leaves, for a worker that is lost at once, is settled once and nowhere any more") {
    Fixture f;
    const auto argument = f.borrowed_argument();
    auto record = make_record<FunctionRecord<&count>>(ObjectRef<std::vector<int>>(argument));
    auto cell = record->result;
    f.owner->submit(std::move(record), std::make_shared<const TaskOptions>(), false);
    f.run();
    f.references->process_gone(kOther);
    const auto wants = f.router.take<wire::WantLeases>(kNodeProcess);
    REQUIRE(wants.size() == 1);
    f.grant(wants[0].purpose, 1);
    f.owner->deliver(wire::LeaseLost{.lease = {1}, .error = {.code = ErrorCode::kWorkerCrashed, .message = "died"}});
    f.run();
    CHECK(cell->failed());
    CHECK(f.owner->unfinished().all() == 0);
    f.grant(wants[0].purpose, 2);
    f.run();
    CHECK(f.router.take<wire::RunTasks>(kWorker).empty());
  }

  TEST_CASE("a call that fails as it leaves, for an actor that is lost at once, is settled once and not sent to the next one") {
    Fixture f;
    const auto id = f.ids.next<ActorId>();
    auto link = f.spawn(id, {.max_restarts = 1, .max_task_retries = 1});
    const auto argument = f.borrowed_argument();
    auto record = make_record<MethodRecord<Clerk, &Clerk::count>>(ObjectRef<std::vector<int>>(argument));
    auto cell = record->result;
    f.owner->call(id, std::move(record), nullptr, true);
    f.run();
    auto wants = f.router.take<wire::WantLeases>(kNodeProcess);
    REQUIRE(wants.size() == 1);
    f.grant(wants[0].purpose, 1);
    f.run();
    f.references->process_gone(kOther);
    f.owner->deliver(wire::ActorCreated{.actor = id, .lease = {1}});
    f.owner->deliver(wire::LeaseLost{.lease = {1}, .error = {.code = ErrorCode::kWorkerCrashed, .message = "died"}});
    f.run();
    CHECK(cell->failed());
    wants = f.router.take<wire::WantLeases>(kNodeProcess);
    REQUIRE_FALSE(wants.empty());
    f.grant(wants.back().purpose, 2);
    f.run();
    f.owner->deliver(wire::ActorCreated{.actor = id, .lease = {2}});
    f.run();
    CHECK(f.router.take<wire::CallActor>(kWorker).empty());
  }

  // The late answer let the constructor's arguments go, and the next construction had none: a null pointer.
  TEST_CASE("a constructor that fails as it leaves, for a worker that is lost at once, fails where it is sent next") {
    Fixture f;
    const auto argument = f.borrowed_argument();
    auto record = make_record<ConstructorRecord<Heir, const std::vector<int>&>>(ObjectRef<std::vector<int>>(argument));
    auto link = f.owner->spawn(std::move(record), std::make_shared<const ActorOptions>(ActorOptions{.max_restarts = 1}), f.ids.next<ActorId>());
    f.run();
    const auto wants = f.router.take<wire::WantLeases>(kNodeProcess);
    REQUIRE(wants.size() == 1);
    f.references->process_gone(kOther);
    f.grant(wants[0].purpose, 1);
    f.owner->deliver(wire::LeaseLost{.lease = {1}, .error = {.code = ErrorCode::kWorkerCrashed, .message = "died"}});
    f.run();
    f.grant(wants[0].purpose, 2);
    f.run();
    CHECK(f.router.take<wire::CreateActor>(kWorker).empty());
    link.reset();
    f.run();
    CHECK(f.owner->unfinished().all() == 0);
  }

  // It was constructed again and again where its constructor ended its process, and nobody could end it.
  TEST_CASE("an actor that nobody can reach any more is not constructed again when its process is lost") {
    Fixture f;
    const auto id = f.ids.next<ActorId>();
    auto link = f.spawn(id, {.max_restarts = -1});
    f.run();
    const auto wants = f.router.take<wire::WantLeases>(kNodeProcess);
    REQUIRE(wants.size() == 1);
    f.grant(wants[0].purpose, 1);
    f.run();
    link.reset();
    f.run();
    f.owner->deliver(wire::LeaseLost{.lease = {1}, .error = {.code = ErrorCode::kWorkerCrashed, .message = "died"}, .own_doing = true});
    f.run();
    for (const auto& want : f.router.take<wire::WantLeases>(kNodeProcess)) CHECK(want.count == 0);
    CHECK(f.owner->unfinished().all() == 0);
  }

  TEST_CASE("a task whose worker was ended for memory fails with OutOfMemory when it may not run again") {
    Fixture f;
    auto cell = f.submit({.name = "big", .max_retries = 0});
    f.run();
    const auto wants = f.router.take<wire::WantLeases>(kNodeProcess);
    REQUIRE(wants.size() == 1);
    CHECK_FALSE(wants[0].retriable);
    f.grant(wants[0].purpose, 1);
    f.run();
    f.owner->deliver(wire::LeaseLost{.lease = {1}, .error = {.code = ErrorCode::kOutOfMemory, .message = "was ended: all in use"}});
    f.run();
    REQUIRE(cell->failed());
    CHECK(cell->error()->code == ErrorCode::kOutOfMemory);
    CHECK(cell->error()->message.find("all in use") != std::string::npos);
    CHECK(cell->error()->where.find("big") != std::string::npos);
  }
}

}  // namespace manta::detail
