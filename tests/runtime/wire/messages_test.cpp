#include "runtime/wire/messages.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <random>

namespace manta::wire {
namespace {

constexpr auto kMax64 = std::numeric_limits<std::uint64_t>::max();

Buffer bytes_of(std::string_view text) { return Buffer::copy(std::as_bytes(std::span(text))); }

ErrorInfo chain(int links) {
  ErrorInfo info{.code = ErrorCode::kIoError, .message = "root", .where = "at the bottom", .remote_type = "std::bad_alloc"};
  for (int i = 1; i < links; ++i)
    info = {.code = ErrorCode::kTaskError, .message = "link " + std::to_string(i), .cause = std::make_shared<const ErrorInfo>(info),
            .did_not_run = i % 2 == 1};
  return info;
}

Task task(std::uint64_t id) {
  return {.id = {id}, .module = kMax64, .offset = 7, .name = "f", .attempt = 3, .arguments = {.bytes = bytes_of("arguments")},
          .refs = {{.bytes = bytes_of("")}, {.stored = {kMax64}, .stored_size = 1ull << 40}, {.bytes = bytes_of(std::string(100'000, 'x'))}},
          .retry_module = 8, .retry_offset = kMax64};
}

Value with_references(Value value) {
  value.references = std::make_shared<ValueReferences>();
  value.references->list = {{.id = kMax64, .kind = 0}, {.id = 5, .kind = 1, .name = "actor A #1", .max_pending_calls = 4, .serial = true, .groups = {"io", "disk"}}};
  return value;
}

const LeaseInfo kLease{.id = {5}, .cpus = Amount::from_raw(std::numeric_limits<std::int64_t>::min()), .gpu_ids = {0, -1, 2147483647},
                      .lend_idle_cpus = true};
const Resources kResources{{"CPU", 4}, {"", 0.5}, {"disk \n", -1}};

DurableRequest durable_request() {
  DurableRequest m;
  m.request = kMax64;
  m.operation = DurableOperation::kPut;
  m.name = "name/of it";
  m.type_tag = "t";
  m.value.stored = {9};
  m.value.stored_size = 1ull << 40;
  m.after = "a";
  return m;
}
DurableReply durable_reply() {
  DurableReply m;
  m.request = 1;
  m.value.bytes = bytes_of("v");
  m.names = {"", "a/b", std::string(1000, 'n')};
  m.more = true;
  m.error = chain(2);
  return m;
}

/// One of each kind, with everything that is at the edge.
std::vector<Message> all_messages() {
  std::vector<Outcome> outcomes{{.id = {1}, .nanoseconds = -5, .result = Value{.bytes = bytes_of("v")}},
                                {.id = {2}, .result = chain(3), .retry = true, .lost = {kMax64}},
                                {.id = {3}, .result = Unstarted{}, .losses = 4'000'000'000},
                                {.id = {4}, .result = Value{.stored = {9}, .stored_size = 8},
                                 .more = {Value{.bytes = bytes_of("w")}, Value{.stored = {10}, .stored_size = 9}}},
                                {.id = {5}, .result = with_references({.bytes = bytes_of("v")})}};
  Task grouped = task(2);
  grouped.group = "io";
  grouped.losses = 4'000'000'000;
  return {Hello{7, kMax64, 102400, kResources, Amount(2), kMax64, 30000, 1 << 30},
          Ready{1},
          WantLeases{kMax64, 64, {.cpus = 0.5, .gpus = 2, .custom = kResources, .group = {kMax64}, .bundle = 7}, true,
                     {.name = "n", .environment = {{"A", ""}, {"B", "x=y\n"}}, .log_file = "/l", .echo = false}, true},
          WantLeases{},
          LeaseGranted{1, kLease, 2},
          LeaseRefused{1, chain(2)},
          LeaseLost{{1}, chain(1), true, true, true},
          ReleaseLease{{1}, true, false},
          ReleaseLease{{1}, false, true},
          SetBlocked{{1}, true},
          RunTasks{3, kLease, {task(1), task(2)}},
          RunTasks{},
          TasksDone{{4}, outcomes, true},
          CreateActor{1, {2}, kLease, "actor", task(3)},
          CreateActor{1, {2}, kLease, "actor", task(3), {.limit = 7, .coroutines = 5, .groups = {{"io", 2, {{kMax64, 1}, {2, 3}}}, {"", 1, {}}}}},
          ActorCreated{{1}, {2}, outcomes[1]},
          CallActor{{1}, {task(1), grouped}},
          ActorDone{{1}, outcomes},
          DestroyActor{{1}, true},
          ActorDestroyed{{1}},
          ActorDestroyed{{1}, true},
          OwnerGone{4},
          StoreRequest{1, StoreOperation::kPin, {2}, 3, 4},
          StoreReply{1, {2}, 3, 4, 5, 6, chain(2)},
          StoreReply{1, {2}, 3, 4, 5, 6, std::nullopt, {7, 8, 9}},
          ResourcesReport{1, kResources, {}},
          ActorRequest{{kMax64}, ActorOperation::kLend, 3},
          ActorPlace{{1}, core::ActorState::kAlive, {2}, 3, std::nullopt, -1, true, false},
          ActorPlace{{1}, core::ActorState::kDead, {}, 0, chain(2), 4, false, true},
          ActorLent{5, with_references({.bytes = bytes_of("v")})},
          ActorWaiting{{kMax64}, {2}, "C::m of actor #1", kMax64 - 1},
          DeadlockFound{{3}, chain(2), kMax64},
          NameRequest{6, NameOperation::kFind, "a name", {7}, {kMax64, 8, "Class"}},
          NameReply{9, {kMax64}, std::nullopt},
          NameReply{9, {}, chain(1)},
          Shutdown{},
          CancelWork{{1}, {2}, {{3}, {4}}, false},
          CancelWork{},
          durable_request(),
          DurableRequest{.operation = DurableOperation::kList},
          durable_reply(),
          DurableReply{},
          Orphans{{{1}, {kMax64}}},
          Retire{},
          ReferenceUpdates{{{core::ReferenceOperation::kLend, 1, 2, 3}, {core::ReferenceOperation::kReturn, kMax64, 2, -3}}},
          ObjectSettled{{.id = {6}, .result = with_references({.stored = {9}, .stored_size = 8})}},
          PlaceGroup{{.spec = {.id = {kMax64}, .name = "group", .strategy = PlacementStrategy::kStrictSpread,
                               .bundles = {{.cpus = 0.5, .gpus = 2, .custom = kResources}, {}}}, .placed = true}},
          WatchGroup{{3}},
          GroupPlaced{{3}, std::nullopt},
          GroupPlaced{{3}, chain(2)},
          RemoveGroup{{kMax64}},
          GroupRemoved{{3}, chain(2)},
          FindGroups{9, "n"},
          ExplainRequest{10, 11},
          ExplainReply{10, "it waits"},
          Groups{9, {{.spec = {.id = {1}, .bundles = {{.cpus = 1}}}}, {.spec = {.id = {2}}, .placed = true}}}};
}

}  // namespace

TEST_SUITE("runtime/wire/messages") {
  TEST_CASE("every message comes back as it was") {
    std::vector<bool> seen(std::variant_size_v<Message>);
    for (const auto& message : all_messages()) {
      seen[message.index()] = true;
      CAPTURE(message.index());
      const auto bytes = encode(message);
      CHECK(bytes.size() % 8 == 0);
      const auto back = decode(bytes);
      REQUIRE(back.ok());
      REQUIRE(back->index() == message.index());
      const auto again = encode(*back);
      CHECK(again.size() == bytes.size());
      CHECK(std::memcmp(again.data(), bytes.data(), std::min(again.size(), bytes.size())) == 0);
    }
    for (bool each : seen) CHECK(each);  // a new message must be added above
  }

  TEST_CASE("the fields of a task, a lease and an outcome are those that were sent") {
    const auto back = decode(encode(RunTasks{3, kLease, {task(1)}}));
    const auto& run = std::get<RunTasks>(*back);
    CHECK(run.owner == 3);
    CHECK(run.lease.id == LeaseId{5});
    CHECK(run.lease.cpus == kLease.cpus);
    CHECK(run.lease.gpu_ids == kLease.gpu_ids);
    const auto& t = run.tasks.at(0);
    CHECK(t.id == TaskId{1});
    CHECK(t.module == kMax64);
    CHECK(t.offset == 7);
    CHECK(t.name == "f");
    CHECK(t.attempt == 3);
    CHECK(t.arguments.bytes.size() == 9);
    REQUIRE(t.refs.size() == 3);
    CHECK(t.refs[0].bytes.empty());
    CHECK(t.refs[1].stored == ObjectId{kMax64});
    CHECK(t.refs[1].stored_size == 1ull << 40);
    CHECK(t.refs[2].bytes.size() == 100'000);
    const auto want = decode(encode(all_messages()[2]));
    const auto& leases = std::get<WantLeases>(*want);
    CHECK(leases.shape.custom == kResources);
    CHECK(leases.shape.group == GroupId{kMax64});
    CHECK(leases.shape.bundle == 7);
    CHECK(leases.options.environment.at("B") == "x=y\n");
    CHECK_FALSE(leases.options.echo);
    CHECK(leases.retriable);
  }

  // Behaviour: a text ended at its first NUL, so that the message of an error was cut, and two resources became one.
  TEST_CASE("texts may hold NULs") {
    const std::string text("a\0b\0", 4);
    const auto round = [](const Message& message) { return decode(encode(message)).value(); };
    const ErrorInfo error{.code = ErrorCode::kTaskError, .message = text, .where = text, .remote_type = text};
    const auto refused = std::get<LeaseRefused>(round(LeaseRefused{1, error}));
    CHECK(refused.error.message == text);
    CHECK(refused.error.where == text);
    CHECK(refused.error.remote_type == text);
    WantLeases wanted{.options = {.name = text, .environment = {{text, text}}, .log_file = text}};
    wanted.shape.custom.set(text, 1);
    wanted.shape.custom.set("a", 2);
    const auto want = std::get<WantLeases>(round(wanted));
    CHECK(want.options.name == text);
    CHECK(want.options.environment == wanted.options.environment);
    CHECK(want.options.log_file == text);
    CHECK(want.shape.custom[text] == Amount(1));
    CHECK(want.shape.custom["a"] == Amount(2));
    CHECK(std::get<FindGroups>(round(FindGroups{1, text})).name == text);
    CHECK(std::get<NameRequest>(round(NameRequest{.operation = NameOperation::kFind, .name = text, .type = {.name = text}})).type.name == text);
    CHECK(std::get<ExplainReply>(round(ExplainReply{1, text})).text == text);
    CHECK(std::get<DurableReply>(round(DurableReply{.names = {text}})).names.front() == text);
  }

  TEST_CASE("a chain of causes travels; an endless one is cut") {
    auto back = decode(encode(LeaseLost{{1}, chain(4)}));
    const auto& error = std::get<LeaseLost>(*back).error;
    CHECK(error.to_string() == chain(4).to_string());
    CHECK(error.did_not_run);
    CHECK_FALSE(error.cause->did_not_run);
    back = decode(encode(LeaseLost{{1}, chain(1000)}));
    REQUIRE(back.ok());
    int links = 0;
    for (const auto* link = &std::get<LeaseLost>(*back).error; link; link = link->cause.get()) ++links;
    CHECK(links >= 16);
    CHECK(links < 64);
    CHECK(std::get<LeaseLost>(*back).error.to_string() == chain(1000).to_string());  // with its root, and how many it leaves out
  }

  TEST_CASE("refs inside values travel beside their bytes, in order") {
    const auto messages = all_messages();
    const auto settled = std::find_if(messages.begin(), messages.end(), [](const auto& m) { return std::holds_alternative<ObjectSettled>(m); });
    REQUIRE(settled != messages.end());
    const auto back = decode(encode(*settled));
    const auto& value = std::get<Value>(std::get<ObjectSettled>(*back).outcome.result);
    CHECK(value.stored == ObjectId{9});
    REQUIRE(value.references);
    REQUIRE(value.references->list.size() == 2);
    CHECK(value.references->list[0].id == kMax64);
    CHECK(value.references->list[1].kind == 1);
    CHECK(value.references->list[0].groups.empty());
    CHECK(value.references->list[1].name == "actor A #1");
    CHECK(value.references->list[1].max_pending_calls == 4);
    CHECK(value.references->list[1].serial);
    CHECK(value.references->list[1].groups == std::vector<std::string>{"io", "disk"});
    CHECK_FALSE(value.references->accepted);
    const auto none = decode(encode(ObjectSettled{{.result = Value{}}}));
    CHECK_FALSE(std::get<Value>(std::get<ObjectSettled>(*none).outcome.result).references);
  }

  TEST_CASE("a reference of a kind that there is not is refused") {
    auto with_kind = [](std::uint8_t kind) {
      Value value;
      value.references = std::make_shared<ValueReferences>();
      value.references->list.push_back({.id = 5, .kind = kind});
      return decode(encode(ObjectSettled{{.result = value}}));
    };
    CHECK(with_kind(kLastReferenceKind).ok());
    const auto unknown = with_kind(kLastReferenceKind + 1);
    REQUIRE_FALSE(unknown.ok());
    CHECK(unknown.error().code == ErrorCode::kProtocolError);
  }

  // An unknown one was taken for another, or passed on to whom gives no answer to it: a worker waited for that for ever.
  TEST_CASE("an operation that there is not is refused") {
    const auto refused = [](const auto& with_operation, auto last) {
      for (int raw = 1; raw <= static_cast<int>(last); ++raw) CHECK(decode(encode(with_operation(static_cast<decltype(last)>(raw)))).ok());
      for (int raw : {0, static_cast<int>(last) + 1, 255}) {
        const auto read = decode(encode(with_operation(static_cast<decltype(last)>(raw))));
        REQUIRE_FALSE(read.ok());
        CHECK(read.error().code == ErrorCode::kProtocolError);
      }
    };
    refused([](StoreOperation each) { return StoreRequest{.request = 1, .operation = each}; }, StoreOperation::kFree);
    refused([](DurableOperation each) { return DurableRequest{.request = 1, .operation = each}; }, DurableOperation::kList);
    refused([](ActorOperation each) { return ActorRequest{.actor = {1}, .operation = each}; }, ActorOperation::kLend);
    refused([](NameOperation each) { return NameRequest{.request = 1, .operation = each}; }, NameOperation::kRelease);
    refused([](core::ReferenceOperation each) { return ReferenceUpdates{{{each, 1, 2, 3}}}; }, core::ReferenceOperation::kRebuild);
  }

  TEST_CASE("more units of a reference than there can be are refused; the place that names a lost object may be any") {
    using Operation = core::ReferenceOperation;
    constexpr std::int64_t kMost = std::int64_t{1} << 53;  // years of being given it a million times a second
    const auto units = [](Operation operation, std::int64_t count) { return decode(encode(ReferenceUpdates{{{operation, 1, 2, count}}})); };
    for (auto operation : {Operation::kLend, Operation::kReturn, Operation::kRecount, Operation::kRecounted, Operation::kFetch}) {
      for (std::int64_t count : {-kMost, std::int64_t{0}, kMost}) CHECK(units(operation, count).ok());
      for (std::int64_t count : {std::numeric_limits<std::int64_t>::min(), -kMost - 1, kMost + 1, std::numeric_limits<std::int64_t>::max()}) {
        const auto read = units(operation, count);
        REQUIRE_FALSE(read.ok());
        CHECK(read.error().code == ErrorCode::kProtocolError);
      }
    }
    CHECK(units(Operation::kRebuild, std::numeric_limits<std::int64_t>::min()).ok());
  }

  TEST_CASE("a value that is neither bytes nor a place is refused") {
    const auto good = encode(ActorLent{1, {.stored = {9}, .stored_size = 8}});
    int refused = 0;
    for (std::size_t at = 0; at + 2 <= good.size(); at += 2) {  // one of these numbers says what it is
      auto [bad, target] = Buffer::allocate(good.size());
      std::memcpy(target.data(), good.data(), good.size());
      target[at] = target[at + 1] = std::byte{0x77};
      const auto read = decode(bad);
      refused += !read.ok() && read.error().message.find("a value of a kind that this build does not know") != std::string::npos;
    }
    CHECK(refused >= 1);
  }

  TEST_CASE("a message of megabytes that says the truth is within the limits of its reader") {
    std::vector<Outcome> outcomes;
    for (std::uint64_t i = 0; i < 5000; ++i) {
      outcomes.push_back({.id = {i}, .result = chain(3)});
      outcomes.push_back({.id = {i}, .result = with_references({.bytes = bytes_of("v")}), .more = {Value{.stored = {10}, .stored_size = 9}}});
    }
    RunTasks run{3, kLease, {}};
    for (std::uint64_t i = 0; i < 20'000; ++i) {
      run.tasks.push_back(task(i));
      run.tasks.back().refs.pop_back();  // the large one
    }
    run.lease.gpu_ids.assign(100'000, 1);
    CreateActor create{1, {2}, kLease, "actor", task(3), {}};
    for (int i = 0; i < 5000; ++i) create.concurrency.groups.push_back({"io", 2, {{kMax64, 1}, {2, 3}}});
    Groups groups{9, {}};
    for (std::uint64_t i = 0; i < 5000; ++i)
      groups.groups.push_back({{.id = {i}, .name = "g", .bundles = {{.cpus = 1, .custom = kResources}, {}}}, true, {kResources, kResources}});
    ReferenceUpdates updates;
    for (std::uint64_t i = 0; i < 100'000; ++i) updates.list.push_back({core::ReferenceOperation::kLend, i, 2, 1});
    Resources many;
    WantLeases want{};
    for (int i = 0; i < 20'000; ++i) many.set("r" + std::to_string(i), i + 1), want.options.environment["V" + std::to_string(i)] = "x";
    want.shape.custom = many;
    DurableReply names{.request = 1, .names = std::vector<std::string>(100'000, "n")};
    CancelWork cancel{{1}, {2}, std::vector<TaskId>(100'000, TaskId{3}), false};
    StoreReply reply{1, {2}, 3, 4, 5, 6, std::nullopt, std::vector<std::uint32_t>(100'000, 7)};
    const std::vector<Message> all{TasksDone{{4}, outcomes, true}, ActorDone{{1}, outcomes}, run, CallActor{{1}, run.tasks}, create, groups, updates, want,
                                   ResourcesReport{1, many, many}, names, cancel, reply, Orphans{std::vector<ObjectId>(100'000, ObjectId{3})},
                                   ExplainReply{1, std::string(1 << 20, 'x')}};
    for (const auto& message : all) {
      CAPTURE(message.index());
      const auto bytes = encode(message);
      const auto back = decode(bytes);
      REQUIRE_MESSAGE(back.ok(), back.error().message);
      CHECK(encode(*back).size() == bytes.size());
    }
  }

  TEST_CASE("inline bytes are read where they lie") {
    const auto bytes = encode(CallActor{{1}, {task(1)}});
    const auto back = decode(bytes);
    const auto* inside = std::get<CallActor>(*back).calls.at(0).refs.at(2).bytes.data();  // the large one
    CHECK(inside > bytes.data());
    CHECK(inside < bytes.data() + bytes.size());
  }

  TEST_CASE("bytes that are no message are refused, and never more") {
    auto refuse = [](const Buffer& bytes) {
      const auto message = decode(bytes);
      if (message.ok()) return false;
      CHECK(message.error().code == ErrorCode::kProtocolError);
      return true;
    };
    CHECK(refuse(Buffer{}));
    CHECK(refuse(bytes_of("1234567")));
    CHECK(refuse(bytes_of(std::string(64, '\xff'))));
    std::mt19937 random(1);
    for (const auto& message : all_messages()) {
      const auto good = encode(message);
      for (std::size_t cut = 0; cut < std::min<std::size_t>(good.size(), 400); cut += 4) refuse(good.slice(0, cut));
      for (int i = 0; i < 300; ++i) {  // a flipped bit may be another valid message; it may not crash or run away
        auto [bad, target] = Buffer::allocate(good.size());
        std::memcpy(target.data(), good.data(), good.size());
        for (unsigned flips = random() % 4 + 1; flips; --flips)
          target[random() % std::min<std::size_t>(good.size(), 600)] ^= static_cast<std::byte>(1u << random() % 8);
        if (auto read = decode(bad); read.ok()) (void)encode(*read);
      }
    }
    int refused = 0;
    for (int i = 0; i < 3000; ++i) {
      std::string noise(random() % 256, ' ');
      for (auto& each : noise) each = static_cast<char>(random());
      refused += refuse(bytes_of(noise));
    }
    CHECK(refused > 2900);
  }

  // Ten thousand results of four bytes kept the frames of ten thousand of 90 kB.
  TEST_CASE("a small value does not keep the large frame that it came in; a large one lies there") {
    const auto frame = encode(TasksDone{{4}, {{.id = {1}, .result = Value{.bytes = bytes_of(std::string(90'000, 'x'))}},
                                              {.id = {2}, .result = Value{.bytes = bytes_of("tiny")}}}, false});
    const auto back = decode(frame);
    const auto& outcomes = std::get<TasksDone>(*back).outcomes;
    const auto& large = std::get<Value>(outcomes[0].result).bytes;
    const auto& small = std::get<Value>(outcomes[1].result).bytes;
    const auto lies_in = [&frame](const Buffer& value) { return value.data() >= frame.data() && value.data() < frame.data() + frame.size(); };
    CHECK(lies_in(large));
    CHECK_FALSE(lies_in(small));
    CHECK(std::memcmp(small.data(), "tiny", 4) == 0);
  }

  TEST_CASE("small values of one message are whole beside each other, and stay so when the others and the message go") {
    std::vector<std::string> texts;
    for (int i = 0; i < 600; ++i) texts.push_back(std::string(static_cast<std::size_t>(i % 40 == 0 ? 100 + i : i % 140), static_cast<char>('a' + i % 26)));
    TasksDone done{.lease = {4}};
    for (const auto& text : texts) done.outcomes.push_back({.id = {1}, .result = Value{.bytes = bytes_of(text)}});
    std::vector<Buffer> kept;
    {
      const auto back = decode(encode(done));
      const auto& outcomes = std::get<TasksDone>(*back).outcomes;
      REQUIRE(outcomes.size() == texts.size());
      for (const auto& outcome : outcomes) kept.push_back(std::get<Value>(outcome.result).bytes);
    }
    for (std::size_t i = 0; i < texts.size(); i += 2) kept[i] = {};
    for (std::size_t i = 1; i < texts.size(); i += 2) {
      CAPTURE(i);
      REQUIRE(kept[i].size() == texts[i].size());
      CHECK(std::equal(texts[i].begin(), texts[i].end(), reinterpret_cast<const char*>(kept[i].data())));
    }
  }
}

}  // namespace manta::wire
