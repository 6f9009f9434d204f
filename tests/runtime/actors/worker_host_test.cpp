// The worker's host and what comes to it over the wire: what it does not know, what does not fit, what comes twice or late.
#include "runtime/actors/worker_host.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "runtime/retry.hpp"
#include "tests/runtime/actors/host_fixture.hpp"
#include "tests/runtime/clean.hpp"

namespace manta::detail {
namespace {

std::atomic<int> g_runs{0};
int count_runs(int x) { return ++g_runs, x; }
int together(const std::string& text, int x) { return static_cast<int>(text.size()) + x; }

ErrorCode code_of(const wire::Outcome& outcome) {
  const auto* error = std::get_if<ErrorInfo>(&outcome.result);
  return error ? error->code : ErrorCode{};
}

}  // namespace

TEST_SUITE("runtime/actors/worker_host") {
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
      for (; objects > 0; --objects) refs.push_back(std::make_shared<Cell>(type_ops<Void>()));
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
