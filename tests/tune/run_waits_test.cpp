// Runs where something else holds what the trials need, or is in their way: a busy machine, a trial that hangs, a task that calls
// tune::run, resources that nobody has, a directory that goes.
#include <doctest/doctest.h>

#include <set>
#include <thread>

#include "run_support.hpp"
#include "runtime/errors.hpp"
#include "trainables.hpp"
#include "tune/history.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;
namespace fs = std::filesystem;

namespace {

#ifdef MANTA_SANITIZED
constexpr double kLimit = 5;
#else
constexpr double kLimit = 1;
#endif

/// Holds its CPU until the file is there.
int hold_until(const std::string& file) {
  while (!fs::exists(file)) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  return 1;
}

/// Trial 0 does not come back before its directory's neighbour "released" is there; the others report at once.
void train_first_hangs(TrialContext& ctx, const Config& config) {
  if (config.get<int>("i") == 0) hold_until((ctx.dir().parent_path() / "released").string());
  ctx.report({{"loss", 1}});
}

int tune_in_a_task(Context& context, const std::string& results, bool own) {
  TuneOptions options{.name = "inner", .metric = "loss", .num_samples = 2, .space = {{"x", uniform(0, 1)}}, .results_dir = results, .isolation = own ? own_process : Isolation::kShared, .reporter = {.verbosity = Verbosity::kSilent}};
  const ResultGrid grid = run<train_curve>(context, options);
  int whole = 0;
  for (const TrialResult& trial : grid.trials()) whole += trial.iterations == kIterations;
  return whole;
}

/// Calls back once a trial has waited for longer than its limit.
class Waiter final : public Callback {
 public:
  explicit Waiter(fs::path file) : file_(std::move(file)) {}
  ~Waiter() override { thread_.join(); }
  void on_trial_start(const Trial&) override {
    if (thread_.joinable()) return;
    thread_ = std::thread([this] {
      std::this_thread::sleep_for(std::chrono::duration<double>(2 * kLimit));
      write_text(file_, "");
    });
  }

 private:
  fs::path file_;
  std::thread thread_;
};

}  // namespace

