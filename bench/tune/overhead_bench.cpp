// What the tuner adds to trials, and to an experiment as a whole.
#include <algorithm>
#include <chrono>
#include <numeric>
#include <thread>

#include "bench/tune/run_benches.hpp"
#include "runtime/journal.hpp"
#include "tune/tune.hpp"

namespace manta::bench {
namespace {

namespace fs = std::filesystem;

constexpr int kSteps = 10;
constexpr std::size_t kAtATime = 2;
constexpr double kOnePercentUs = 10'000;  // of a second

/// Of the clock that all processes of the machine share.
double now_s() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

void one_step() { std::this_thread::sleep_for(std::chrono::milliseconds(100)); }

/// A second in ten steps. Its metrics say when it began and when it came to its last report.
void one_second(tune::TrialContext& ctx, const tune::Config&) {
  const double begun = now_s();
  while (ctx.iteration() < kSteps) {
    one_step();
    ctx.report({{"loss", 1}, {"begun", begun}, {"told", now_s()}});
  }
}

void nothing(tune::TrialContext&, const tune::Config&) {}

/// The same ten steps without a tuner: a sleep is never as short as it should be.
double plain_second() {
  const double begun = now_s();
  for (int i = 0; i < kSteps; ++i) one_step();
  return now_s() - begun;
}

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

/// From the beginning of a trial to that of the next one in its place, beyond `plain`, in microseconds.
double added_us(const tune::ResultGrid& grid, double plain) {
  std::vector<double> begun, told;
  for (const tune::TrialResult& trial : grid.trials()) {
    begun.push_back(trial.metrics.get("begun").value());
    told.push_back(trial.metrics.get("told").value());
  }
  const double busy = mean(told) - mean(begun);
  std::sort(begun.begin(), begun.end());
  std::sort(told.begin(), told.end());
  begun.erase(begun.begin(), begun.begin() + kAtATime);  // who begins in the place of whom does not matter to the sum
  told.resize(told.size() - kAtATime);
  return (busy + mean(begun) - mean(told) - plain) * 1e6;
}

tune::TuneOptions options_in(const RunEffort& effort, std::int64_t trials, Isolation isolation) {
  return {.name = "bench",
          .metric = trials == 1 ? "" : "loss",
          .num_samples = trials,
          .space = {{"lr", tune::loguniform(1e-4, 1e-1)}},
          .resources = {.num_cpus = 0},
          .max_concurrent = kAtATime,
          .seed = 1,
          .results_dir = effort.dir,
          .isolation = isolation,
          .reporter = {.verbosity = tune::Verbosity::kSilent}};
}

double added(Client& client, const RunEffort& effort, Isolation isolation, double plain) {
  const auto grid = tune::run<one_second>(client, options_in(effort, effort.quick ? 4 : 12, isolation));
  if (grid.interrupted() || !grid.errors().empty()) throw std::runtime_error("the trials of a second did not end as they should");
  fs::remove_all(effort.dir / "bench");
  return added_us(grid, plain);
}

/// The first thing of an experiment and the last: opening a journal, and having it on the disk.
double bare_journal_ms(const RunEffort& effort) {
  const double begun = now_s();
  {
    Journal journal = Journal::open((effort.dir / "bare").string());
    journal.append(std::as_bytes(std::span("a record", 8)));
    journal.close();
  }
  const double ms = (now_s() - begun) * 1000;
  fs::remove_all(effort.dir / "bare");
  return ms;
}

double whole_experiment_ms(Client& client, const RunEffort& effort) {
  const double begun = now_s();
  (void)tune::run<nothing>(client, options_in(effort, 1, Isolation::kShared));
  const double ms = (now_s() - begun) * 1000;
  fs::remove_all(effort.dir / "bench");
  return ms;
}

}  // namespace

std::vector<Figure> overhead(Client& client, const RunEffort& effort) {
  const double plain = plain_second();
  return {{"tune_added_to_1s_threads", "us", added(client, effort, Isolation::kShared, plain), kOnePercentUs, true},
          {"tune_added_to_1s_processes", "us", added(client, effort, own_process, plain), kOnePercentUs, true},
          {"tune_empty_experiment", "ms", whole_experiment_ms(client, effort), bare_journal_ms(effort), true, "bare journal"}};
}

}  // namespace manta::bench
