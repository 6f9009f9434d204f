// Schedulers, searchers and faults in any mix: whatever happens, the experiment comes to its end and every result stands there once.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "scripted_host.hpp"
#include "tune/core/resource_plan.hpp"
#include "tune/schedulers/asha.hpp"
#include "tune/schedulers/hyperband.hpp"
#include "tune/schedulers/median_stopping.hpp"
#include "tune/schedulers/pb2.hpp"
#include "tune/schedulers/pbt.hpp"
#include "tune/schedulers/percentile_stopping.hpp"
#include "tune/schedulers/resource_changing.hpp"
#include "tune/searchers/bohb.hpp"
#include "tune/searchers/cmaes.hpp"
#include "tune/searchers/evolution.hpp"
#include "tune/searchers/tpe.hpp"
#include "tune/searchers/wrappers.hpp"
#include "tune/stoppers/stoppers.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;

namespace {

constexpr std::uint64_t kIterations = 9, kMixes = 60;

Space space() { return {{"x", uniform(0, 1)}, {"kind", choice({"a", "b"})}, {"depth", randint(1, 4), when("kind", "a")}}; }

std::vector<SchedulerSpec> schedulers() {
  const Space mutations{{"x", uniform(0, 1)}};
  const std::string time = "training_iteration";
  return {fifo(),
          asha({.max_t = kIterations, .reduction_factor = 3}),
          asha({.max_t = kIterations, .reduction_factor = 2, .brackets = 2}),
          asha({.type = AshaType::kPromotion, .max_t = kIterations, .reduction_factor = 3}),
          asha({.type = AshaType::kPromotion, .max_t = kIterations, .reduction_factor = 2, .brackets = 2}),
          hyperband({.max_t = kIterations}),
          hyperband({.max_t = kIterations, .variant = HyperBandVariant::kPaper}),
          hyperband_for_bohb({.max_t = kIterations}),
          median_stopping({.time_attr = time, .grace_period = 2, .hard_stop = false}),
          percentile_stopping({.n_startup_trials = 2}),
          pbt({.time_attr = time, .perturbation_interval = 2, .hyperparam_mutations = mutations}),
          pbt({.time_attr = time, .perturbation_interval = 3, .hyperparam_mutations = mutations, .synch = true}),
          pb2({.time_attr = time, .perturbation_interval = 2, .hyperparam_bounds = mutations}),
          resource_changing({.scheduler = asha({.max_t = kIterations, .reduction_factor = 3})})};
}

std::vector<SearcherSpec> searchers() {
  const SearchOptions waits{.startup_trials = 3, .wait_for_startup = true};
  return {random_search(),
          tpe({.common = waits}),
          tpe({.common = {.startup_trials = 2}, .group = true}),
          bohb_search({.common = {.startup_trials = 0}}),
          cmaes({}),
          evolution({.population = 4, .sample = 2}),
          limit_concurrency(tpe({.common = waits}), 2),
          limit_concurrency(tpe({.common = waits}), 2, {.batch = true}),
          repeat(tpe({.common = waits}), 2)};
}

/// Stoppers, budgets, trials that hang or do not listen, and machines that are too small.
void draw_limits(Random& random, Life& life) {
  const auto any = [&](std::int64_t low, std::int64_t high) { return random.randint(low, high + 1); };
  const auto stops = any(0, 9);
  if (stops == 0) life.stopper = trial_plateau({.std = 0.2, .num_results = 2, .grace_period = 2});
  if (stops == 1) life.stopper = experiment_plateau({.std = 0.05, .top = 3});
  if (stops == 2) life.stopper = any_of({max_iterations(5), timeout(3.0)});
  if (stops == 3) life.stopper = timeout(1.0);
  life.tick_ms = any(1, 20);
  life.grace = std::chrono::duration<double>(0.0005);
  if (any(0, 4) == 0) life.runner.fail_fast = true;
  if (any(0, 4) == 0) life.runner.time_budget_s = 4;
  if (any(0, 2) == 0) {
    life.runner.trial_time_limit_s = 1.5;
    const auto hung = any(1, 7);
    life.script.hangs = [hung](TrialIndex trial, std::uint64_t t) { return (trial * 5 + t) % 11 == static_cast<std::uint64_t>(hung); };
  }
  if (any(0, 4) == 0) life.script.ignores_stop = true;
  if (any(0, 2) == 0) {
    life.runner.room = ResourceLedger(Resources{{"CPU", 4}});
    life.runner.resources_of = [](const Trial& trial) { return trial.resources.value_or(TrialResources{.num_cpus = 1 + trial.index % 3}); };
  }
}

/// Nothing that counts the driver's lives or goes by the clock: however often it is killed, the end is that of the unbroken run.
void make_quiet(Life& life) {
  life.concurrency = 1;
  life.script.results_per_word = 1;
  life.script.checkpoint_every = 1;
  life.script.crash = nullptr;
}

Life drawn(Random& random, bool quiet) {
  const auto any = [&](std::int64_t low, std::int64_t high) { return random.randint(low, high + 1); };
  const auto all_schedulers = schedulers();
  const auto all_searchers = searchers();
  Life life;
  life.samples = static_cast<std::uint64_t>(any(2, 9));
  life.scheduler = all_schedulers[static_cast<std::size_t>(any(0, static_cast<std::int64_t>(all_schedulers.size()) - 1))];
  const SearcherSpec searcher = all_searchers[static_cast<std::size_t>(any(0, static_cast<std::int64_t>(all_searchers.size()) - 1))];
  life.searcher = [searcher, samples = life.samples] {
    return searcher.make({.space = space(), .objectives = {{"loss", Mode::kMin}}, .num_samples = samples, .seed = 5});
  };
  life.concurrency = static_cast<std::size_t>(any(1, 4));
  life.machine = {.metric = "loss",
                  .max_iterations = any(0, 3) == 0 ? 7u : 0u,
                  .max_failures = any(-1, 2),
                  .keep_checkpoints = static_cast<std::uint32_t>(any(1, 2)),
                  .keep_best_checkpoints = static_cast<std::uint32_t>(any(0, 1)),
                  .checkpoint_budget_bytes = any(0, 1) ? 2u : 0u};
  life.compact_bytes = any(0, 1) ? 2000 : std::size_t{1} << 30;
  life.script = {.iterations = kIterations,
                 .checkpoint_every = static_cast<std::uint64_t>(any(0, 3)),
                 .saves_when_paused = any(0, 1) == 1,
                 .results_per_word = static_cast<std::uint32_t>(any(0, 2) ? 1 : 3),
                 .seconds = 0.5};
  const auto odd = any(0, 9);
  life.script.loss = [odd](const Config& config, std::uint64_t t) {
    const double x = config.get<double>("x");
    if (odd < 2 && t == 3 && x < 0.3) return odd == 0 ? std::nan("") : -std::numeric_limits<double>::infinity();
    return x + 1.0 / static_cast<double>(t);
  };
  const auto faulty = any(0, 5);
  life.script.crash = [faulty](TrialIndex trial, std::uint64_t t, std::uint32_t launch) {
    return faulty > 2 && (trial + t) % static_cast<std::uint64_t>(faulty) == 1 && launch < 3;
  };
  quiet ? make_quiet(life) : draw_limits(random, life);
  return life;
}

/// Results of one trial in order: each is one after the last, but for an exploit, which goes back to its donor's iteration.
void check_results(const MemoryEventLog& records) {
  std::map<TrialIndex, std::uint64_t> at;
  std::map<TrialIndex, bool> ended;
  records.for_each_event([&](std::span<const std::byte> record) {
    const Event event = decode_event(record);
    if (const auto* report = std::get_if<TrialReported>(&event.body)) {
      CHECK_FALSE(ended[report->trial]);
      REQUIRE(report->iteration == ++at[report->trial]);
    }
    if (const auto* decided = std::get_if<TrialDecided>(&event.body)) {
      if (decided->changed) at[decided->trial] = decided->iteration;
      if (decided->state == TrialState::kTerminated || decided->state == TrialState::kError) ended[decided->trial] = true;
    }
    if (const auto* started = std::get_if<TrialStarted>(&event.body)) {
      CHECK_FALSE(ended[started->trial]);
      CHECK(started->from_iteration <= at[started->trial]);
    }
  });
}

/// As if nobody had been killed.
void check_same(const Life& life, const Life::Outcome& outcome) {
  const TempDir dir;
  const auto whole = life.run(std::make_unique<MemoryEventLog>(), dir.path());
  REQUIRE(whole.trials.size() == outcome.trials.size());
  for (std::size_t i = 0; i < whole.trials.size(); ++i) {
    CAPTURE(i);
    CHECK(whole.trials[i].config == outcome.trials[i].config);
    CHECK(whole.trials[i].state == outcome.trials[i].state);
    CHECK(whole.trials[i].iteration == outcome.trials[i].iteration);
    CHECK(whole.trials[i].time_total_s == outcome.trials[i].time_total_s);
  }
}

}  // namespace

