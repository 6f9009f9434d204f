#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "runtime/errors.hpp"
#include "support.hpp"
#include "tune/schedulers/budget.hpp"
#include "tune/searchers/dehb.hpp"
#include "tune/searchers/wrappers.hpp"
#include "tune/simulation.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;

namespace {

double sphere(const std::vector<double>& x) {
  double sum = 0;
  for (double one : x) sum += (one - 0.3) * (one - 0.3);
  return sum;
}

}  // namespace

TEST_SUITE("tune/searchers") {
  TEST_CASE("budgets and brackets are HpBandSter's") {
    Random random(1);
    const DehbMachine machine(2, {.min_budget = 1, .max_budget = 81}, 0.5, 0.5, random);
    CHECK(machine.budgets() == std::vector<double>{1, 3, 9, 27, 81});
    CHECK(machine.rungs_of(0) == std::vector<std::size_t>{81, 27, 9, 3, 1});
    CHECK(machine.rungs_of(1) == std::vector<std::size_t>{27, 9, 3, 1});
    CHECK(machine.rungs_of(2) == std::vector<std::size_t>{9, 3, 1});
    CHECK(machine.rungs_of(3) == std::vector<std::size_t>{6, 2});
    CHECK(machine.rungs_of(4) == std::vector<std::size_t>{5});
    CHECK(machine.rungs_of(5) == machine.rungs_of(0));
    CHECK(machine.population_size(0) == 81);
    CHECK(machine.population_size(4) == 5);
    CHECK(dehb_budgets({.min_budget = 2, .max_budget = 20}) == std::vector<double>{20.0 / 9, 20.0 / 3, 20});
    CHECK(dehb_budgets({.min_budget = 5, .max_budget = 5}) == std::vector<double>{5});
  }

  TEST_CASE("in the first brackets a rung is the best of the one below; then every rung evolves") {
    Random random(2);
    DehbMachine machine(3, {.min_budget = 1, .max_budget = 9}, 0.5, 0.5, random);
    std::vector<std::pair<double, std::vector<double>>> first;
    for (int i = 0; i < 9; ++i) {
      const auto job = machine.ask(random);
      REQUIRE(job.level == 0);
      first.emplace_back(sphere(job.point), job.point);
      machine.tell(job, sphere(job.point));
    }
    std::sort(first.begin(), first.end());
    for (int i = 0; i < 3; ++i) {
      const auto job = machine.ask(random);
      CHECK(job.level == 1);
      CHECK(job.point == first[static_cast<std::size_t>(i)].second);
      machine.tell(job, sphere(job.point));
    }
    const auto top = machine.ask(random);
    CHECK(top.level == 2);
    CHECK(top.point == first[0].second);
    machine.tell(top, sphere(top.point));
    // Brackets 1 and 2: 3 + 1 at the middle budget, 3 at the largest. From bracket 3 on a rung above the first is no copy.
    std::set<std::vector<double>> known;
    for (int i = 0; i < 200; ++i) {
      const auto job = machine.ask(random);
      if (job.bracket >= 3) CHECK_FALSE((job.level == 2 && known.contains(job.point)));
      for (double gene : job.point) REQUIRE((gene >= 0 && gene <= 1));
      known.insert(job.point);
      machine.tell(job, sphere(job.point));
    }
  }

  TEST_CASE("a rung waits for the one below it; meanwhile the next bracket begins") {
    Random random(3);
    DehbMachine machine(2, {.min_budget = 1, .max_budget = 9}, 0.5, 0.5, random);
    std::vector<DehbMachine::Job> jobs;
    for (int i = 0; i < 9; ++i) jobs.push_back(machine.ask(random));
    const auto next = machine.ask(random);  // the nine are out: bracket 1 begins, at its own first rung
    CHECK(next.bracket == 1);
    CHECK(next.level == 1);
    for (const auto& job : jobs) machine.tell(job, sphere(job.point));
    const auto up = machine.ask(random);
    CHECK(up.bracket == 0);
    CHECK(up.level == 1);
  }

  TEST_CASE("a child takes its parent's place only if it is not worse; NaN never does over a number") {
    Random random(4);
    DehbMachine machine(1, {.min_budget = 1, .max_budget = 1}, 0.5, 0.9, random);
    std::vector<DehbMachine::Job> first;
    for (int i = 0; i < 1; ++i) first.push_back(machine.ask(random));
    machine.tell(first[0], 5);
    StateWriter before;
    machine.save(before);
    auto job = machine.ask(random);
    job.parent = first[0].parent;
    machine.tell(job, NAN);
    machine.tell(job, 6);
    StateWriter after;
    machine.save(after);
    CHECK(after.text().find(StateWriter().put(5.0).text()) != std::string::npos);
    machine.tell(job, 5);
    StateWriter replaced;
    machine.save(replaced);
    CHECK(replaced.text().find(StateWriter().put(job.point).text()) != std::string::npos);
  }

  TEST_CASE("DEHB finds the smallest value with few evaluations at the largest budget") {
    Random random(5);
    DehbMachine machine(4, {.min_budget = 1, .max_budget = 27}, 0.5, 0.5, random);
    double best = INFINITY;
    for (int i = 0; i < 2000; ++i) {
      const auto job = machine.ask(random);
      if (job.level == 3) best = std::min(best, sphere(job.point));
      machine.tell(job, sphere(job.point));
    }
    CHECK(best < 1e-3);
  }

  TEST_CASE("every configuration has its budget, the scheduler stops there and calls it a rung") {
    const DehbOptions options{.schedule = {.min_budget = 1, .max_budget = 9}};
    const SearcherContext context{.space = {{"x", uniform(0, 1)}}, .objectives = {{"loss", Mode::kMin}}, .num_samples = 1000, .seed = 1, .concurrency = 2};
    auto searcher = dehb(options).make(context);
    auto scheduler = stop_at_budget({.parameter = options.budget_parameter}).make({"loss", Mode::kMin, 1});
    std::map<double, int> trials_of;
    for (TrialIndex trial = 0; trial < 40; ++trial) {
      const Config config = searcher->suggest(trial).config;
      const double budget = config.get<double>("budget");
      ++trials_of[budget];
      scheduler->on_trial_add(trial, config);
      for (std::uint64_t iteration = 1; iteration <= 9; ++iteration) {
        const Metrics metrics{{"loss", std::abs(config.get<double>("x") - 0.7) + 1.0 / static_cast<double>(iteration)}};
        const ResultView result{.iteration = iteration, .time_total_s = 1, .metrics = metrics};
        const Verdict verdict = scheduler->on_result(trial, result);
        if (verdict.decision != Decision::kStop) continue;
        CHECK(static_cast<double>(iteration) == budget);
        CHECK(verdict.rung == budget);
        searcher->on_complete(trial, &result, verdict.rung);
        break;
      }
    }
    CHECK(trials_of[1] == 18);  // brackets of 9 + 3 + 1, 3 + 1 and 3 trials, then the first again
    CHECK(trials_of[3] == 3 + 3 + 3 + 3);
    CHECK(trials_of[9] == 40 - 18 - 12);
    auto restored = stop_at_budget({}).make({"loss", Mode::kMin, 1});
    Config config;
    config.set("budget", 3.0);
    scheduler->on_trial_add(100, config);
    restored->restore(scheduler->save());
    CHECK_THROWS_AS(stop_at_budget({}).make({"loss", Mode::kMin, 1})->restore("1 4294967296 0"), StorageCorruption);  // no trial has that number
    const Metrics metrics{{"loss", NAN}};
    CHECK(restored->on_result(100, {.iteration = 2, .time_total_s = 1, .metrics = metrics}).decision == Decision::kContinue);
    CHECK(restored->on_result(100, {.iteration = 4, .time_total_s = 1, .metrics = metrics}).rung == 3);
  }

  TEST_CASE("the budgets stop a trainable that has no end of its own, where every configuration has one") {
    // Behaviour: DEHB with its partner was refused there, "nothing stops it".
    const SimulatedTrainable endless{.step = [](SimulatedStep& step) {
      return SimulatedResult{{{"loss", std::abs(step.config.get<double>("x") - 0.7) + 1.0 / static_cast<double>(step.iteration)}}};
    }};
    TuneOptions options{.metric = "loss", .num_samples = 60, .space = {{"x", uniform(0, 1)}}, .scheduler = stop_at_budget(), .seed = 1};
    const auto refused = [&](SchedulerSpec scheduler) {
      options.scheduler = std::move(scheduler);
      return error_of([&] { simulate(options, endless); });
    };
    for (const bool wrapped : {false, true}) {
      options.searcher = dehb({.schedule = {.min_budget = 1, .max_budget = 27}});
      if (wrapped) options.searcher = limit_concurrency(options.searcher, 2);
      const Simulation done = simulate(options, endless, {.workers = 3});
      for (const TrialResult& trial : done.grid.trials())
        CHECK(static_cast<double>(trial.iterations) == trial.config.get<double>("budget"));
    }
    CHECK(has(refused(stop_at_budget({.parameter = "epochs"})), "nothing stops it"));
    CHECK(has(refused(fifo()), "nothing stops it"));
    options.searcher = random_search();
    CHECK(has(refused(stop_at_budget()), "nothing stops it"));
    options.space.add("budget", randint(2, 5), when_at_least("x", 0.01));  // nearly always there
    CHECK(has(refused(stop_at_budget()), "nothing stops it"));
    options.space = {{"x", uniform(0, 1)}, {"budget", choice({2, 3.5, "all"})}};
    CHECK(has(refused(stop_at_budget()), "nothing stops it"));
    options.space = {{"x", uniform(0, 1)}, {"budget", choice({2, 3.5})}};
    const Simulation done = simulate(options, endless);
    for (const TrialResult& trial : done.grid.trials()) CHECK((trial.iterations == 2 || trial.iterations == 4));
  }

  TEST_CASE("what a function draws and is forbidden changes neither the budgets nor whose result is told") {
    // Behaviour: after twenty forbidden configurations the whole point was drawn anew, the budget too, and the job kept the old.
    const DehbOptions options{.schedule = {.min_budget = 1, .max_budget = 27}};
    const auto budgets_of = [&](bool forbids) {
      Space space{{"x", uniform(0, 1)}, {"params", sample_from([](const Config& c) { return c.get<double>("x") > 0.2 ? "many" : "few"; })}};
      if (forbids) space.add(forbid({{"params", "many"}}));
      const auto searcher = dehb(options).make({.space = space, .objectives = {{"loss", Mode::kMin}}, .num_samples = 1000, .seed = 3});
      std::vector<double> budgets;
      for (TrialIndex trial = 0; trial < 60; ++trial) {
        const Config config = searcher->suggest(trial).config;
        const double x = config.get<double>("x");
        if (forbids) CHECK(x <= 0.2);
        CHECK(searcher->save().find(StateWriter().put(std::vector<double>{x}).text()) != std::string::npos);  // the job's point
        budgets.push_back(config.get<double>("budget"));
        const Metrics metrics{{"loss", x}};
        const ResultView result{.iteration = 1, .time_total_s = 1, .metrics = metrics};
        searcher->on_complete(trial, &result, budgets.back());
      }
      return budgets;
    };
    const std::vector<double> budgets = budgets_of(true);
    CHECK(std::count(budgets.begin(), budgets.begin() + 27, 1) == 27);
    CHECK(budgets == budgets_of(false));
  }
}