TEST_SUITE("tune/run") {
  TEST_CASE("the time limit does not count what a trial waits for its resources") {
    for (const Isolation isolation : {own_process, Isolation::kShared}) {
      RunFixture fixture(1);
      const fs::path released = fixture.dir.path() / "released";
      const auto held = fixture.rt.remote<hold_until>(released.string());
      TuneOptions options = fixture.options(isolation);
      options.num_samples = 2;
      options.trial_time_limit_s = kLimit;
      options.callbacks = {std::make_shared<Waiter>(released)};
      const ResultGrid grid = run<train_curve>(fixture.rt, options);
      CHECK(fixture.rt.get(held) == 1);
      for (const TrialResult& trial : grid.trials()) {
        CAPTURE(trial.error);
        CHECK(trial.state == TrialState::kTerminated);
        CHECK(trial.iterations == kIterations);
        CHECK_FALSE(trial.timed_out);
      }
    }
  }

  TEST_CASE("a trial that hangs on a shared worker is the only one that its time limit ends") {
    RunFixture fixture(1);
    TuneOptions options = fixture.options();
    options.space = Space{{"i", grid_search({0, 1, 2})}};
    options.num_samples = 1;
    options.trial_time_limit_s = kLimit;
    options.callbacks = {std::make_shared<Waiter>(fixture.dir.path() / "exp" / "released")};
    const ResultGrid grid = run<train_first_hangs>(fixture.rt, options);
    CHECK(grid[0].timed_out);
    CHECK(has(grid[0].error, "told to stop at its time limit of "));
    for (const std::size_t other : {1u, 2u}) {
      CHECK(grid[other].state == TrialState::kTerminated);
      CHECK(grid[other].iterations == 1);
    }
    CHECK(read_history(fixture.dir.path() / "exp").trials[1].iteration == 1);  // its journal can be read and gone on with
    options.resume = true, options.callbacks.clear();
    CHECK(run<train_first_hangs>(fixture.rt, options).table() == grid.table());
  }

  TEST_CASE("a trial in another process that hangs before it has said a word is ended at its time limit") {
    for (const Isolation isolation : {own_process, Isolation::kShared}) {
      const TempDir dir;
      Runtime rt = Runtime::start(RuntimeOptions{.workers = Workers::kProcess, .num_cpus = 1, .num_gpus = 0});
      TuneOptions options{.name = "exp", .metric = "loss", .num_samples = 1, .space = {{"i", 0}}, .results_dir = dir.path(), .isolation = isolation, .reporter = {.verbosity = Verbosity::kSilent}};
      options.trial_time_limit_s = kLimit;
      options.callbacks = {std::make_shared<Waiter>(dir.path() / "exp" / "released")};
      const ResultGrid grid = run<train_first_hangs>(rt, options);
      CHECK(grid[0].timed_out);
      CHECK(grid[0].iterations == 0);
    }
  }

  TEST_CASE("tune::run in a task that holds all CPUs lends them to its trials") {
    for (const Workers workers : {Workers::kThread, Workers::kProcess}) {
      for (const bool own : {false, true}) {
        const TempDir dir;
        Runtime rt = Runtime::start(RuntimeOptions{.workers = workers, .num_cpus = 1, .num_gpus = 0});
        CHECK(rt.get(rt.remote<tune_in_a_task>(dir.path().string(), own)) == 2);
      }
    }
  }

  TEST_CASE("resources that no trial can ever have are refused before any starts") {
    RunFixture fixture(2, 2);
    const auto refused = [&](TrialResources resources) {
      TuneOptions options = fixture.options();
      options.resources = std::move(resources);
      const std::string text = error_of([&] { (void)run<train_curve>(fixture.rt, options); });
      CHECK(fs::is_empty(fixture.dir.path()));
      return text;
    };
    CHECK(has(refused({.num_gpus = 1.5}), "1.5 GPUs: more than one must be a whole number"));
    CHECK(has(refused({.bundles = {{.num_cpus = 1, .num_gpus = 1.5}}}), "1.5 GPUs"));
    CHECK(has(refused({.bundles = {{.num_cpus = 1}, {.num_cpus = 0}}}), "bundle 1: it holds nothing"));
    CHECK(has(refused({.bundles = {{.num_cpus = 1}, {.num_cpus = 1}}, .strategy = PlacementStrategy::kStrictSpread}), "TuneOptions::resources"));
    TuneOptions options = fixture.options();
    options.resources = {.num_cpus = 0};
    CHECK(run<train_curve>(fixture.rt, options).size() == 4);
  }

  TEST_CASE("resources that differ by trial fail the one that can never have them, at once and for good") {
    RunFixture fixture(2, 2);
    TuneOptions options = fixture.options();
    options.max_failures = -1;
    options.space = Space{{"x", 1}, {"gpus", grid_search({0.5, 1.5})}}, options.num_samples = 1;
    options.resources_of = [](const Config& config) { return TrialResources{.num_cpus = 1, .num_gpus = config.get<double>("gpus")}; };
    const ResultGrid grid = run<train_curve>(fixture.rt, options);
    CHECK(grid[0].state == TrialState::kTerminated);
    CHECK(grid[1].state == TrialState::kError);
    CHECK(grid[1].failures == 1);
  }

  TEST_CASE("runs without a name in one second get names of their own") {
    RunFixture fixture;
    TuneOptions options = fixture.options();
    options.name.clear();
    options.num_samples = 1;
    std::set<fs::path> dirs;
    for (int i = 0; i < 3; ++i) dirs.insert(run<train_pid>(fixture.rt, options).dir());
    CHECK(dirs.size() == 3);
  }

  TEST_CASE("a run whose directory is removed says so and ends") {
    RunFixture fixture;
    TuneOptions options = fixture.options();
    options.num_samples = 1;
    struct Remover final : Callback {
      explicit Remover(fs::path path) : dir(std::move(path)) {}
      void on_trial_result(const Trial&, const ResultView&) override { fs::remove_all(dir); }
      fs::path dir;
    };
    options.callbacks = {std::make_shared<Remover>(fixture.dir.path() / "exp")};
    CHECK_THROWS_AS((void)run<train_pid>(fixture.rt, options), IoError);
  }
}
