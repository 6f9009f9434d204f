// What a worker process, whose memory may be damaged, may make another process do: nothing but to end the one that sent it.
#include "runtime/actors/router.hpp"
#include "support.hpp"

namespace manta_test {
namespace {

using namespace manta::detail;

/// The way to other processes, which code of a user's has no business with.
struct Back : Client {
  static std::shared_ptr<Engine> engine_of(Client& client) { return (client.*&Back::engine_)->behind(); }
  static Router& router(Client& client) { return *std::dynamic_pointer_cast<Router>(engine_of(client)); }
};

RuntimeOptions with_processes() {
  auto options = small_machine();
  options.workers = Workers::kProcess;
  return options;
}

class Place {
 public:
  ProcessId where(Context& ctx) { return Back::router(ctx).self(); }
  std::vector<ObjectRef<Buffer>> make(Context& ctx) { return {ctx.put(Buffer::copy(std::vector<std::byte>(1 << 20, std::byte{7})))}; }
  std::size_t size_of(Context& ctx, const std::vector<ObjectRef<Buffer>>& object) { return ctx.get(object.at(0)).size(); }
};

/// Gives an object as the result of a task that there is not, to be freed by whoever gets that.
int give(Context& ctx, ProcessId to, std::uint64_t object, bool by_call) {
  const wire::Value value{.stored = ObjectId{object}, .stored_size = 1 << 20};
  if (by_call)
    Back::router(ctx).send(to, wire::ActorDone{.actor = ActorId{1}, .outcomes = {{.id = TaskId{1}, .result = value}}});
  else
    Back::router(ctx).send(to, wire::TasksDone{.lease = LeaseId{1}, .outcomes = {{.id = TaskId{1}, .result = wire::Value(), .more = {value}}}});
  std::this_thread::sleep_for(30s);
  return 1;
}

/// What only the node may say.
int speak_as_the_node(Context& ctx, ProcessId to) {
  Back::router(ctx).send(to, wire::LeaseLost{.lease = LeaseId{1}});
  std::this_thread::sleep_for(30s);
  return 1;
}

}  // namespace

TEST_SUITE("runtime/api/forged messages") {
  TEST_CASE("a worker that gives another one's object as a result is ended, whoever it gives it to; the object stays") {
    Machine machine(with_processes());
    auto& rt = machine.rt;
    auto keeper = rt.actor<Place>({.isolation = own_process}).spawn();
    const auto there = rt.get(keeper.call<&Place::where>(), 30s);
    const auto object = rt.get(keeper.call<&Place::make>(), 30s);
    CHECK(rt.get(object.at(0), 30s).size() == 1 << 20);
    const auto stored = object.at(0).cell()->stored();
    REQUIRE(stored);
    const auto id = stored->id();
    for (const auto to : {ProcessId{kNodeProcess}, there})
      for (const bool by_call : {false, true}) {
        const auto forged = rt.task<give>({.max_retries = 0, .isolation = own_process}).remote(to, id, by_call);
        CHECK_THROWS_AS(rt.get(forged, 20s), WorkerCrashed);
      }
    CHECK(rt.get(keeper.call<&Place::where>(), 30s) == there);
    CHECK(rt.get(keeper.call<&Place::size_of>(object), 30s) == 1 << 20);
    CHECK(rt.get(object.at(0), 30s).size() == 1 << 20);
  }

  TEST_CASE("a worker that speaks to another one as the node does is ended, and the other one is not") {
    Machine machine(with_processes());
    auto& rt = machine.rt;
    auto other = rt.actor<Place>({.isolation = own_process}).spawn();
    const auto there = rt.get(other.call<&Place::where>(), 30s);
    const auto forged = rt.task<speak_as_the_node>({.max_retries = 0, .isolation = own_process}).remote(there);
    CHECK_THROWS_AS(rt.get(forged, 20s), WorkerCrashed);
    CHECK(rt.get(other.call<&Place::where>(), 30s) == there);
  }
}

}  // namespace manta_test
