// The worker's host and what comes to it over the wire: what it does not know, what does not fit, what comes twice or late.
#include "runtime/actors/worker_host.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <condition_variable>
#include <thread>

#include "runtime/actors/scheduler.hpp"
#include "runtime/actors/task_worker.hpp"
#include "runtime/retry.hpp"

namespace manta::detail {
namespace {

int twice(int x) { return 2 * x; }
std::atomic<int> g_runs{0};
int count_runs(int x) { return ++g_runs, x; }

/// Writes down what is sent to the owner, which is another process here.
class OwnersRouter final : public Router {
 public:
  ProcessId self() const override { return 7; }
  void send(ProcessId, wire::Message message) override {
    std::lock_guard lock(mutex_);
    if (auto* done = std::get_if<wire::TasksDone>(&message))
      for (auto& outcome : done->outcomes) outcomes_.push_back(std::move(outcome));
    changed_.notify_all();
  }
  std::vector<wire::Outcome> wait_for(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(20), [&] { return outcomes_.size() >= count; });
    return outcomes_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<wire::Outcome> outcomes_;
};

class NoStore final : public StoreAccess {
 public:
  ProcessId self() const override { return 7; }
  Result<Buffer> open(ObjectId) override { return ErrorInfo{.code = ErrorCode::kObjectLost, .message = "no store here"}; }
  void free(ObjectId) override {}

 protected:
  Result<Room> create(std::uint64_t, ProcessId) override { return ErrorInfo{.code = ErrorCode::kObjectStoreFull, .message = "no store here"}; }
  Result<void> seal(ObjectId) override { return {}; }
  void abort(ObjectId) override {}
};

class NoEngine final : public Engine {
 public:
  void submit(std::shared_ptr<TaskRecord>, std::shared_ptr<const TaskOptions>) override {}
  std::shared_ptr<ActorLink> spawn(std::shared_ptr<TaskRecord>, std::shared_ptr<const ActorOptions>, const FunctionEntry&) override {
    return nullptr;
  }
  std::shared_ptr<ActorLink> find_actor(const std::string&, const FunctionEntry&) override { return nullptr; }
  void put(Cell&, const PutOptions&, const std::string&) override {}
  std::shared_ptr<Cell> find_durable(const TypeOps&, const std::string&, const std::string&) override { return nullptr; }
  bool remove_durable(const std::string&) override { return false; }
  std::vector<std::string> list_durable(const std::string&) override { return {}; }
  bool wait(Cell&, Deadline) override { return true; }
  bool wait_some(std::span<Cell* const>, std::size_t, Deadline, bool) override { return true; }
  bool wait_while(std::atomic<std::uint32_t>&, std::uint32_t, Deadline) override { return true; }
  void cancel(Cell&, const CancelOptions&) override {}
  std::string explain(Cell&) override { return {}; }
  void post_callback(std::function<void()>) override {}
  GroupHandle place_group(std::shared_ptr<const PlacementGroupOptions>) override { return {}; }
  std::shared_ptr<Cell> watch_group(GroupId) override { return nullptr; }
  void remove_group(GroupId) override {}
  std::vector<GroupHandle> find_groups(const std::string&) override { return {}; }
  Resources total_resources() const override { return {}; }
  Resources available_resources() const override { return {}; }
  RuntimeStats stats() const override { return {}; }
};

struct Fixture {
  struct Config : caf::actor_system_config {
    Config() { load<ElasticScheduler>(); }
  };
  Fixture() {
    environment.router = &router;
    environment.store = &store;
    environment.references = references.get();
    environment.engine = engine;
    environment.inline_bytes = 100'000;
    host = std::make_unique<WorkerHost>(system, environment);
  }
  /// A worker that has told its outcomes may still be about to lie down.
  ~Fixture() {
    while (!host->idle()) std::this_thread::yield();
  }
  template <auto F>
  Work work(std::uint64_t id, std::vector<std::byte> arguments) {
    const auto key = function_key(Registration<FunctionRecord<F>>::entry);
    (void)Registration<FunctionRecord<F>>::done;
    return {.id = {id}, .name = std::make_shared<const std::string>("test"),
            .encoded = std::make_unique<wire::Task>(
                wire::Task{.id = {id}, .module = key.module, .offset = key.offset, .name = "test", .arguments = {.bytes = Buffer::copy(arguments)}})};
  }
  static std::vector<std::byte> argument(int x) {
    FunctionRecord<twice> record;
    record.fill(x);
    OutputArchive count;
    record.encode_arguments(count);
    std::vector<std::byte> bytes(count.size());
    OutputArchive archive(bytes);
    record.encode_arguments(archive);
    return bytes;
  }
  void run(Work work) {
    std::vector<Work> one;
    one.push_back(std::move(work));
    host->run(1, {.id = {5}, .cpus = Amount(1)}, std::move(one));
  }

