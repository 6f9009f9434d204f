// The names that begin with "test" are Ray's: test_trial_scheduler_resource_changing.py.
#include "tune/schedulers/resource_changing.hpp"

#include "runtime/errors.hpp"
#include "scheduler_support.hpp"
#include "tune/options.hpp"
#include "tune/simulation.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;

namespace {

/// Four trials of 1 CPU on 8 CPUs.
Driven four(Allocation allocation, SchedulerSpec scheduler = fifo(), TrialResources base = {.num_cpus = 1}, Resources total = {{"CPU", 8}, {"GPU", 8}}) {
  Driven driven(resource_changing({std::move(scheduler), std::move(allocation)}), Mode::kMax,
                {.resources = std::move(base), .total = std::move(total)});
  driven.launch(4);
  return driven;
}

/// What the trial is given when it reports; nothing when it just goes on.
std::optional<TrialResources> given(Driven& driven, TrialIndex trial, double reward = 1) {
  if (driven.report(trial, 1, reward) == C) return std::nullopt;
  REQUIRE(driven.last.resources);
  driven.start(trial);
  return driven.last.resources;
}

Amount cpus(Driven& driven, TrialIndex trial, double reward = 1) {
  const auto held = given(driven, trial, reward);
  return held ? held->num_cpus : Amount(0);
}

}  // namespace

