#include <atomic>

#include "support.hpp"

namespace manta_test {
namespace {

int one() { return 1; }
int add(int a, int b) { return a + b; }
std::vector<int> my_gpus(Context& ctx) { return ctx.gpu_ids(); }
/// Uses the group that came as a value: this runs in another process when workers are processes.
int run_inside(Context& ctx, const PlacementGroup& group) {
  if (!ctx.wait(group, 20s)) return -1;
  return ctx.get(ctx.task<add>({.placement = group.any()}).remote(2, static_cast<int>(group.bundle_count())));
}
std::string make_and_leave(Context& ctx, const std::string& name) {
  auto group = ctx.placement_group({.bundles = {{.num_cpus = 1}}, .name = name});
  ctx.get(ctx.ready(group));
  return group.description();
}
/// The group has room only while this task waits, for what is to run in it.
int wait_in_own_group(Context& ctx) {
  auto group = ctx.placement_group({.bundles = {{.num_cpus = 1}}});
  const int sum = ctx.get(ctx.task<add>({.placement = group.any()}).remote(1, 2), 60s);
  ctx.remove(group);
  return sum;
}
PlacementGroup hand_out_and_leave(Context& ctx) { return ctx.placement_group({.bundles = {{.num_cpus = 1}}}); }
int remove_it(Context& ctx, const PlacementGroup& group) {
  ctx.remove(group);
  try {
    return ctx.wait(group, 20s) ? 2 : 3;
  } catch (const Cancelled&) {
    return 1;
  }
}
struct Counter {
  int total = 0;
  int add(int by) { return total += by; }
  int wait_at(const std::string& gate) { return pass(gate, 1); }
  std::vector<int> gpus(Context& ctx) { return ctx.gpu_ids(); }
};
Amount free_of(Runtime& rt, const std::string& name = "CPU") { return rt.available_resources()[name]; }

}  // namespace

TEST_SUITE("runtime/api/placement") {
  TEST_CASE("bundles are taken all at once, serve what is placed in them, and are given back") {
    Machine machine(small_machine(4));
    auto& rt = machine.rt;
    auto group = rt.placement_group({.bundles = {{.num_cpus = 1}, {.num_cpus = 2}}});
    CHECK(rt.wait(group, 20s));
    CHECK(group.bundle_count() == 2);
    CHECK(free_of(rt) == Amount(1));
    Gate gate;
    auto inside = rt.task<pass>({.num_cpus = 2, .placement = group.bundle(1)}).remote(gate.path(), 5);
    auto second = rt.task<pass>({.placement = group.bundle(1)}).remote(gate.path(), 6);
    CHECK(rt.get(rt.task<one>({.placement = group.bundle(0)}).remote(), 20s) == 1);
    CHECK(rt.get(rt.task<one>({.placement = group.any()}).remote(), 20s) == 1);
    CHECK(rt.get(rt.remote<one>(), 20s) == 1);
    CHECK(eventually([&] { return free_of(rt) == Amount(1); }));  // the last lease goes back in its own time
    CHECK_FALSE(second.ready());
    gate.open();
    CHECK(rt.get(inside, 20s) + rt.get(second, 20s) == 11);
    rt.remove(group);
    CHECK(eventually([&] { return free_of(rt) == Amount(4); }));
    rt.remove(group);
  }

  TEST_CASE("a group waits for room as a whole, tasks in it wait for the group, and it tells when it is there") {
    Machine machine(small_machine(3));
    auto& rt = machine.rt;
    Gate gate;
    auto busy = rt.task<pass>({.num_cpus = 1}).remote(gate.path(), 1);
    CHECK(eventually([&] { return free_of(rt) == Amount(2); }));
    auto group = rt.placement_group({.bundles = {{.num_cpus = 1}, {.num_cpus = 2}}});
    auto ready = rt.ready(group);
    auto inside = rt.task<one>({.placement = group.bundle(0)}).remote();
    CHECK_FALSE(rt.wait(group, 50ms));
    CHECK_FALSE(inside.ready());
    CHECK(free_of(rt) == Amount(2));
    gate.open();
    rt.get(ready, 20s);
    CHECK(rt.get(inside, 20s) == 1);
    rt.remove(group);
  }

  TEST_CASE("a task that waits for another one in a group of its own lends the CPU that the group waits for") {
    // Behaviour: in worker processes the group was placed and nobody looked again at who waited for it.
    Machine machine(small_machine(1));
    for (int round = 0; round < 20; ++round) CHECK(machine.rt.get(machine.rt.remote<wait_in_own_group>(), 90s) == 3);
  }

  TEST_CASE("a wrong bundle, a request larger than its bundle, and groups that can never be are refused at once") {
    Machine machine(small_machine(4, 2));
    auto& rt = machine.rt;
    auto group = rt.placement_group({.bundles = {{.num_cpus = 1}, {.num_cpus = 2}}, .name = "pair"});
    CHECK(contains(error_of<InvalidArgument>([&] { group.bundle(2); }).message, "no bundle 2: there are 2"));
    const auto larger = error_of<InvalidArgument>([&] { rt.task<one>({.num_cpus = 2, .placement = group.bundle(0)}).remote(); });
    CHECK(contains(larger.message, "bundle 0 has {CPU: 1}"));
    CHECK_THROWS_AS(rt.task<one>({.num_cpus = 3, .placement = group.any()}).remote(), InvalidArgument);
    CHECK_THROWS_AS(rt.actor<Counter>({.num_gpus = 1, .placement = group.any()}).spawn(), InvalidArgument);
    CHECK_THROWS_AS(PlacementGroup().any(), InvalidArgument);
    CHECK_THROWS_AS(rt.ready(PlacementGroup()), InvalidArgument);
    CHECK(contains(error_of<InvalidArgument>([&] { rt.placement_group({.bundles = {{.num_cpus = 1}}, .name = "pair"}); }).message, "pair"));
    rt.remove(group);
    auto refused = [&](PlacementGroupOptions options) { CHECK_THROWS_AS(rt.placement_group(options), InfeasibleResources); };
    refused({.bundles = {{.num_cpus = 5}}});
    refused({.bundles = {{.num_cpus = 3}, {.num_cpus = 2}}});
    refused({.bundles = {{.num_gpus = 0.7}, {.num_gpus = 0.7}, {.num_gpus = 0.7}}});
    const auto split = error_of<InfeasibleResources>([&] { rt.placement_group({.bundles = {{.num_gpus = 0.6}, {.num_gpus = 0.6}, {.num_gpus = 0.6}}}); });
    CHECK_MESSAGE(contains(split.message, "must lie on one GPU"), split.message);
    const auto sum = error_of<InfeasibleResources>([&] { rt.placement_group({.bundles = {{.num_gpus = 0.7}, {.num_gpus = 0.7}, {.num_gpus = 0.7}}}); });
    CHECK_MESSAGE(!contains(sum.message, "must lie"), sum.message);
    refused({.bundles = {{.num_cpus = 1}, {.num_cpus = 1}}, .strategy = PlacementStrategy::kStrictSpread});
    CHECK_THROWS_AS(rt.placement_group({}), InvalidArgument);
    CHECK_THROWS_AS(rt.placement_group({.bundles = {{}}}), InvalidArgument);
    CHECK_THROWS_AS(rt.placement_group({.bundles = {{.num_cpus = -1}}}), InvalidArgument);
    CHECK_THROWS_AS(rt.placement_group({.bundles = {{.num_gpus = 1.5}}}), InvalidArgument);
    for (auto strategy : {PlacementStrategy::kPack, PlacementStrategy::kSpread, PlacementStrategy::kStrictPack}) {
      auto fine = rt.placement_group({.bundles = {{.num_cpus = 2}, {.num_cpus = 2}}, .strategy = strategy});
      CHECK(rt.wait(fine, 20s));
      rt.remove(fine);
    }
  }

  // With wait_if_infeasible such a group was placed on the one machine, against its strategy.
  TEST_CASE("a group whose bundles want a machine each waits by option, says why, and lets others work") {
    Machine machine(small_machine(4));
    auto& rt = machine.rt;
    auto strict = rt.placement_group(
        {.bundles = {{.num_cpus = 1}, {.num_cpus = 1}}, .strategy = PlacementStrategy::kStrictSpread, .name = "apart", .wait_if_infeasible = true});
    auto waits = rt.task<one>({.placement = strict.any()}).remote();
    auto beside = rt.placement_group({.bundles = {{.num_cpus = 4}}});
    CHECK(rt.wait(beside, 20s));
    rt.remove(beside);
    CHECK(rt.get(rt.task<one>({.num_cpus = 4}).remote(), 20s) == 1);
    CHECK_FALSE(rt.wait(strict, 0s));
    CHECK(eventually([&] { return free_of(rt) == Amount(4); }, 20s));
    const auto said = rt.explain(rt.ready(strict));
    CHECK_MESSAGE(contains(said, "placement group apart #"), said);
    CHECK_MESSAGE(contains(said, "each of its 2 bundles on a machine of its own (kStrictSpread), and there is one machine"), said);
    const auto of_task = rt.explain(waits);
    CHECK_MESSAGE(contains(of_task, "on a machine of its own"), of_task);
    rt.remove(strict);
    CHECK_THROWS_AS(rt.get(waits, 20s), Cancelled);
  }

  TEST_CASE("a bundle's GPU ids are those of all that is placed in it, for life") {
    Machine machine(small_machine(4, 3));
    auto& rt = machine.rt;
    auto group = rt.placement_group({.bundles = {{.num_gpus = 0.5}, {.num_gpus = 2}}});
    CHECK(rt.wait(group, 20s));
    CHECK(free_of(rt, "GPU") == Amount(0.5));
    auto part = rt.actor<Counter>({.num_gpus = 0.25, .placement = group.bundle(0)}).spawn();
    const auto shared = rt.get(part.call<&Counter::gpus>(), 20s);
    auto half = [&] { return rt.get(rt.task<my_gpus>({.num_cpus = 0, .num_gpus = 0.25, .placement = group.bundle(0)}).remote(), 20s); };
    CHECK(shared.size() == 1);
    CHECK(half() == shared);
    const auto whole = rt.get(rt.task<my_gpus>({.num_cpus = 0, .num_gpus = 2, .placement = group.any()}).remote(), 20s);
    CHECK(whole.size() == 2);
    CHECK(std::count(whole.begin(), whole.end(), shared[0]) == 0);
    CHECK(rt.get(rt.task<my_gpus>({.num_cpus = 0, .num_gpus = 0.5}).remote(), 20s) == shared);
    rt.remove(group);
  }

  TEST_CASE("removal ends what is in the group: queued and running tasks and actors say which group it was") {
    Machine machine(small_machine(4));
    auto& rt = machine.rt;
    Gate gate, own_gate;
    auto group = rt.placement_group({.bundles = {{.num_cpus = 2}}, .name = "doomed"});
    auto running = rt.task<pass>({.placement = group.any()}).remote(gate.path(), 1);
    auto killed = rt.task<pass>({.placement = group.any(), .isolation = own_process}).remote(own_gate.path(), 1);
    auto actor = rt.actor<Counter>({.placement = group.any()}).spawn();
    CHECK(rt.get(actor.call<&Counter::add>(3), 20s) == 3);
    auto queued = rt.task<one>({.placement = group.bundle(0)}).remote();
    auto late = rt.task<add>({.placement = group.bundle(0)}).remote(running, 1);
    rt.remove(group);
    auto says = [&](auto& ref) {
      const auto error = error_of<Cancelled>([&] { rt.get(ref, 20s); });
      CHECK_MESSAGE(contains(error.to_string(), "doomed"), error.to_string());
    };
    says(running), says(killed), says(queued), says(late);
    const auto error = error_of<ActorDied>([&] { rt.get(actor.call<&Counter::add>(1), 20s); });
    CHECK(contains(error.to_string(), "doomed"));
    CHECK_THROWS_AS(rt.get(rt.task<one>({.placement = group.any()}).remote(), 20s), Cancelled);
    CHECK_THROWS_AS(rt.get(rt.ready(rt.placement_group({.bundles = {{.num_cpus = 5}}, .wait_if_infeasible = true})), 50ms), Timeout);
    for (auto& each : rt.placement_groups()) rt.remove(each);
    gate.open();  // the running task's CPU is its until it returns
    CHECK(eventually([&] { return free_of(rt) == Amount(4); }, 20s));
  }

  TEST_CASE("a group that waits can be removed: who waits for it hears of it") {
    Machine machine(small_machine(1));
    auto& rt = machine.rt;
    auto first = rt.placement_group({.bundles = {{.num_cpus = 1}}});
    auto second = rt.placement_group({.bundles = {{.num_cpus = 1}}});
    auto inside = rt.task<one>({.placement = second.any()}).remote();
    CHECK(rt.wait(first, 20s));
    rt.remove(second);
    CHECK_THROWS_AS(rt.wait(second, 20s), Cancelled);
    CHECK_THROWS_AS(rt.get(inside, 20s), Cancelled);
    rt.remove(first);
  }

  // The handle that made the group kept the answer of its first wait for ever.
  TEST_CASE("every handle of a group that is gone says so, whoever removed it, also to one that does not wait") {
    Machine machine(small_machine(2));
    auto& rt = machine.rt;
    const auto one_cpu = PlacementGroupOptions{.bundles = {{.num_cpus = 1}}};
    auto gone = [&](const PlacementGroup& group) {
      CHECK(eventually([&] {  // who does not wait asks, and has the answer at one of the next times
        try {
          return rt.wait(group, 0s), false;
        } catch (const Cancelled&) {
          return true;
        }
      }, 20s));
      CHECK_THROWS_AS(rt.wait(group, 20s), Cancelled);
      CHECK(rt.ready(group).failed());
    };
    auto mine = rt.placement_group(one_cpu);
    const auto copy = mine;
    CHECK(rt.wait(mine, 20s));
    CHECK(rt.wait(mine, 0s));
    CHECK_NOTHROW(rt.get(rt.ready(mine), 20s));
    rt.remove(copy);
    gone(mine), gone(copy);
    auto theirs = rt.placement_group(one_cpu);
    CHECK(rt.wait(theirs, 20s));
    CHECK(rt.get(rt.remote<remove_it>(theirs), 20s) == 1);
    gone(theirs);
    for (int i = 0; i < 200; ++i) {  // its place may just be on the way here
      const auto brief = rt.placement_group(one_cpu);
      const auto ready = rt.ready(brief);
      rt.remove(brief);
      CHECK_THROWS_AS(rt.wait(brief, 20s), Cancelled);
    }
    CHECK(eventually([&] { return free_of(rt) == Amount(2); }));
  }

  TEST_CASE("groups are found by name, listed, and can be passed to tasks, also within values") {
    Machine machine(small_machine(4));
    auto& rt = machine.rt;
    auto group = rt.placement_group({.bundles = {{.num_cpus = 1, .memory_bytes = 5, .resources = {}}, {.num_cpus = 1}}, .name = "shared"});
    CHECK(rt.find_placement_group("shared") == group);
    CHECK(rt.find_placement_group("shared").bundle_count() == 2);
    CHECK(rt.placement_groups().size() == 1);
    CHECK(contains(error_of<NotFound>([&] { rt.find_placement_group("other"); }).message, "shared"));
    CHECK(rt.get(rt.task<run_inside>({.num_cpus = 1}).remote(group), 20s) == 4);
    CHECK(rt.get(rt.task<run_inside>({.isolation = own_process}).remote(rt.find_placement_group("shared")), 20s) == 4);
    rt.remove(group);
    CHECK(eventually([&] { return rt.placement_groups().empty(); }));
  }

  // It was InvalidArgument: there was said to be a group of that name, when it was gone.
  TEST_CASE("a named group that another thread removes while it is made says that it has been removed") {
    Machine machine(small_machine(2));
    auto& rt = machine.rt;
    std::atomic<bool> done = false;
    std::thread remover([&] {
      while (!done) try {
          rt.remove(rt.find_placement_group("brief"));
        } catch (const NotFound&) {
        }
    });
    int made = 0;
    for (int i = 0; i < 2000; ++i) try {
        rt.remove(rt.placement_group({.bundles = {{.num_cpus = 1}}, .name = "brief"}));
        ++made;
      } catch (const Error& e) {
        CHECK_MESSAGE(e.code() == ErrorCode::kCancelled, e.what());
      }
    done = true;
    remover.join();
    CHECK(made > 0);
  }

  TEST_CASE("a group that comes with a strategy of another build is refused") {
    using Custom = std::map<std::string, std::int64_t>;
    using Written = std::tuple<std::uint64_t, std::uint64_t, std::string, std::uint8_t, std::int64_t, std::int64_t, std::uint64_t, Custom>;
    const auto group = [](std::uint8_t strategy) { return encode(Written{7, 1, "name", strategy, Amount(1).raw(), 0, 5, Custom{{"disk", 1}}}); };
    CHECK(decode<PlacementGroup>(group(3)).bundle_count() == 1);
    CHECK_THROWS_AS(decode<PlacementGroup>(group(4)), ProtocolError);
  }

  TEST_CASE("a group goes with the process that made it") {
    Machine machine(small_machine(2));
    auto& rt = machine.rt;
    CHECK(contains(rt.get(rt.task<make_and_leave>({.isolation = own_process}).remote("left"), 20s), "left"));
    CHECK(eventually([&] { return rt.placement_groups().empty(); }, 20s));
    const auto group = rt.get(rt.task<hand_out_and_leave>({.isolation = own_process}).remote(), 20s);
    CHECK(eventually([&] { return rt.placement_groups().empty(); }, 20s));
    const auto error = error_of<Cancelled>([&] { rt.wait(group, 20s); });
    CHECK_MESSAGE(contains(error.message, "the process that made it has ended"), error.message);
    CHECK(eventually([&] { return free_of(rt) == Amount(2); }));
  }

  TEST_CASE("groups that nobody removed end with the runtime") {
    PlacementGroup placed, waiting;
    ObjectRef<void> ready;
    ObjectRef<int> inside;
    {
      auto rt = Runtime::start(small_machine(1));
      placed = rt.placement_group({.bundles = {{.num_cpus = 1}}});
      waiting = rt.placement_group({.bundles = {{.num_cpus = 1}}});
      CHECK(rt.wait(placed, 20s));
      ready = rt.ready(waiting);
      inside = rt.task<one>({.placement = waiting.any()}).remote();
    }
    CHECK(ready.failed());
    CHECK(inside.failed());
  }
}

}  // namespace manta_test
