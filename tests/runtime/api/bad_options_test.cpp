// What a program may not ask for is refused where it asks, and what it asks for is not left out of sight.
#include <cmath>
#include <limits>
#include <stdexcept>

#include "runtime/actor_pool.hpp"
#include "support.hpp"

namespace manta_test {
namespace {

int square(int x) { return x * x; }

Generator<int> count_to(int n) {
  for (int i = 0; i < n; ++i) co_yield i;
}

struct Adder {
  int total = 0;
  int add(int by) { return total += by; }
  int wait(const std::string& gate) { return pass(gate, 0); }
};

/// Cannot be read back where it holds 8.
struct Fragile {
  int number = 0;
  template <class Archive>
  void save(Archive& archive) const {
    archive(number);
  }
  template <class Archive>
  void load(Archive& archive) {
    archive(number);
    if (number == 8) throw std::domain_error("no eights here");
  }
};
Fragile make_fragile(int number) { return {number}; }

}  // namespace

TEST_SUITE("runtime/api/bad_options") {
  TEST_CASE("an amount beyond all amounts is more than the machine has, not a small one") {
    Machine machine;
    auto& rt = machine.rt;
    for (const Amount most : {Amount(1844674407370956ull), Amount(std::numeric_limits<std::int64_t>::max()), Amount(1e300), Amount(INFINITY)})
      CHECK_THROWS_AS(rt.task<square>({.num_cpus = most}).remote(1), InfeasibleResources);
    for (const Amount least : {Amount(std::numeric_limits<std::int64_t>::min()), Amount(-1e300), Amount(-INFINITY), Amount(NAN)})
      CHECK_THROWS_AS(rt.task<square>({.num_cpus = least}).remote(1), InvalidArgument);
    CHECK_THROWS_AS(Runtime::start(RuntimeOptions{.num_gpus = 1e12}), InvalidArgument);
    CHECK_THROWS_AS(Runtime::start(RuntimeOptions{.num_cpus = 1e300}), InvalidArgument);
    for (const auto& options : {RuntimeOptions{.num_cpus = NAN}, RuntimeOptions{.num_gpus = NAN}}) {
      const auto error = error_of<InvalidArgument>([&] { Runtime::start(options); });
      CHECK_MESSAGE(contains(error.message, "not a number"), error.message);
    }
  }

  TEST_CASE("a number that is none of an enumeration's is refused") {
    Machine machine;
    auto& rt = machine.rt;
    CHECK_THROWS_AS(Runtime::start(RuntimeOptions{.workers = static_cast<Workers>(9)}), InvalidArgument);
    CHECK_THROWS_AS(rt.task<square>({.isolation = static_cast<Isolation>(7)}).remote(1), InvalidArgument);
    CHECK_THROWS_AS(rt.actor<Adder>({.isolation = static_cast<Isolation>(7)}).spawn(), InvalidArgument);
    CHECK_THROWS_AS(rt.task<square>({.isolation = own_process, .env = {{"MANTA_CHILD", "x"}}}).remote(1), InvalidArgument);  // the runtime's own
    CHECK_THROWS_AS(rt.placement_group({.bundles = {{.num_cpus = 1}}, .strategy = static_cast<PlacementStrategy>(9)}), InvalidArgument);
  }

  TEST_CASE("numbers of retries and restarts below -1 are refused") {
    Machine machine;
    auto& rt = machine.rt;
    CHECK_THROWS_AS(rt.task<square>({.max_retries = -2}).remote(1), InvalidArgument);
    const auto error = error_of<InvalidArgument>([&] { rt.task<count_to>({.max_retries = -2}).remote(1); });
    CHECK_MESSAGE(contains(error.message, "max_retries is -2"), error.message);
    CHECK_MESSAGE(!contains(error.to_string(), "actor"), error.to_string());  // of which its user knows nothing
    CHECK_THROWS_AS(rt.task<count_to>({.backoff = {.initial = 1ms, .factor = 0.5}}).remote(1), InvalidArgument);
    CHECK_THROWS_AS(rt.actor<Adder>({.max_restarts = -2}).spawn(), InvalidArgument);
    CHECK_THROWS_AS(rt.actor<Adder>({.max_task_retries = -2}).spawn(), InvalidArgument);
    const auto adder = rt.actor<Adder>().spawn();
    CHECK_THROWS_AS(adder.options({.max_retries = -2}).call<&Adder::add>(1), InvalidArgument);
  }

  TEST_CASE("a type tag of what is not durable is refused") {
    Machine machine;
    auto& rt = machine.rt;
    CHECK_THROWS_AS(rt.put(1, {.type_tag = "number"}), InvalidArgument);
    CHECK(rt.get(rt.put(1, PutOptions())) == 1);
  }

  TEST_CASE("a resource without a name is refused") {
    Machine machine;
    auto& rt = machine.rt;
    CHECK_THROWS_AS(rt.task<square>({.resources = {{"", 1}}}).remote(1), InvalidArgument);
    CHECK_THROWS_AS(rt.actor<Adder>({.resources = {{"", 0}}}).spawn(), InvalidArgument);
    CHECK_THROWS_AS(rt.placement_group({.bundles = {{.num_cpus = 1, .resources = {{"", 1}}}}}), InvalidArgument);
    CHECK_THROWS_AS(Runtime::start(RuntimeOptions{.resources = {{"", 1}}}), InvalidArgument);
  }

  TEST_CASE("an environment that no process can have, and a log that nothing writes, are refused at submit") {
    Machine machine;
    auto& rt = machine.rt;
    for (const auto& name : {std::string(), std::string("A=B"), std::string("A\0B", 3)})
      CHECK_THROWS_AS(rt.task<square>({.isolation = own_process, .env = {{name, "1"}}}).remote(1), InvalidArgument);
    CHECK_THROWS_AS(rt.actor<Adder>({.isolation = own_process, .env = {{"A", std::string("\0", 1)}}}).spawn(), InvalidArgument);
    CHECK_THROWS_AS(rt.task<square>({.log_file = "somewhere.log"}).remote(1), InvalidArgument);
    CHECK_THROWS_AS(rt.actor<Adder>({.log_file = "somewhere.log"}).spawn(), InvalidArgument);
  }

  TEST_CASE("a wait for no refs at all returns at once") {
    Machine machine;
    const auto none = machine.rt.wait(std::vector<ObjectRef<int>>{});
    CHECK(none.ready.empty());
    CHECK(none.pending.empty());
    CHECK_THROWS_AS(machine.rt.wait(std::vector<ObjectRef<int>>{}, {.count = 2}), InvalidArgument);
  }

  TEST_CASE("a generator takes its memory, its place and its patience from its options as any task does") {
    auto options = small_machine(2);
    options.memory_bytes = 1000;
    Machine machine(options);
    auto& rt = machine.rt;
    CHECK_THROWS_AS(rt.task<count_to>({.memory_bytes = 2000}).remote(3), InfeasibleResources);
    {
      auto stream = rt.task<count_to>({.memory_bytes = 600}).remote(3);
      CHECK(rt.get(*stream.next()) == 0);
      CHECK(rt.available_resources()["memory"] == Amount(400));
    }
    {
      auto patient = rt.task<count_to>({.num_cpus = 3, .wait_if_infeasible = true}).remote(3);
      CHECK_THROWS_AS(patient.next(20ms), Timeout);
    }
    const auto group = rt.placement_group({.bundles = {{.num_cpus = 2}}});
    REQUIRE(rt.wait(group, 60s));
    {
      auto placed = rt.task<count_to>({.num_cpus = 2, .placement = group.bundle(0)}).remote(3);  // outside there is no CPU
      CHECK(rt.get(*placed.next(60s)) == 0);
    }
    CHECK_THROWS_AS(rt.task<count_to>({.num_cpus = 3, .placement = group.bundle(0)}).remote(3), InvalidArgument);
    rt.remove(group);
  }

  TEST_CASE("a value whose own load throws is an error of the family for who gets it") {
    Machine machine;
    auto& rt = machine.rt;
    const auto fragile = rt.task<make_fragile>({.isolation = own_process});
    CHECK(rt.get(fragile.remote(7)).number == 7);
    const auto eight = fragile.remote(8);
    CHECK_THROWS_AS(rt.get(eight), TaskError);
    const auto result = rt.try_get(eight);
    REQUIRE_FALSE(result.ok());
    REQUIRE(result.error().cause);
    CHECK(result.error().cause->message == "no eights here");
  }

  TEST_CASE("a pool outlives a call that its actor has no room for: the error is that call's result") {
    Machine machine;
    auto& rt = machine.rt;
    Gate gate;
    const auto adder = rt.actor<Adder>({.max_pending_calls = 1}).spawn();
    const auto busy = adder.call<&Adder::wait>(gate.path());
    ActorPool<Adder, int> pool(rt, {adder});
    pool.submit<&Adder::add>(5);
    CHECK_THROWS_AS(pool.get_next(), ResourceExhausted);
    gate.open();
    rt.get(busy);
    pool.submit<&Adder::add>(5);
    CHECK(pool.get_next() == 5);
    CHECK(pool.map<&Adder::add>(std::vector{1, 1}) == std::vector{6, 7});
  }
}

}  // namespace manta_test