  Config config{};
  caf::actor_system system{config};
  OwnersRouter router{};
  NoStore store{};
  IdSource ids{7};
  Lane lane{1};
  std::shared_ptr<ReferenceKeeper> references = std::make_shared<ReferenceKeeper>(7, ids, router, store, lane, 100'000);
  std::shared_ptr<NoEngine> engine = std::make_shared<NoEngine>();
  HostEnvironment environment{};
  std::unique_ptr<WorkerHost> host;
};

ErrorCode code_of(const wire::Outcome& outcome) {
  const auto* error = std::get_if<ErrorInfo>(&outcome.result);
  return error ? error->code : ErrorCode{};
}

}  // namespace

TEST_SUITE("runtime/actors/worker_host") {
  TEST_CASE("fault 29: an unknown function is FunctionNotFound, wrong arguments are InvalidArgument, neither is retried, the worker lives") {
    Fixture f;
    auto unknown = f.work<twice>(1, Fixture::argument(4));
    unknown.encoded->offset += 1;
    f.run(std::move(unknown));
    f.run(f.work<twice>(2, {}));                                            // too short
    f.run(f.work<twice>(3, std::vector<std::byte>(64, std::byte{0xff})));   // an argument that refers to nothing, and more
    f.run(f.work<twice>(4, Fixture::argument(4)));
    auto outcomes = f.router.wait_for(4);
    REQUIRE(outcomes.size() == 4);
    std::sort(outcomes.begin(), outcomes.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
    CHECK(code_of(outcomes[0]) == ErrorCode::kFunctionNotFound);
    CHECK(code_of(outcomes[1]) == ErrorCode::kInvalidArgument);
    CHECK(code_of(outcomes[2]) == ErrorCode::kInvalidArgument);
    for (const auto& outcome : outcomes) CHECK_FALSE(outcome.retry);
    CHECK(std::holds_alternative<wire::Value>(outcomes[3].result));
  }

  TEST_CASE("fault 29: the key of a filter of exceptions is not the key of a function") {
    Fixture f;
    auto filter = f.work<twice>(1, Fixture::argument(4));
    const auto key = function_key(*retry_on<std::bad_alloc>.filter());
    filter.encoded->module = key.module, filter.encoded->offset = key.offset;
    f.run(std::move(filter));
    CHECK(code_of(f.router.wait_for(1).at(0)) == ErrorCode::kFunctionNotFound);
  }

  TEST_CASE("fault 11: a cancel that comes before, twice, or late has its effect once or none") {
    Fixture f;
    g_runs = 0;
    std::vector<Work> works;
    for (std::uint64_t id = 1; id <= 3; ++id) works.push_back(f.work<count_runs>(id, Fixture::argument(4)));
    const wire::CancelWork second{.lease = {5}, .tasks = {{2}}};
    f.host->cancel(1, second);  // of what is not here
    f.host->run(1, {.id = {5}, .cpus = Amount(1)}, std::move(works));
    REQUIRE(f.router.wait_for(3).size() == 3);
    f.host->cancel(1, second);
    f.host->cancel(1, second);
    f.host->cancel(2, second);  // of an owner that has nothing here
    f.run(f.work<count_runs>(4, Fixture::argument(4)));
    CHECK(f.router.wait_for(4).size() == 4);
    CHECK(g_runs == 4);
  }
}

}  // namespace manta::detail
