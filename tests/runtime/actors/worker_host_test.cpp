// The worker's host and what comes to it over the wire: what it does not know, what does not fit, what comes twice or late.
#include "runtime/actors/worker_host.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>

#include "runtime/retry.hpp"
#include "tests/runtime/actors/host_fixture.hpp"
#include "tests/runtime/clean.hpp"

namespace manta::detail {
namespace {

std::atomic<int> g_runs{0};
int count_runs(int x) { return ++g_runs, x; }
int together(const std::string& text, int x) { return static_cast<int>(text.size()) + x; }

struct Clerk {
  int same(int x) { return x; }
};

ErrorCode code_of(const wire::Outcome& outcome) {
  const auto* error = std::get_if<ErrorInfo>(&outcome.result);
  return error ? error->code : ErrorCode{};
}

}  // namespace

TEST_SUITE("runtime/actors/worker_host") {
  // The calls behind it ran, so that it came after them.
  TEST_CASE("a call whose argument is lost goes back with its caller's calls behind it, as do those that come before the caller knows; others run") {
    const manta_test::Clean clean;
    HostFixture f;
    constexpr ActorId kActor{3};
    constexpr ProcessId kCaller = 1, kOther = 2;
    const auto call = [](std::uint64_t id, ProcessId caller, std::uint32_t losses) {
      using Record = MethodRecord<Clerk, &Clerk::same>;
      auto work = HostFixture::work_of<Record>(id, HostFixture::arguments<Record>(static_cast<int>(id)));
      work.caller = caller;
      work.encoded->losses = losses;
      return work;
    };
    const auto lost = [&call](std::uint64_t id, std::uint32_t losses) {
      auto work = call(id, kCaller, losses);
      work.encoded->arguments = {.stored = {9}, .stored_size = 8};
      return work;
    };
    std::size_t told = 0;
    const auto send = [&f, &told](auto... works) {
      std::vector<Work> calls;
      (calls.push_back(std::move(works)), ...);
      told += calls.size();
      f.host->call(kActor, std::move(calls));
      REQUIRE(f.router.wait_for(told).size() == told);
    };
    f.host->create(1, kActor, {.id = {6}}, HostFixture::work_of<ConstructorRecord<Clerk>>(100, {}), {});
    send(call(1, kCaller, 0), lost(2, 0), call(3, kCaller, 0), call(4, kOther, 0), call(5, kCaller, 0));
    send(call(6, kCaller, 0), call(7, kOther, 0));
    send(lost(2, 1), call(3, kCaller, 1));  // sent again, and lost again
    send(call(3, kCaller, 1));
    send(call(2, kCaller, 2), call(3, kCaller, 2));
    f.host->destroy(kActor, false);
    CHECK(f.router.wait_for_ends(1));
    struct Told {
      std::string what;
      std::uint32_t losses;
      bool operator==(const Told&) const = default;
    };
    std::map<std::uint64_t, std::vector<Told>> all;
    for (const auto& outcome : f.router.wait_for(told)) {
      const bool ran = std::holds_alternative<wire::Value>(outcome.result);
      const bool unstarted = std::holds_alternative<wire::Unstarted>(outcome.result);
      all[outcome.id.value].push_back({ran ? "ran" : unstarted ? "unstarted" : outcome.lost ? "lost" : "failed", outcome.losses});
    }
    CHECK(all[1] == std::vector<Told>{{"ran", 0}});
    CHECK(all[2] == std::vector<Told>{{"lost", 1}, {"lost", 2}, {"ran", 0}});
    CHECK(all[3] == std::vector<Told>{{"unstarted", 1}, {"unstarted", 2}, {"unstarted", 2}, {"ran", 0}});
    CHECK(all[4] == std::vector<Told>{{"ran", 0}});
    CHECK(all[5] == std::vector<Told>{{"unstarted", 1}});
    CHECK(all[6] == std::vector<Told>{{"unstarted", 1}});
    CHECK(all[7] == std::vector<Told>{{"ran", 0}});
  }

  TEST_CASE("fault 29: an unknown function is FunctionNotFound, wrong arguments are InvalidArgument, neither is retried, the worker lives") {
    const manta_test::Clean clean;
    HostFixture f;
    auto unknown = f.work<twice>(1, HostFixture::argument(4));
    unknown.encoded->offset += 1;
    f.run(std::move(unknown));
    f.run(f.work<twice>(2, {}));                                            // too short
    f.run(f.work<twice>(3, std::vector<std::byte>(64, std::byte{0xff})));   // an argument that refers to nothing, and more
    f.run(f.work<twice>(4, HostFixture::argument(4)));
    auto outcomes = f.router.wait_for(4);
    REQUIRE(outcomes.size() == 4);
    std::sort(outcomes.begin(), outcomes.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
    CHECK(code_of(outcomes[0]) == ErrorCode::kFunctionNotFound);
    CHECK(code_of(outcomes[1]) == ErrorCode::kInvalidArgument);
    CHECK(code_of(outcomes[2]) == ErrorCode::kInvalidArgument);
    for (const auto& outcome : outcomes) CHECK_FALSE(outcome.retry);
    CHECK(std::holds_alternative<wire::Value>(outcomes[3].result));
  }

  TEST_CASE("fault 29: of the objects that come with arguments each is one argument's, in their order") {
    // Behaviour: a second argument could name the same object, which then had the second one's type, and was read as the first one's.
    const manta_test::Clean clean;
    using Record = FunctionRecord<&together>;
    const auto decoded = [](std::vector<std::int32_t> places, std::size_t objects) {
      std::vector<std::shared_ptr<Cell>> refs;
      for (; objects > 0; --objects) refs.push_back(std::make_shared<Cell>(type_ops<Unknown>()));
      InputArchive archive(Buffer::copy(std::as_bytes(std::span(places))));
      return Record::decode(archive, std::move(refs));
    };
    const auto good = decoded({0, 1}, 2);
    CHECK(&good->refs[0]->ops() == &type_ops<std::string>());
    CHECK(&good->refs[1]->ops() == &type_ops<int>());
    using Places = std::vector<std::int32_t>;
    for (const auto& [places, objects] : std::vector<std::pair<Places, std::size_t>>{{{0, 0}, 1}, {{0, 0}, 2}, {{1, 0}, 2}, {{0, 1}, 3}, {{0, 1}, 1}, {{0, -2}, 1}}) {
      CAPTURE(places[1]);
      CAPTURE(objects);
      CHECK_THROWS_AS(decoded(places, objects), ProtocolError);
    }
  }

  TEST_CASE("fault 29: the key of a filter of exceptions is not the key of a function") {
    const manta_test::Clean clean;
    HostFixture f;
    auto filter = f.work<twice>(1, HostFixture::argument(4));
    const auto key = function_key(*retry_on<std::bad_alloc>.filter());
    filter.encoded->module = key.module, filter.encoded->offset = key.offset;
    f.run(std::move(filter));
    CHECK(code_of(f.router.wait_for(1).at(0)) == ErrorCode::kFunctionNotFound);
  }

  TEST_CASE("fault 11: a cancel that comes before, twice, or late has its effect once or none") {
    const manta_test::Clean clean;
    HostFixture f;
    g_runs = 0;
    std::vector<Work> works;
    for (std::uint64_t id = 1; id <= 3; ++id) works.push_back(f.work<count_runs>(id, HostFixture::argument(4)));
    const wire::CancelWork second{.lease = {5}, .tasks = {{2}}};
    f.host->cancel(1, second);  // of what is not here
    f.host->run(1, {.id = {5}, .cpus = Amount(1)}, std::move(works));
    REQUIRE(f.router.wait_for(3).size() == 3);
    f.host->cancel(1, second);
    f.host->cancel(1, second);
    f.host->cancel(2, second);  // of an owner that has nothing here
    f.run(f.work<count_runs>(4, HostFixture::argument(4)));
    CHECK(f.router.wait_for(4).size() == 4);
    CHECK(g_runs == 4);
  }
}

}  // namespace manta::detail
