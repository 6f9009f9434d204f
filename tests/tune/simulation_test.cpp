#include "tune/simulation.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <set>
#include <stdexcept>

#include "runtime/errors.hpp"
#include "search_support.hpp"
#include "support.hpp"
#include "tune/searchers.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;

namespace {

TuneOptions options(std::int64_t samples) {
  return {.metric = "loss", .num_samples = samples, .space = {{"x", uniform(0, 1)}}, .seed = 7};
}

SimulatedTrainable decaying(std::uint64_t iterations, double seconds = 1) {
  return {.iterations = iterations, .step = [seconds](SimulatedStep& step) {
            const double loss = step.config.get<double>("x") + 1.0 / static_cast<double>(step.iteration);
            return SimulatedResult{{{"loss", loss}}, seconds};
          }};
}

bool same(const Simulation& a, const Simulation& b) {
  if (a.timeline.size() != b.timeline.size() || a.seconds != b.seconds) return false;
  for (std::size_t i = 0; i < a.timeline.size(); ++i) {
    const auto &x = a.timeline[i], &y = b.timeline[i];
    if (x.time_s != y.time_s || x.trial != y.trial || x.iteration != y.iteration || x.value != y.value) return false;
  }
  return true;
}

}  // namespace

TEST_SUITE("tune/simulation") {
  TEST_CASE("trials take the virtual time that their steps say, side by side on the workers") {
    const Simulation one = simulate(options(6), decaying(4, 10));
    CHECK(one.seconds == doctest::Approx(240));
    CHECK(one.timeline.size() == 24);
    CHECK(one.busy_seconds == doctest::Approx(240));
    const Simulation three = simulate(options(6), decaying(4, 10), {.workers = 3, .start_seconds = 5});
    CHECK(three.seconds == doctest::Approx(90));
    CHECK(three.busy_seconds == doctest::Approx(270));
    for (const TrialResult& trial : three.grid.trials()) {
      CHECK(trial.state == TrialState::kTerminated);
      CHECK(trial.iterations == 4);
      CHECK(trial.time_total_s == doctest::Approx(40));
    }
  }

  TEST_CASE("the same seed gives the same timeline, with stragglers and drops too; another seed another one") {
    const SimulatedCluster cluster{.workers = 5, .straggler_sd = 0.5, .drop_probability = 0.02};
    TuneOptions tuned = options(40);
    tuned.max_failures = 3;
    tuned.scheduler = asha({.max_t = 9, .reduction_factor = 3});
    const Simulation first = simulate(tuned, decaying(0), cluster);
    CHECK(same(first, simulate(tuned, decaying(0), cluster)));
    tuned.seed = 8;
    CHECK_FALSE(same(first, simulate(tuned, decaying(0), cluster)));
  }

  TEST_CASE("stragglers take 1 + |N(0, sd)| times as long") {
    const Simulation done = simulate(options(2000), decaying(1), {.workers = 2000, .straggler_sd = 0.5});
    double sum = 0, smallest = INFINITY;
    for (const SimulatedReport& report : done.timeline) sum += report.time_s, smallest = std::min(smallest, report.time_s);
    CHECK(smallest >= 1);
    CHECK(sum / 2000 == doctest::Approx(1 + 0.5 * std::sqrt(2 / 3.14159265)).epsilon(0.02));
  }

  TEST_CASE("a dropped trial is a failure: it goes on from its last checkpoint as often as max_failures says") {
    const SimulatedCluster cluster{.workers = 50, .drop_probability = 0.05};
    const Simulation lost = simulate(options(1000), decaying(10), cluster);
    const double survivors = static_cast<double>(1000 - lost.grid.errors().size()) / 1000;
    CHECK(survivors == doctest::Approx(std::pow(0.95, 10)).epsilon(0.1));
    TuneOptions again = options(200);
    again.max_failures = -1;
    const Simulation kept = simulate(again, decaying(10), cluster);
    CHECK(kept.grid.errors().empty());
    CHECK(kept.timeline.size() == 2000);  // no result is lost or given twice
  }

  TEST_CASE("a trial that fails twice in a row while nothing else runs is tried again, in virtual time") {
    // Behaviour: its back-off was never over, as the clock went from event to event and there was none: the simulation did not end.
    TuneOptions failing = options(1);
    failing.max_failures = 4;
    const auto boom = [](SimulatedStep&) -> std::optional<SimulatedResult> { throw std::runtime_error("boom"); };
    const SimulatedTrainable broken{.iterations = 4, .step = boom};
    const Simulation done = simulate(failing, broken);
    CHECK(done.grid[0].state == TrialState::kError);
    CHECK(done.grid[0].failures == 5);
    CHECK(done.seconds > 0.349);  // none, none, 50, 100 and 200 ms
    CHECK(done.seconds < 0.37);
    failing.max_failures = -1, failing.time_budget_s = 100;
    const Simulation endless = simulate(failing, broken);
    CHECK(endless.seconds == doctest::Approx(100).epsilon(0.01));
    CHECK(endless.grid[0].failures > 10);
    TuneOptions dropped = options(3);
    dropped.max_failures = -1;
    const Simulation kept = simulate(dropped, decaying(5), {.workers = 1, .drop_probability = 0.9});
    CHECK(kept.grid.errors().empty());
    CHECK(kept.timeline.size() == 15);
  }

  TEST_CASE("a back-off is over when its time is, not at the next report of another trial") {
    TuneOptions tuned{.metric = "loss", .num_samples = 1, .space = {{"row", grid_search({0, 1})}}, .max_failures = -1, .seed = 1};
    int attempts = 0;
    const Simulation done = simulate(tuned, {.iterations = 1, .step = [&](SimulatedStep& step) -> std::optional<SimulatedResult> {
      if (step.config.get<int>("row") == 0) return SimulatedResult{{{"loss", 1}}, 1000};
      if (++attempts < 4) throw std::runtime_error("boom");
      return SimulatedResult{{{"loss", 2}}, 1};
    }}, {.workers = 2});
    REQUIRE(done.timeline.size() == 2);
    CHECK(done.timeline[0].trial == 1);
    CHECK(done.timeline[0].time_s == doctest::Approx(1.15).epsilon(0.01));
  }

  TEST_CASE("every result of a simulation is there: its trials have curves, and all scopes") {
    // Behaviour: they were looked for in the journal of a directory of the simulation's name, which is another experiment's if anybody's.
    TuneOptions tuned = options(3);
    const Simulation done = simulate(tuned, decaying(12, 10));
    const auto curve = done.grid.curve(done.grid[1]);
    REQUIRE(curve.size() == 12);
    CHECK(curve[2].iteration == 3);
    CHECK(curve[2].time_ms == 150'000);
    CHECK(curve[2].time_total_s == doctest::Approx(30));
    CHECK(curve[2].metrics.get("loss") == doctest::Approx(done.grid[1].config.get<double>("x") + 1.0 / 3));
    for (const Scope scope : {Scope::kAll, Scope::kAvg, Scope::kLast5Avg, Scope::kLast10Avg})
      CHECK(done.grid.best(scope).index == done.grid.best().index);
    CHECK(done.grid.best("time_total_s", Mode::kMin, Scope::kAll).index == 0);
    const ResultGrid sorted = done.grid.filter([](const TrialResult& trial) { return trial.index > 0; }).sorted(Scope::kLast5Avg);
    CHECK(sorted.curve(sorted[0]).size() == 12);
    tuned.scheduler = asha({.max_t = 9, .reduction_factor = 3});
    const Simulation halved = simulate(tuned, decaying(12));
    CHECK(halved.grid.curve(halved.grid[0])[0].rung == 1);
    tuned.num_samples = 4;
    tuned.scheduler = pbt({.time_attr = "training_iteration", .perturbation_interval = 2, .hyperparam_mutations = {{"x", uniform(0, 1)}}});
    const Simulation population = simulate(tuned, decaying(12), {.workers = 2});
    for (const TrialResult& trial : population.grid.trials())  // an exploit takes the donor's time over, for the results after it
      for (const ResultRow& row : population.grid.curve(trial)) CHECK(row.time_total_s == doctest::Approx(static_cast<double>(row.iteration)));
  }

  TEST_CASE("several objectives are told once, and the grid of a simulation knows them") {
    TuneOptions tuned = options(20);
    tuned.further_objectives = {{"gain", Mode::kMax}};
    const Simulation done = simulate(tuned, {.iterations = 1, .step = [](SimulatedStep& step) {
      const double x = step.config.get<double>("x");
      return SimulatedResult{{{"loss", x}, {"gain", x}}};
    }});
    CHECK(done.grid.pareto_front().size() == 20);
    CHECK(done.grid.hypervolume({1, 0}) > 0);
  }

  TEST_CASE("a table of learning curves is followed row by row") {
    TuneOptions tuned{.metric = "acc", .mode = Mode::kMax, .space = {{"row", grid_search({0, 1, 2})}}, .seed = 1};
    const Simulation done = simulate(tuned, learning_curves("acc", {{1, 2, 3}, {4, 5}, {6}}, 2));
    CHECK(done.seconds == doctest::Approx(12));
    CHECK(done.grid[0].iterations == 3);
    CHECK(done.grid[1].metrics.get("acc") == 5);
    CHECK(done.grid.best().index == 2);
  }

  TEST_CASE("a step that throws fails its trial only") {
    TuneOptions tuned{.metric = "acc", .space = {{"row", grid_search({0, 5})}}, .seed = 1};
    const Simulation done = simulate(tuned, learning_curves("acc", {{1, 2}}));
    CHECK(done.grid[0].state == TrialState::kTerminated);
    CHECK(has(done.grid[1].error, "row 5 of a table of 1 rows"));
    tuned.space = {{"row", -1}};
    CHECK(has(simulate(tuned, learning_curves("acc", {{1, 2}})).grid[0].error, "row -1 of a table of 1 rows"));
  }

  TEST_CASE("limits of time hold on the virtual clock: of a trial, and of the experiment") {
    TuneOptions limited = options(3);
    limited.trial_time_limit_s = 25;
    const Simulation killed = simulate(limited, decaying(4, 10), {.workers = 3});
    for (const TrialResult& trial : killed.grid.trials()) CHECK(trial.iterations == 2);
    CHECK(killed.seconds == doctest::Approx(25).epsilon(0.01));
    TuneOptions budget = options(8);
    budget.time_budget_s = 45;
    const Simulation ended = simulate(budget, decaying(4, 10), {.workers = 1});
    CHECK(ended.timeline.size() == 4);
    CHECK(ended.grid[0].iterations == 4);
    CHECK(ended.grid.trials().back().state == TrialState::kTerminated);
  }

  TEST_CASE("the timeout stopper ends a simulation at its time, however long a step takes, and who runs is killed after the grace") {
    // Behaviour: the clock went to the next report first, here past the timeout by 955 s.
    TuneOptions tuned = options(3);
    tuned.stop = timeout(45.5);
    const Simulation done = simulate(tuned, decaying(4, 1000), {.workers = 1});
    CHECK(done.timeline.empty());
    CHECK(done.seconds == doctest::Approx(55.5).epsilon(0.001));
    CHECK(done.busy_seconds == doctest::Approx(55.5).epsilon(0.001));
    tuned.stop_grace_s = 0;
    CHECK(simulate(tuned, decaying(4, 1000), {.workers = 1}).seconds == doctest::Approx(45.5).epsilon(0.001));
    tuned.stop = any_of({timeout(45.5), timeout(3000)}), tuned.stop_grace_s = 2000;
    CHECK(simulate(tuned, decaying(4, 1000), {.workers = 1}).seconds == doctest::Approx(1000));  // its next report is sooner
    tuned.stop = timeout(2000);  // a report at that very time counts
    CHECK(simulate(tuned, decaying(4, 1000), {.workers = 1}).timeline.size() == 2);
  }

  TEST_CASE("no result after the time budget counts, nor one after the trial's limit, however little later it comes") {
    // Behaviour: the clock went in steps of a thousandth of the limit, and what came within one was taken.
    TuneOptions budget = options(1), limit = options(1);
    budget.time_budget_s = 10.5, limit.trial_time_limit_s = 20.25;
    const Simulation ended = simulate(budget, decaying(1, 10.503));
    CHECK(ended.timeline.empty());
    CHECK(ended.seconds == doctest::Approx(10.503));
    CHECK(simulate(budget, decaying(1, 10.5)).timeline.size() == 1);  // at that very time it does
    const Simulation killed = simulate(limit, decaying(1, 20.255));
    CHECK(killed.timeline.empty());
    CHECK(killed.grid[0].timed_out);
    CHECK(killed.seconds > 20.2499);
    CHECK(killed.seconds < 20.2521);
    budget.stop_grace_s = 0.7;
    const double left = simulate(budget, decaying(1, 100)).seconds;
    CHECK(left > 11.1999);
    CHECK(left < 11.2021);
  }

  TEST_CASE("a trial that goes on when its time is over already ends at once, not at its next report") {
    // Behaviour: the clock went to that report first, here by 1000 s, and the result counted.
    struct PauseAtFirst final : Scheduler {
      Verdict on_result(TrialIndex, const ResultView& result) override { return result.iteration == 1 ? Decision::kPause : Decision::kContinue; }
      Verdict on_idle() override {
        Verdict verdict;
        verdict.resume = {0};
        return verdict;
      }
      std::string save() const override { return {}; }
      void restore(std::string_view) override {}
    };
    TuneOptions tuned = options(1);
    tuned.scheduler = {"pause", "pause", [](const SchedulerContext&) { return std::make_unique<PauseAtFirst>(); }};
    tuned.trial_time_limit_s = 10;
    const Simulation done = simulate(tuned, {.iterations = 3, .step = [](SimulatedStep& step) {
      return SimulatedResult{{{"loss", 1}}, step.iteration == 1 ? 10.001 : 1000};  // in the very millisecond in which it is over
    }});
    CHECK(done.timeline.size() == 1);
    CHECK(done.grid[0].timed_out);
    CHECK(done.seconds == doctest::Approx(10.001));
  }

  TEST_CASE("an endless trainable needs something that stops it, and options are checked as in a real run") {
    CHECK(has(error_of([] { simulate(options(1), decaying(0)); }), "nothing stops it"));
    CHECK(has(error_of([] { simulate(options(0), decaying(1)); }), "num_samples"));
    CHECK(has(error_of([] { simulate(options(1), {}); }), "step is empty"));
    CHECK(has(error_of([] { simulate(options(1), decaying(1), {.drop_probability = 1}); }), "drop_probability"));
    CHECK(has(error_of([] { simulate(options(1), decaying(1), {.workers = 0}); }), "workers"));
    CHECK(has(error_of([] { simulate(options(1), decaying(1), {.start_seconds = INFINITY}); }), "start_seconds from 0 to 1e9"));
    CHECK(has(error_of([] { simulate(options(1), decaying(1), {.straggler_sd = INFINITY}); }), "straggler_sd must be from 0 to 1000"));
  }

  TEST_CASE("a limit of time ends a trainable that has no end of its own; a stopper that may never act does not count as one") {
    TuneOptions budget = options(2), limit = options(2), plateau = options(1);
    budget.time_budget_s = 20;
    CHECK(simulate(budget, decaying(0)).timeline.size() >= 19);
    limit.trial_time_limit_s = 20;
    const Simulation limited = simulate(limit, decaying(0));
    for (const TrialResult& trial : limited.grid.trials()) CHECK(trial.timed_out);
    plateau.stop = trial_plateau();
    const std::string text = error_of([&] { simulate(plateau, decaying(0)); });
    CHECK(has(text, "its stopper trial_plateau may never stop a trial"));
    CHECK(has(text, "max_iterations, time_budget_s or trial_time_limit_s, the stopper timeout"));
    plateau.max_iterations = 50;
    CHECK(simulate(plateau, decaying(0)).grid[0].iterations < 50);
  }

  TEST_CASE("a trial whose first result lacks what its scheduler tells time by fails and names both") {
    // Behaviour: a mistyped time_attr was silent, and an endless trainable ran on for ever.
    const std::vector<SchedulerSpec> schedulers{asha({.time_attr = "nope"}),
                                                asha({.type = AshaType::kPromotion, .time_attr = "nope"}),
                                                hyperband({.time_attr = "nope"}),
                                                median_stopping({.time_attr = "nope"}),
                                                percentile_stopping({.time_attr = "nope"}),
                                                pbt({.time_attr = "nope", .hyperparam_mutations = {{"x", uniform(0, 1)}}}),
                                                pb2({.time_attr = "nope", .hyperparam_bounds = {{"x", uniform(0, 1)}}}),
                                                wilcoxon_stopping({.step_attr = "nope"}),
                                                stop_at_budget({.time_attr = "nope"}),
                                                resource_changing({.scheduler = asha({.time_attr = "nope"})})};
    TuneOptions tuned = options(1);
    for (const SchedulerSpec& scheduler : schedulers) {
      CAPTURE(scheduler.description);
      tuned.scheduler = scheduler;
      const Simulation done = simulate(tuned, decaying(3));
      CHECK(done.grid[0].state == TrialState::kError);
      CHECK(done.grid[0].iterations == 1);
      CHECK(has(done.grid[0].error, "no metric 'nope', by which the scheduler tells time. It reported: loss."));
    }
    for (const std::string time : {"training_iteration", "time_total_s", "loss"}) {
      tuned.scheduler = asha({.time_attr = time});
      CHECK(simulate(tuned, decaying(3)).grid[0].state == TrialState::kTerminated);
    }
  }

  TEST_CASE("an iteration that would take less than no time, or for ever, fails its trial") {
    // Behaviour: one of infinite time went on for ever, a day of the virtual clock at a time.
    for (const double seconds : {-1.0, double(NAN), double(INFINITY), 2e9}) {
      const Simulation done = simulate(options(1), decaying(3, seconds));
      CHECK(has(done.grid[0].error, "SimulatedResult::seconds is " + number_text(seconds, 6) + "; an iteration takes 0 or more, and 1e9 at most"));
    }
    CHECK(simulate(options(1), decaying(3, 0)).seconds == 0);
  }

  TEST_CASE("of an endless number of trials that fail at once no time passes: that ends the simulation with the last one's reason") {
    // Behaviour: time stood still, so that the budget never came, and it went on for as long as there was memory.
    for (const std::int64_t failures : {0, 2}) {
      TuneOptions endless = options(-1);
      endless.time_budget_s = 1000;
      endless.max_failures = failures;
      const SimulatedTrainable throws{.step = [](SimulatedStep& step) { return SimulatedResult{{{"loss", step.config.get<double>("misspelt")}}}; }};
      const std::string text = error_of([&] { simulate(endless, throws, {.workers = 3}); });
      CHECK(has(text, "runs of trials have ended at the same moment and without one result"));
      CHECK(has(text, "num_samples = -1"));
      CHECK(has(text, "misspelt"));
    }
  }

  TEST_CASE("many workers whose trials mostly fail at once still end by the budget") {
    TuneOptions endless = options(-1);
    endless.time_budget_s = 3;
    const SimulatedTrainable mostly{.step = [](SimulatedStep& step) {
      if (step.config.get<double>("x") < 0.9) throw std::runtime_error("too small");
      return SimulatedResult{{{"loss", 1.0}}};
    }};
    const Simulation done = simulate(endless, mostly, {.workers = 200});
    CHECK(done.seconds >= 3);
    CHECK(done.grid.errors().size() > 1000);
  }

  TEST_CASE("a virtual clock that has come to its end says so") {
    // Behaviour: it overflowed, and the trial went on beyond the budget.
    TuneOptions long_ones = options(1);
    long_ones.time_budget_s = 9.5e9;
    CHECK(has(error_of([&] { simulate(long_ones, decaying(0, 1e9)); }), "the virtual clock has come to 8e9 s"));
    long_ones.time_budget_s = 7.5e9;
    CHECK(simulate(long_ones, decaying(0, 1e9)).timeline.size() == 7);
  }

  TEST_CASE("the files of a simulation are whole when it ends, and what could not be written is told") {
    const auto run = [](const std::filesystem::path& dir) { return simulate(options(1), decaying(3), {.files = dir}); };
    const TempDir good, bad;
    const Simulation done = run(good.path());
    CHECK(done.warnings.empty());
    const auto inside = std::filesystem::relative(done.grid.trials()[0].dir, good.path());
    CHECK(lines_of(good.path() / inside / "progress.csv").size() == 4);
    std::filesystem::create_directories(bad.path() / inside / "progress.csv" / "in the way");
    const auto warnings = run(bad.path()).warnings;
    REQUIRE_FALSE(warnings.empty());
    CHECK(has(warnings[0], "progress.csv"));
  }

  TEST_CASE("a simulated cluster has room for the bundles of its trials") {
    TuneOptions bundled = options(4);
    bundled.resources.bundles = {{.num_cpus = 1}, {.num_cpus = 2, .num_gpus = 1}};
    const Simulation done = simulate(bundled, decaying(3), {.workers = 2});
    for (const TrialResult& trial : done.grid.trials()) CHECK(trial.state == TrialState::kTerminated);
    CHECK(done.seconds == doctest::Approx(6));  // two at a time
    bundled.resources = {.num_cpus = 0};
    CHECK(simulate(bundled, decaying(3), {.workers = 2}).seconds == doctest::Approx(6));
  }

  TEST_CASE("without an end of trials a thousand that cannot be started end the experiment, one that can begins the count anew") {
    TuneOptions endless = options(-1);
    endless.stop = stop_if([](TrialIndex, const ResultView&) { return false; });
    endless.resources_of = [](const Config&) { return TrialResources{.num_gpus = 1}; };
    CHECK(has(error_of([&] { simulate(endless, decaying(2), {.workers = 2}); }), "the last 1000 trials could not be started"));
    CHECK(has(error_of([&] { simulate(endless, decaying(2), {.workers = 2}); }), "it needs {CPU: 1, GPU: 1}"));
    int asked = 0;
    endless.resources_of = [&](const Config&) { return ++asked % 600 == 0 && asked < 2000 ? TrialResources{} : TrialResources{.num_gpus = 1}; };
    CHECK(has(error_of([&] { simulate(endless, decaying(2), {.workers = 1}); }), "could not be started"));
    CHECK(asked == 1800 + 1000);
    endless.num_samples = 1500;  // where there is an end, it comes
    const Simulation ended = simulate(endless, decaying(2), {.workers = 1});
    CHECK(ended.grid.size() == 1500);
    CHECK(ended.grid.errors().size() == 1500);
  }

  TEST_CASE("num_samples is the number of trials also with a searcher of one's own that does not count") {
    const SearcherSpec unending{"unending", "unending", [](const SearcherContext&) { return std::make_unique<Unending>(); }};
    TuneOptions tuned = options(3);
    const SearcherSpec all[] = {unending, limit_concurrency(unending, 2), limit_concurrency(unending, 2, {.batch = true}), repeat(unending, 2)};
    for (const SearcherSpec& searcher : all) {
      CAPTURE(searcher.description);
      tuned.searcher = searcher;
      CHECK(simulate(tuned, decaying(2), {.workers = 2}).grid.size() == 3);
    }
    tuned.searcher = unending, tuned.num_samples = -1, tuned.time_budget_s = 1000;
    CHECK(simulate(tuned, decaying(2)).grid.size() == 50);  // without end: until it says so itself
    tuned.searcher = random_search(), tuned.num_samples = 2, tuned.space = {{"x", grid_search({0.1, 0.2, 0.3})}};
    CHECK(simulate(tuned, decaying(2)).grid.size() == 6);
    tuned.searcher = repeat(random_search(), 2);
    CHECK(simulate(tuned, decaying(2)).grid.size() == 6);  // one sample of the grid of three, twice each
  }

  TEST_CASE("a searcher, scheduler or stopper whose make gives none is refused by name") {
    const SearcherSpec searcher{"mine", "mine", [](const SearcherContext&) { return std::unique_ptr<Searcher>(); }};
    const SchedulerSpec scheduler{"mine", "mine", [](const SchedulerContext&) { return std::unique_ptr<Scheduler>(); }};
    const StopperSpec stopper{"mine", "mine", [](const StopperContext&) { return std::unique_ptr<Stopper>(); }};
    const auto refusal = [](auto change) {
      TuneOptions tuned = options(2);
      change(tuned);
      return error_of([&] { simulate(tuned, decaying(2)); });
    };
    const std::string none = "'mine' makes none: its make returned null";
    for (const SearcherSpec& each : {searcher, limit_concurrency(searcher, 2), repeat(searcher, 2)})
      CHECK(has(refusal([&](TuneOptions& tuned) { tuned.searcher = each; }), "the searcher " + none));
    for (const SchedulerSpec& each : {scheduler, resource_changing({.scheduler = scheduler})})
      CHECK(has(refusal([&](TuneOptions& tuned) { tuned.scheduler = each; }), "the scheduler " + none));
    for (const StopperSpec& each : {stopper, any_of({stopper})})
      CHECK(has(refusal([&](TuneOptions& tuned) { tuned.stop = each; }), "the stopper " + none));
  }
}