TEST_SUITE("tune/schedulers") {
  TEST_CASE("testAllocateFreeResources: 1 CPU becomes 2, 3, 4 and 8 as others end") {
    Driven driven = four(distribute_resources());
    CHECK(cpus(driven, 0) == Amount(2));
    CHECK(cpus(driven, 1) == Amount(2));
    driven.complete(3, 2, 1);
    CHECK(cpus(driven, 0) == Amount(3));
    driven.complete(2, 2, 1);
    CHECK(cpus(driven, 0) == Amount(4));
    driven.fail(1);
    CHECK(cpus(driven, 0) == Amount(8));
    CHECK_FALSE(given(driven, 0));  // nothing changes any more
  }

  TEST_CASE("testAllocateFreeResourcesWithIncreaseBy: in steps of more than one, GPUs too") {
    Driven driven = four(distribute_resources({.increase_by = {{"CPU", 2}, {"GPU", 2}}}), fifo(), {.num_cpus = 2, .num_gpus = 2}, {{"CPU", 16}, {"GPU", 16}});
    const auto held = given(driven, 0);
    REQUIRE(held);
    CHECK(held->num_cpus == Amount(4));
    CHECK(held->num_gpus == Amount(4));
  }

  TEST_CASE("testAllocateFreeResourcesWithIncreaseByTimes: no more than so many steps") {
    Driven driven = four(distribute_resources({.increase_by_times = 2}));
    for (TrialIndex i = 1; i < 4; ++i) driven.complete(i, 2, 1);
    CHECK(cpus(driven, 0) == Amount(3));
  }

  TEST_CASE("testDeallocateResources: a trial that comes later gets its part from those that hold more") {
    Driven driven = four(distribute_resources());
    for (TrialIndex i = 1; i < 4; ++i) driven.complete(i, 2, 1);
    CHECK(cpus(driven, 0) == Amount(8));
    driven.add();
    CHECK(cpus(driven, 0) == Amount(4));
  }

  TEST_CASE("with add_bundles the trial's own workers get it, and what is reserved is left alone") {
    Driven driven = four(distribute_resources({.add_bundles = true, .reserve = {{"CPU", 4}}}));
    CHECK_FALSE(given(driven, 0));
    driven.complete(3, 2, 1);
    const auto held = given(driven, 0);
    REQUIRE(held);
    CHECK(held->num_cpus == Amount(1));
    CHECK(held->workers["CPU"] == Amount(1));
  }

  TEST_CASE("testAllocateFreeResources to the top job: the best of four gets 5 of 8 CPUs, the others keep theirs") {
    Driven driven = four(distribute_resources_to_top_job());
    CHECK(cpus(driven, 0, 1.0) == Amount(5));
    CHECK_FALSE(given(driven, 1, 0.9));
    CHECK_FALSE(given(driven, 2, 0.8));
    CHECK_FALSE(given(driven, 1, 1.1));  // the best now, but nothing is free
    driven.complete(0, 2, 1);
    CHECK(cpus(driven, 1, 1.1) == Amount(6));
  }

  TEST_CASE("the other scheduler's decisions come first") {
    Driven driven = four(distribute_resources(), asha({.max_t = 3}));
    CHECK(driven.scheduler().stops_every_trial());
    CHECK(driven.report(0, 3, 1) == S);
    CHECK_FALSE(driven.last.resources);
    CHECK(cpus(driven, 1) == Amount(3));  // the one that ended counts no more
  }

  TEST_CASE("saved, it goes on with the same decisions") {
    Driven driven = four(distribute_resources(), asha({.max_t = 100}));
    CHECK(cpus(driven, 0) == Amount(2));
    driven.complete(3, 2, 1);
    driven.reload();
    CHECK(cpus(driven, 0) == Amount(3));
    CHECK(cpus(driven, 1) == Amount(3));
    CHECK_THROWS_AS(driven.scheduler().restore("0"), StorageCorruption);
    const std::string trial = "10000 0 0 0 ", end = " 0 10000 0 0 0 0 0 0";  // its resources but for their strategy; its base, and no scores
    CHECK_NOTHROW(resource_changing({}).make({})->restore("0  1 7 " + trial + "3" + end));
    CHECK_THROWS_AS(resource_changing({}).make({})->restore("0  1 7 " + trial + "4" + end), StorageCorruption);
  }

  TEST_CASE("a trial with bundles gets a larger first one, or more of them, and a save keeps them") {
    const TrialResources base{.bundles = {{.num_cpus = 1}, {.num_cpus = 1}}};
    for (const bool add : {false, true}) {
      Driven driven = four(distribute_resources({.add_bundles = add}), fifo(), base, {{"CPU", 16}});
      const auto held = given(driven, 0);  // 16 CPUs: 2 of each trial, and 2 more for each
      REQUIRE(held);
      REQUIRE(held->bundles.size() == (add ? 4 : 2));
      CHECK(held->bundles.front().num_cpus == Amount(add ? 1 : 3));
      CHECK(held->all()["CPU"] == Amount(4));
      driven.reload();
      CHECK_FALSE(given(driven, 0));  // it has what it shall have
    }
  }

  TEST_CASE("NaN is no best result") {
    Driven driven = four(distribute_resources_to_top_job());
    CHECK_FALSE(given(driven, 0, std::numeric_limits<double>::quiet_NaN()));
    CHECK(cpus(driven, 1, -std::numeric_limits<double>::infinity()) == Amount(5));
  }

  TEST_CASE("what a trial's configuration asks for is what it begins with, and is not taken away") {
    SchedulerContext context{.resources = {.num_cpus = 1}, .total = {{"CPU", 8}}};
    context.resources_of = [](const Config& config) {
      if (!config.contains("cpus")) throw std::out_of_range("no such parameter");
      return TrialResources{.num_cpus = config.get<int>("cpus")};
    };
    Driven driven(resource_changing({}), Mode::kMax, context);
    for (const int cpus : {5, 2}) driven.start(driven.add({{"cpus", cpus}}));
    CHECK(cpus(driven, 0) == Amount(6));  // one CPU is free
    driven.reload();
    CHECK_FALSE(given(driven, 1));
    driven.complete(0, 2, 1);
    CHECK(cpus(driven, 1) == Amount(8));
    driven.start(driven.add());  // its function fails: the trial will, when it is started
    CHECK(cpus(driven, 1) == Amount(5));
  }

  TEST_CASE("in an experiment with resources_of no trial gets less than its configuration asks for") {
    // Behaviour: every trial was taken to begin with TuneOptions::resources, so one that asked for 5 CPUs went on with 4.
    struct Starts final : Callback {
      void on_trial_start(const Trial& trial) override {
        const Amount asked(trial.config.get<int>("cpus")), held = trial.resources ? trial.resources->num_cpus : asked;
        less += held < asked, more += asked < held;
      }
      int less{0}, more{0};
    };
    const auto starts = std::make_shared<Starts>();
    TuneOptions options{.metric = "loss", .space = {{"cpus", grid_search({5, 2})}}, .scheduler = resource_changing({}), .seed = 1};
    options.resources_of = [](const Config& config) { return TrialResources{.num_cpus = config.get<int>("cpus")}; };
    options.callbacks = {starts};
    const SimulatedTrainable six{.iterations = 6, .step = [](SimulatedStep&) { return SimulatedResult{{{"loss", 1}}, 1}; }};
    const Simulation simulation = simulate(options, six, {.workers = 8});
    for (const TrialResult& trial : simulation.grid.trials()) CHECK(trial.iterations == 6);
    CHECK(starts->less == 0);
    CHECK(starts->more > 0);
  }
}