TEST_SUITE("tune/core") {
  TEST_CASE("schedulers, searchers and faults in any mix: all trials end, and every result is there once, killed or not") {
    for (std::uint64_t seed = 0; seed < kMixes; ++seed) {
      Random random(seed);
      const bool quiet = random.randint(0, 3) == 0;
      const Life life = drawn(random, quiet);
      CAPTURE(seed);
      CAPTURE(life.scheduler.description);
      const bool kills = random.randint(0, 2) == 1;
      const TempDir dir;
      MemoryEventLog records;
      for (int left = kills ? 4 : 0; left > 0; --left) {
        try {
          (void)life.run(std::make_unique<KillingLog>(records, static_cast<std::size_t>(random.randint(2, 60)), left % 2 == 0), dir.path());
        } catch (const Killed&) {
        }
      }
      const auto outcome = life.run(std::make_unique<KillingLog>(records, SIZE_MAX, false), dir.path());
      CHECK(outcome.trials.size() <= life.samples);
      if (outcome.stopped_by.empty() && !life.stopper.make && !life.runner.fail_fast) CHECK(outcome.trials.size() == life.samples);
      for (const Trial& trial : outcome.trials) {
        CAPTURE(trial.id);
        CHECK(trial.ended());
        if (trial.state == TrialState::kError) CHECK(trial.failures > 0);
        CHECK(lines_of(dir.path() / trial.dir_name() / "result.jsonl").size() == trial.results);
        CHECK(trial.iteration <= kIterations);
      }
      check_results(records);
      if (quiet && kills) check_same(life, outcome);
    }
  }
}
