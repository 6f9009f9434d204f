#include <doctest/doctest.h>
#include <signal.h>

#include <array>
#include <atomic>
#include <chrono>
#include <thread>

#include "support.hpp"
#include "tune/history.hpp"
#include "tune/tune.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;

namespace {

constexpr std::size_t kTrials = 8;
std::array<std::atomic<std::uint64_t>, kTrials> told;  // results whose report has returned, of each trial
std::atomic<std::uint64_t> told_in_all;
std::atomic<std::uint64_t> begun;  // calls of report_some

std::size_t number_of(const TrialContext& ctx) { return std::stoul(ctx.id().substr(ctx.id().rfind('_') + 1)); }

void report_on_and_on(TrialContext& ctx, const Config&) {
  for (;;) {
    ctx.report({{"loss", 1.0 / static_cast<double>(ctx.iteration() + 1)}});
    ++told[number_of(ctx)];
    ++told_in_all;
  }
}

void report_some(TrialContext& ctx, const Config&, std::uint64_t count) {
  ++begun;
  while (ctx.iteration() < count) ctx.report({{"loss", static_cast<double>(ctx.iteration())}});
}

struct SlowDriver final : Callback {
  void on_trial_result(const Trial&, const ResultView& result) override {
    if (result.iteration % 7 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
};

struct Fixture {
  TempDir dir;
  Runtime rt = Runtime::start(RuntimeOptions{.num_cpus = 2, .num_gpus = 0});

  TuneOptions options() const {
    return {.name = "exp",
            .metric = "loss",
            .num_samples = kTrials,
            .resources = {.num_cpus = 0},
            .max_concurrent = kTrials,
            .seed = 3,
            .results_dir = dir.path(),
            .isolation = Isolation::kShared,
            .reporter = {.verbosity = Verbosity::kSilent},
            .loggers = {.json = true, .csv = false, .tensorboard = false}};
  }
};

/// Every result from the first on, once each and in order.
void check_whole(const std::vector<ResultRow>& rows) {
  for (std::size_t i = 0; i < rows.size(); ++i) REQUIRE(rows[i].iteration == i + 1);
}

}  // namespace

TEST_SUITE("tune/run") {
  TEST_CASE("SIGTERM at any moment: each result whose report has returned is found again, and none twice") {
    for (std::uint64_t moment : {1, 10, 100, 333, 1000, 2500}) {
      Fixture fixture;
      for (auto& count : told) count = 0;
      told_in_all = 0;
      std::thread signaller([moment] {
        while (told_in_all < moment) std::this_thread::yield();
        ::kill(::getpid(), SIGTERM);
      });
      const ResultGrid grid = run<report_on_and_on>(fixture.rt, fixture.options());
      signaller.join();
      CHECK(grid.signal() == SIGTERM);
      const ExperimentHistory history = read_history(fixture.dir.path() / "exp");
      REQUIRE(history.results.size() == kTrials);
      for (std::size_t i = 0; i < kTrials; ++i) {
        CHECK(history.results[i].size() >= told[i]);
        CHECK(history.results[i].size() <= told[i] + 1);  // the one that waited for its answer
        CHECK(grid[i].iterations == history.results[i].size());
        check_whole(history.results[i]);
      }
    }
  }

  TEST_CASE("a driver that is slower than its trials loses nothing, and a resume finds it all and runs nothing again") {
    for (std::uint32_t buffer : {1, 16}) {
      Fixture fixture;
      TuneOptions options = fixture.options();
      options.buffer_results = buffer;
      options.callbacks = {std::make_shared<SlowDriver>()};
      for (const bool resume : {false, true}) {
        options.resume = resume;
        begun = 0;
        const ResultGrid grid = run<report_some>(fixture.rt, options, std::uint64_t{100});
        CHECK(begun == (resume ? 0 : kTrials));
        for (const TrialResult& trial : grid.trials()) {
          CHECK(trial.iterations == 100);
          CHECK(lines_of(trial.dir / "result.jsonl").size() == 100);
        }
      }
      for (const auto& rows : read_history(fixture.dir.path() / "exp").results) {
        CHECK(rows.size() == 100);
        check_whole(rows);
      }
    }
  }
}
