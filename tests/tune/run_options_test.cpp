// The options of a run on the real runtime: resources, limits, reuse, callbacks.
#include <doctest/doctest.h>

#include <set>

#include "run_support.hpp"
#include "search_support.hpp"
#include "trainables.hpp"
#include "tune/schedulers/resource_changing.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;

namespace {

#ifdef MANTA_SANITIZED
constexpr bool kSlow = true;
#else
constexpr bool kSlow = false;
#endif

using Fixture = RunFixture;

class PauseAt2 final : public Scheduler {
 public:
  Verdict on_result(TrialIndex trial, const ResultView& result) override {
    if (result.iteration != 2) return {};
    waiting_.push_back(trial);
    return Decision::kPause;
  }
  Verdict on_idle() override {
    Verdict verdict;
    verdict.resume = waiting_;
    return verdict;
  }
  std::string save() const override { return {}; }
  void restore(std::string_view) override {}

 private:
  std::vector<TrialIndex> waiting_;
};

SchedulerSpec pause_at_2() {
  return {"pause", "pause", [](const SchedulerContext&) { return std::make_unique<PauseAt2>(); }};
}

class GiveMore final : public Scheduler {
 public:
  Verdict on_result(TrialIndex, const ResultView& result) override {
    if (result.iteration != 1) return {};
    Verdict verdict = Decision::kPause;
    verdict.resources = TrialResources{.num_cpus = 2};
    return verdict;
  }
  std::string save() const override { return {}; }
  void restore(std::string_view) override {}
};

}  // namespace

