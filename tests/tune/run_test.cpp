#include <doctest/doctest.h>

#include <chrono>
#include <cmath>
#include <set>
#include <thread>

#include "run_support.hpp"
#include "trainables.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;
namespace fs = std::filesystem;

namespace {

struct Fixture : RunFixture {
  TuneOptions options(Isolation isolation = own_process) const { return RunFixture::options(isolation); }
};

template <class F>
bool eventually(F condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!condition() && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return condition();
}

/// The last actors go shortly after their last words.
bool becomes_idle(Runtime& rt) {
  return eventually([&] { return rt.available_resources() == rt.total_resources(); });
}

std::set<std::string> names_in(const fs::path& dir) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(dir)) names.insert(entry.path().filename().string());
  return names;
}

}  // namespace

TEST_SUITE("tune/run") {
  TEST_CASE("a function is tuned in processes of its own and on threads alike, and its files are there") {
    for (Isolation isolation : {own_process, Isolation::kShared}) {
      Fixture fixture;
      const ResultGrid grid = run<train_curve>(fixture.rt, fixture.options(isolation));
      REQUIRE(grid.size() == 4);
      std::set<double> xs;
      for (const TrialResult& trial : grid.trials()) {
        CAPTURE(trial.error);
        CHECK(trial.state == TrialState::kTerminated);
        CHECK(trial.iterations == kIterations);
        const double x = trial.config.get<double>("x");
        xs.insert(x);
        CHECK(*trial.metrics.get("loss") == x + 1.0 / kIterations);
        CHECK(text_of(trial.checkpoint_dir.value() / "t") == std::to_string(kIterations));
        std::set<std::string> expected{"params.json", "result.jsonl", "progress.csv", "events.out.tfevents.manta",
                                       "checkpoint_000006"};
        if (isolation == own_process) {
          expected.insert("trial.log");  // comes through a pipe, so perhaps a little later
          CHECK(eventually([&] { return has(text_of(trial.log_file), "hello from " + trial.name); }));
        }
        CHECK(names_in(trial.dir) == expected);
        CHECK(lines_of(trial.dir / "result.jsonl").size() == kIterations);
      }
      CHECK(xs.size() == 4);
      CHECK(grid.best().config.get<double>("x") == *xs.begin());
      CHECK(becomes_idle(fixture.rt));
    }
  }

  TEST_CASE("one seed, one trial at a time: the same table twice") {
    std::string first;
    for (int round = 0; round < 2; ++round) {
      Fixture fixture;
      TuneOptions options = fixture.options(Isolation::kShared);
      options.max_concurrent = 1;
      options.num_samples = 8;
      options.scheduler = asha({.max_t = 4, .reduction_factor = 2});
      auto table = run<train_curve>(fixture.rt, options).table();
      const auto time = std::find(table[0].begin(), table[0].end(), "time_total_s") - table[0].begin();
      std::string text;
      for (auto& row : table) {
        row.erase(row.begin() + time);
        for (const std::string& cell : row) text += cell + ",";
      }
      if (round == 0) first = text;
      CHECK(text == first);
      CHECK(has(text, "TERMINATED"));
    }
  }

  TEST_CASE("ASHA stops most trials early and the best of them goes to max_t") {
    Fixture fixture;
    TuneOptions options = fixture.options(Isolation::kShared);
    options.num_samples = 12;
    options.scheduler = asha({.max_t = 5, .reduction_factor = 2});
    const ResultGrid grid = run<train_curve>(fixture.rt, options);
    std::uint64_t sum = 0;
    for (const TrialResult& trial : grid.trials()) sum += trial.iterations;
    CHECK(sum < 12 * 5);
    CHECK(grid.best().iterations == 5);
  }

  TEST_CASE("a class is stepped until max_iterations, saved and given its extra argument") {
    Fixture fixture;
    TuneOptions options = fixture.options();
    options.metric = "value";
    options.space = Space{{"by", grid_search({1, 10})}};
    options.num_samples = 1;
    options.max_iterations = 3;
    options.checkpoints.frequency = 2;
    const ResultGrid grid = run<Counter>(fixture.rt, options, "four");
    REQUIRE(grid.size() == 2);
    CHECK(*grid[1].metrics.get("value") == 34);
    CHECK(std::stod(text_of(grid[1].checkpoint_dir.value() / "value")) == 24);
    options.name = "endless", options.max_iterations = 0;
    CHECK(has(error_of([&] { (void)run<Counter>(fixture.rt, options, "four"); }), "max_iterations"));
    CHECK_FALSE(fs::exists(fixture.dir.path() / "endless"));
  }

  TEST_CASE("a class is given what a ref among its extra arguments refers to, or the ref where that is what it takes") {
    for (Isolation isolation : {own_process, Isolation::kShared}) {
      Fixture fixture;
      TuneOptions options = fixture.options(isolation);
      options.num_samples = 1;
      options.max_iterations = 1;
      const auto weights = fixture.rt.put(std::vector<double>{4, 5});
      const ResultGrid grid = run<Weighted>(fixture.rt, options, weights, fixture.rt.put(0.5));
      CHECK(*grid[0].metrics.get("loss") == 9);
      CHECK(*grid[0].metrics.get("more") == 0.5);
    }
  }

  TEST_CASE("a trial that is killed goes on from its last checkpoint; one that may not is an error that names the signal") {
    for (std::int64_t max_failures : {1, 0}) {
      Fixture fixture;
      TuneOptions options = fixture.options();
      options.space = Space{{"x", uniform(0, 1)}, {"fault", grid_search({"kill", "throw", "none"})}};
      options.num_samples = 1;
      options.max_failures = max_failures;
      const ResultGrid grid = run<train_faulty>(fixture.rt, options, fixture.dir.path().string());
      REQUIRE(grid.size() == 3);
      CHECK(has(text_of(grid[0].dir / "error.txt"), "signal 9"));
      CHECK_FALSE(has(text_of(grid[0].dir / "error.txt"), "make a new one"));  // that is for who spawned an actor
      CHECK(has(text_of(grid[1].dir / "error.txt"), "the data is bad"));
      for (std::size_t i = 0; i < 2; ++i) {
        CAPTURE(grid[i].error);
        CHECK(grid[i].failures == 1);
        CHECK(grid[i].state == (max_failures ? TrialState::kTerminated : TrialState::kError));
        CHECK(lines_of(grid[i].dir / "result.jsonl").size() == (max_failures ? kIterations : 3));
        CHECK(grid[i].checkpoint_dir.has_value());
      }
      CHECK(grid[2].state == TrialState::kTerminated);
      CHECK(grid.errors().size() == (max_failures ? 0 : 2));
      CHECK(grid.best().metrics.contains("loss"));
    }
  }

  TEST_CASE("a further objective that is never reported is told like the metric") {
    Fixture fixture;
    TuneOptions options = fixture.options(Isolation::kShared);
    options.space = Space{{"x", uniform(0, 1)}, {"fault", "none"}};
    options.further_objectives = {{"secnds", Mode::kMin}};
    options.num_samples = 1;
    const ResultGrid grid = run<train_faulty>(fixture.rt, options, fixture.dir.path().string());
    CHECK(grid[0].state == TrialState::kError);
    CHECK(has(grid[0].error, "no metric 'secnds'"));
    CHECK(has(grid[0].error, "further_objectives"));
  }

  TEST_CASE("NaN, a metric that is never reported, no report at all: each is told, none stops the others") {
    Fixture fixture;
    TuneOptions options = fixture.options(Isolation::kShared);
    options.space = Space{{"x", uniform(0, 1)}, {"fault", grid_search({"nan", "no_metric", "silent", "none"})}};
    options.num_samples = 1;
    const ResultGrid grid = run<train_faulty>(fixture.rt, options, fixture.dir.path().string());
    CHECK(grid[0].state == TrialState::kTerminated);
    CHECK(std::isnan(*grid[0].metrics.get("loss")));
    CHECK(has(text_of(grid[0].dir / "result.jsonl"), "\"loss\":\"NaN\""));
    CHECK(has(grid[1].error, "no metric 'loss'"));
    CHECK(has(grid[1].error, "accuracy"));
    CHECK(has(grid[2].error, "without one result"));
    CHECK(grid.best().index == 3);
    options.name = "all_bad", options.space = Space{{"x", 1}, {"fault", "no_metric"}};
    const ResultGrid bad = run<train_faulty>(fixture.rt, options, fixture.dir.path().string());
    CHECK_THROWS_AS((void)bad.best(), NotFound);
    CHECK(has(error_of([&] { (void)bad.best(); }), "no metric 'loss'"));
  }

  TEST_CASE("what can never work is refused before anything starts") {
    Fixture fixture;
    const auto refused = [&](auto change) {
      TuneOptions options = fixture.options();
      change(options);
      const std::string text = error_of([&] { (void)run<train_curve>(fixture.rt, options); });
      CHECK(fs::is_empty(fixture.dir.path()));
      return text;
    };
    CHECK(has(refused([](TuneOptions& o) { o.resources.num_gpus = 1; }), "needs 1 GPU, but there is 0"));
    CHECK(has(refused([](TuneOptions& o) { o.resources.num_cpus = 99; }), "99 CPU"));
    CHECK(has(refused([](TuneOptions& o) { o.space = Space{{"lr", loguniform(0, 1)}}; }), "'lr'"));
    CHECK(has(refused([](TuneOptions& o) { o.space = Space{{"b", choice({})}}; }), "'b'"));
    CHECK(has(refused([](TuneOptions& o) { o.num_samples = 0; }), "num_samples"));
    CHECK(has(refused([](TuneOptions& o) { o.scheduler = asha({.max_t = -1}); }), "max_t"));
    CHECK(has(refused([](TuneOptions& o) { o.scheduler = asha(); o.metric.clear(); }), "metric"));
    CHECK(has(refused([](TuneOptions& o) { o.checkpoints.num_to_keep = 0; }), "num_to_keep"));
    CHECK(has(refused([](TuneOptions& o) { o.stop_grace_s = -1; }), "stop_grace_s"));
    CHECK(has(refused([](TuneOptions& o) { o.callbacks = {nullptr}; }), "null pointer"));
    CHECK(has(refused([](TuneOptions& o) { o.reporter.interval_s = -0.5; }), "reporter.interval_s is -0.5"));
    CHECK(has(refused([](TuneOptions& o) { o.reporter.interval_s = std::nan(""); }), "reporter.interval_s is nan"));
    CHECK(has(refused([](TuneOptions& o) { o.space = Space{{"n", qrandint(0, 10, 0)}}; }), "q must be a number above 0"));
    CHECK(has(refused([](TuneOptions& o) { o.scheduler = median_stopping({.grace_period = -1}); }), "grace_period is -1"));
    CHECK(has(refused([](TuneOptions& o) { o.scheduler = percentile_stopping({.n_warmup_steps = std::nan("")}); }), "n_warmup_steps is nan"));
    CHECK(has(refused([](TuneOptions& o) { o.scheduler = percentile_stopping({.time_attr = ""}); }), "time_attr"));
    CHECK(has(refused([](TuneOptions& o) { o.scheduler = pbt({.burn_in_period = -1, .hyperparam_mutations = {{"lr", uniform(0, 1)}}}); }), "burn_in_period is -1"));
    CHECK(has(refused([](TuneOptions& o) {
                o.scheduler = pbt({.hyperparam_mutations = {{"lr", uniform(0, 1)}}, .perturbation_factors = {1.2, std::nan("")}});
              }), "perturbation_factors holds nan"));
    CHECK(has(refused([](TuneOptions& o) { o.results_dir.clear(); }), "results_dir"));
    CHECK(has(refused([](TuneOptions& o) { o.name.clear(), o.resume = true; }), "name"));
    CHECK(has(refused([](TuneOptions& o) { o.results_dir = "/proc/nowhere"; }), "/proc/nowhere"));
  }

  TEST_CASE("the directory of an experiment is taken up with resume only, and only by the same experiment") {
    Fixture fixture;
    TuneOptions options = fixture.options(Isolation::kShared);
    const ResultGrid first = run<train_curve>(fixture.rt, options);
    CHECK(has(error_of([&] { (void)run<train_curve>(fixture.rt, options); }), "--resume"));
    options.resume = true;
    const auto before = lines_of(first[0].dir / "result.jsonl");
    const ResultGrid again = run<train_curve>(fixture.rt, options);
    CHECK(again.table() == first.table());
    CHECK(lines_of(first[0].dir / "result.jsonl") == before);
    options.seed = 4;
    CHECK(has(error_of([&] { (void)run<train_curve>(fixture.rt, options); }), "seed: there '3', now '4'"));
    options.seed.reset();
    CHECK(run<train_curve>(fixture.rt, options).table() == first.table());
    CHECK(has(error_of([&] { (void)run<train_slowly>(fixture.rt, options, 0); }), "train_curve"));
  }

  TEST_CASE("shared worker processes host trials too") {
    TempDir dir;
    Runtime rt = Runtime::start(RuntimeOptions{.workers = Workers::kProcess, .num_cpus = 2, .num_gpus = 0});
    const ResultGrid grid = run<train_curve>(rt, {.name = "exp",
                                                  .metric = "loss",
                                                  .num_samples = 4,
                                                  .space = {{"x", uniform(0, 1)}},
                                                  .results_dir = dir.path(),
                                                  .isolation = Isolation::kShared,
                                                  .reporter = {.verbosity = Verbosity::kSilent}});
    for (const TrialResult& trial : grid.trials()) CHECK(trial.iterations == kIterations);
  }

  TEST_CASE("a trial may start tasks and actors of its own") {
    for (Isolation isolation : {own_process, Isolation::kShared}) {
      Fixture fixture;
      TuneOptions options = fixture.options(isolation);
      options.space = Space{{"n", 10}};
      options.num_samples = 1;
      const ResultGrid grid = run<train_with_tasks>(fixture.rt, options);
      CAPTURE(grid[0].error);
      CHECK(grid[0].metrics.get("loss") == 285.0);
      CHECK(grid[0].metrics.get("by_actor") == 1285.0);
    }
  }

  TEST_CASE("a trial that hangs when it is told to stop is killed") {
    Fixture fixture;
    TuneOptions options = fixture.options();
    options.num_samples = 2;
    options.max_iterations = 2;
    options.stop_grace_s = 0.2;
    const ResultGrid grid = run<train_deaf>(options);
    for (const TrialResult& trial : grid.trials()) CHECK(trial.state == TrialState::kTerminated);
  }
}
