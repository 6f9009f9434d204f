// What it costs that very many works let go of one ref. The story: each took its own waiter back, and looked through all the
// others for it; a hundred thousand cancelled works kept their owner busy for minutes.
#include <atomic>

#include "support.hpp"

namespace manta_test {
namespace {

constexpr int kWorks = 4000;

/// Waits at a cell like a work, and counts how often somebody looks through those who wait there.
class Spy final : public detail::Cell::Waiter {
 public:
  void settled() override {}
  const void* whose() const noexcept override {
    ++looks;
    return this;
  }
  mutable std::atomic<int> looks{0};
};

int take(int value) { return value; }
struct Taker {
  int take(int value) { return value; }
};
/// Submits what waits for the ref, and waits for it.
int submit_many(Context& ctx, const std::vector<ObjectRef<int>>& first, const std::string& log) {
  std::vector<ObjectRef<int>> all;
  for (int i = 0; i < kWorks; ++i) all.push_back(ctx.remote<take>(first.at(0)));
  append(log, "submitted;");
  return ctx.get(all.front());
}

}  // namespace

TEST_SUITE("runtime/api") {
  TEST_CASE("works that wait for one ref let go of it in few looks, not in one each, whether they end together or one by one") {
    if (in_processes()) return;  // the cell that is looked at is this process's
    Machine machine;
    auto& rt = machine.rt;
    Folder folder;
    const auto log = folder / "log";
    Gate gate;
    const auto late = rt.remote<pass>(gate.path(), 1);
    const auto spy = std::make_shared<Spy>();
    late.cell()->on_settled(spy);
    SUBCASE("the children of a task that is cancelled") {
      const auto parent = rt.remote<submit_many>(std::vector{late}, log);
      CHECK(eventually([&] { return content(log) == "submitted;"; }));
      CHECK(eventually([&] { return late.cell()->waiters() > static_cast<std::size_t>(kWorks); }));
      rt.cancel(parent);
      CHECK_THROWS_AS(rt.get(parent), Cancelled);
    }
    SUBCASE("tasks that are cancelled one by one") {
      std::vector<ObjectRef<int>> all;
      for (int i = 0; i < kWorks; ++i) all.push_back(rt.remote<take>(late));
      CHECK(eventually([&] { return late.cell()->waiters() > static_cast<std::size_t>(kWorks); }));
      for (const auto& each : all) rt.cancel(each);
      for (const auto& each : all) CHECK_THROWS_AS(rt.get(each), Cancelled);
    }
    SUBCASE("the calls of an actor that is killed") {
      auto actor = rt.actor<Taker>().spawn();
      std::vector<ObjectRef<int>> calls;
      for (int i = 0; i < kWorks; ++i) calls.push_back(actor.call<&Taker::take>(late));
      CHECK(eventually([&] { return late.cell()->waiters() > static_cast<std::size_t>(kWorks); }));
      actor.kill();
      for (const auto& call : calls) CHECK_THROWS_AS(rt.get(call), ActorDied);
    }
    CHECK(eventually([&] { return late.cell()->waiters() == 1; }));  // but for the spy all have gone
    CHECK_MESSAGE(spy->looks < kWorks / 10, spy->looks.load());
    gate.open();
    CHECK(rt.get(late) == 1);
  }
}

}  // namespace manta_test