TEST_SUITE("tune/run") {
  TEST_CASE("a trial in a process of its own tells its results to the driver's desk; one in this process needs none") {
    RunFixture fixture;
    for (const Isolation isolation : {own_process, Isolation::kShared}) {
      TuneOptions options = fixture.options(isolation);
      options.name = isolation == own_process ? "processes" : "threads";
      const ResultGrid grid = run<train_at_desk>(fixture.rt, options);
      CHECK(grid.errors().empty());
      for (const TrialResult& trial : grid.trials()) {
        CHECK(trial.iterations == 2);
        CHECK(trial.metrics.get("connected") == (isolation == own_process ? 1 : 0));
      }
    }
  }

  TEST_CASE("a class that is paused is saved, and goes on where it was on another worker") {
    for (const Isolation isolation : {own_process, Isolation::kShared}) {
      Fixture fixture;
      TuneOptions options = fixture.options(isolation);
      options.metric = "value";
      options.space = Space{{"by", grid_search({1, 10})}};
      options.num_samples = 1;
      options.max_iterations = 4;
      options.checkpoints.frequency = 0;
      options.scheduler = pause_at_2();
      const ResultGrid grid = run<Counter>(fixture.rt, options, "four");
      CHECK(*grid[0].metrics.get("value") == 8);
      CHECK(*grid[1].metrics.get("value") == 44);
      CHECK(std::stod(text_of(grid[1].checkpoint_dir.value() / "value")) == 24);
      CHECK(lines_of(grid[1].dir / "result.jsonl").size() == 4);
    }
  }

  TEST_CASE("a class that is stopped saves itself once more when that is wanted") {
    Fixture fixture;
    TuneOptions options = fixture.options();
    options.metric = "value";
    options.space = Space{{"by", 10}};
    options.num_samples = 1;
    options.max_iterations = 3;
    options.checkpoints = {.frequency = 0, .at_end = true};
    const ResultGrid grid = run<Counter>(fixture.rt, options, "four");
    CHECK(std::stod(text_of(grid[0].checkpoint_dir.value() / "value")) == 34);
    CHECK(grid[0].best_checkpoint_dir == grid[0].checkpoint_dir);
  }

  TEST_CASE("a trial that the scheduler gives more resources really has them") {
    Fixture fixture;
    TuneOptions options = fixture.options();
    options.num_samples = 2;
    options.scheduler = {"more", "more", [](const SchedulerContext&) { return std::make_unique<GiveMore>(); }};
    const ResultGrid grid = run<train_telling>(fixture.rt, options);
    for (const TrialResult& trial : grid.trials()) {
      CAPTURE(trial.error);
      CHECK(lines_of(trial.dir / "seen") == std::vector<std::string>{"cpus 1 gpus", "cpus 2 gpus"});
    }
  }

  TEST_CASE("an experiment whose scheduler shares the machine out is not resumed where there is more or less of it") {
    const TempDir dir;
    const auto run_on = [&](int cpus, bool resume) {
      Fixture fixture(cpus);
      TuneOptions options = fixture.options();
      options.results_dir = dir.path();
      options.resume = resume;
      options.scheduler = resource_changing();
      return error_of([&] { (void)run<train_curve>(fixture.rt, options); });
    };
    CHECK(run_on(2, false).empty());
    CHECK(has(run_on(3, true), "CPUs, GPUs"));
    CHECK(run_on(2, true).empty());
  }

  TEST_CASE("the best checkpoint of a resumed experiment is one that is there, also when more shall be kept than before") {
    Fixture fixture;
    TuneOptions options = fixture.options();
    options.num_samples = 1;
    options.checkpoints.score_attribute = "t";  // the first is the best, and only the last is kept
    for (const bool resume : {false, true}) {
      options.resume = resume;
      options.checkpoints.num_to_keep = resume ? 9 : 1;
      const ResultGrid grid = run<train_curve>(fixture.rt, options);
      CHECK(grid[0].best_checkpoint_dir == grid[0].checkpoint_dir);
      CHECK(std::filesystem::is_directory(grid[0].best_checkpoint_dir.value()));
    }
  }

  TEST_CASE("two trials share a GPU by halves, and one that asks for a whole one waits for it") {
    Fixture fixture(4, 1);
    TuneOptions options = fixture.options();
    options.space = Space{{"gpus", grid_search({0.5, 0.5, 1.0})}};
    options.num_samples = 1;
    options.resources_of = [](const Config& config) { return TrialResources{.num_gpus = config.get<double>("gpus")}; };
    const ResultGrid grid = run<train_telling>(fixture.rt, options);
    for (const TrialResult& trial : grid.trials()) {
      CAPTURE(trial.error);
      CHECK(lines_of(trial.dir / "seen") == std::vector<std::string>{"cpus 1 gpus 0"});
    }
  }

  TEST_CASE("a trial with bundles has a placement group, and its own tasks run in it") {
    Fixture fixture(4);
    TuneOptions options = fixture.options();
    options.num_samples = 3;
    options.resources = {.bundles = {{.num_cpus = 1}, {.num_cpus = 1}}};
    std::size_t running = 0, peak = 0;
    struct Peak final : Callback {
      Peak(std::size_t& r, std::size_t& p) : running(r), peak(p) {}
      void on_trial_start(const Trial&) override { peak = std::max(peak, ++running); }
      void on_trial_complete(const Trial&) override { --running; }
      std::size_t &running, &peak;
    };
    options.callbacks = {std::make_shared<Peak>(running, peak)};
    const ResultGrid grid = run<train_in_bundles>(fixture.rt, options);
    for (const TrialResult& trial : grid.trials()) {
      CAPTURE(trial.error);
      CHECK(trial.metrics.get("loss") == 42.0);
    }
    CHECK(peak == 2);
    CHECK(fixture.rt.placement_groups().empty());
    options.name = "too_much";
    options.resources.bundles.push_back({.num_cpus = 9});
    CHECK(has(error_of([&] { (void)run<train_in_bundles>(fixture.rt, options); }), "11 CPU"));
  }

  TEST_CASE("an actor is used again: a class by reset_config, a function in the same process") {
    Fixture fixture;
    TuneOptions options = fixture.options(own_process);
    options.reuse_actors = true;
    options.max_concurrent = 1;
    const auto processes = [](const ResultGrid& grid) {
      std::set<double> pids;
      for (const TrialResult& trial : grid.trials()) pids.insert(trial.metrics.get("pid").value());
      return pids.size();
    };
    options.name = "function";
    CHECK(processes(run<train_pid>(fixture.rt, options)) == 1);
    options.max_iterations = 2;
    options.name = "class", options.space = Space{{"reset", grid_search({true, true, false})}}, options.num_samples = 1;
    const ResultGrid grid = run<Resettable>(fixture.rt, options);
    CHECK(processes(grid) == 1);
    CHECK(grid[0].metrics.get("setups") == 1.0);  // the object: 1 made, 0 resets
    CHECK(grid[0].metrics.get("resets") == 0.0);
    CHECK(grid[1].metrics.get("setups") == 1.0);
    CHECK(grid[1].metrics.get("resets") == 1.0);
    CHECK(grid[2].metrics.get("setups") == 2.0);  // it would not be reset
    options.reuse_actors = false, options.name = "fresh";
    CHECK(processes(run<Resettable>(fixture.rt, options)) == 3);
  }

  TEST_CASE("a trial over its time limit is killed in the middle of whatever it does") {
    Fixture fixture;
    TuneOptions options = fixture.options(own_process);
    options.num_samples = 1;
    options.trial_time_limit_s = kSlow ? 5 : 1;  // its process must have started and reported by then
    const ResultGrid grid = run<train_stuck>(fixture.rt, options);
    CHECK(grid[0].state == TrialState::kTerminated);
    CHECK(grid[0].timed_out);
    CHECK(grid[0].metrics.get("loss") == 1.0);
    CHECK(has(grid[0].error, kSlow ? "time limit of 5 s" : "time limit of 1 s"));
  }

  TEST_CASE("without end: trials are made until the time budget is over") {
    Fixture fixture;
    TuneOptions options = fixture.options();
    options.num_samples = -1;
    options.time_budget_s = 0.3;
    const ResultGrid grid = run<train_curve>(fixture.rt, options);
    CHECK(grid.size() > 2);
    options.name = "refused", options.time_budget_s = 0;
    CHECK(has(error_of([&] { (void)run<train_curve>(fixture.rt, options); }), "num_samples is -1"));
  }

  TEST_CASE("num_samples is the number of trials also with a searcher of one's own that does not count, and a resume makes no more") {
    Fixture fixture;
    TuneOptions options = fixture.options();
    options.searcher = {"unending", "unending", [](const SearcherContext&) { return std::make_unique<Unending>(); }};
    CHECK(run<train_curve>(fixture.rt, options).size() == 4);
    options.resume = true;
    CHECK(run<train_curve>(fixture.rt, options).size() == 4);
  }

  TEST_CASE("an environment that no process can have is refused before the experiment begins") {
    Fixture fixture;
    TuneOptions options = fixture.options(own_process);
    const std::map<std::string, std::string> bad[] = {{{"A=B", "b"}}, {{"", "b"}}, {{std::string("A\0B", 3), "b"}}, {{"A", std::string("b\0", 2)}}};
    for (const auto& env : bad) {
      options.env = env;
      CHECK(has(error_of([&] { (void)run<train_curve>(fixture.rt, options); }), "no process can have"));
    }
    CHECK_FALSE(std::filesystem::exists(options.results_dir / options.name));
  }

  TEST_CASE("fail_fast ends the others; asked to raise, it throws the trial's error") {
    for (const FailFast how : {FailFast::kOn, FailFast::kRaise}) {
      Fixture fixture;
      TuneOptions options = fixture.options();
      options.space = Space{{"x", uniform(0, 1)}, {"fault", grid_search({"throw", "none", "none", "none", "none"})}};
      options.num_samples = 1;
      options.max_concurrent = 1;
      options.fail_fast = how;
      const std::string marks = fixture.dir.path().string();
      if (how == FailFast::kRaise) {
        const std::string text = error_of([&] { (void)run<train_faulty>(fixture.rt, options, marks); });
        CHECK(has(text, "the data is bad"));
        CHECK(has(text, ". The others were ended"));
        continue;
      }
      const ResultGrid grid = run<train_faulty>(fixture.rt, options, marks);
      CHECK(grid.errors().size() == 1);
      CHECK(grid[4].iterations == 0);
    }
  }

  TEST_CASE("results may be told several at a time; all of them are there") {
    Fixture fixture;
    TuneOptions options = fixture.options();
    options.buffer_results = 50;
    const ResultGrid grid = run<train_quickly>(fixture.rt, options);
    for (const TrialResult& trial : grid.trials()) {
      CHECK(trial.iterations == 1000);
      CHECK(trial.metrics.get("loss") == 1000.0);
      CHECK(lines_of(trial.dir / "result.jsonl").size() == 1000);
    }
  }
}
