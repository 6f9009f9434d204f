// What the tuner adds to trials, and to an experiment as a whole.
#include <time.h>

#include <algorithm>
#include <chrono>
#include <iterator>
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

/// CPU time of this process so far.
double cpu_s() {
  timespec time{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

void one_step() { std::this_thread::sleep_for(std::chrono::milliseconds(100)); }

/// A second in ten steps. Its metrics say when it began, when it came to its last report, how long its steps alone took, and what
/// its process has taken of CPUs.
void one_second(tune::TrialContext& ctx, const tune::Config&) {
  const double begun = now_s();
  double steps = 0;
  while (ctx.iteration() < kSteps) {
    const double step_begun = now_s();
    one_step();
    const double told = now_s();
    steps += told - step_begun;
    ctx.report({{"loss", 1}, {"begun", begun}, {"told", told}, {"steps", steps}, {"cpu", cpu_s()}});
  }
}

void nothing(tune::TrialContext&, const tune::Config&) {}

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

/// The same ten steps without a tuner, again and again while the trials run: a sleep is never as short as it should be, on a busy
/// machine least of all. Those of the trials should be no longer.
class PlainSeconds {
 public:
  PlainSeconds() : thread_([this](const std::stop_token& stop) { loop(stop); }) {}
  double mean_s() {
    thread_.request_stop();
    thread_.join();
    return mean(seconds_);
  }

 private:
  void loop(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      const double begun = now_s();
      for (int i = 0; i < kSteps; ++i) one_step();
      seconds_.push_back(now_s() - begun);
    }
  }
  std::vector<double> seconds_{};
  std::jthread thread_;
};

struct Added {
  double between_us{0};  ///< from a trial's last report to the beginning of the next one in its place
  double reports_us{0};  ///< the other reports
  double steps_s{0};     ///< what the trial itself takes
};

Added added_to(const tune::ResultGrid& grid) {
  std::vector<double> begun, told, steps;
  for (const tune::TrialResult& trial : grid.trials()) {
    begun.push_back(trial.metrics.get("begun").value());
    told.push_back(trial.metrics.get("told").value());
    steps.push_back(trial.metrics.get("steps").value());
  }
  const double reports = mean(told) - mean(begun) - mean(steps);
  std::sort(begun.begin(), begun.end());
  std::sort(told.begin(), told.end());
  begun.erase(begun.begin(), begun.begin() + kAtATime);  // who begins in the place of whom does not matter to the sum
  told.resize(told.size() - kAtATime);
  return {(mean(begun) - mean(told)) * 1e6, reports * 1e6, mean(steps)};
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

/// What a trial takes of CPUs, in its process, if it has one of its own, and in the driver's.
double cpu_us(const tune::ResultGrid& grid, double driver_s, Isolation isolation) {
  double all = driver_s;
  if (isolation == own_process)
    for (const tune::TrialResult& trial : grid.trials()) all += trial.metrics.get("cpu").value();
  return all * 1e6 / static_cast<double>(grid.trials().size());
}

/// `reuse`: a trial's process serves the next one too.
std::vector<Figure> added(Client& client, const RunEffort& effort, Isolation isolation, const std::string& where, bool reuse = false) {
  PlainSeconds plain;
  tune::TuneOptions options = options_in(effort, effort.quick ? 4 : 12, isolation);
  options.reuse_actors = reuse;
  const double before = cpu_s();
  const auto grid = tune::run<one_second>(client, options);
  const double cpu = cpu_us(grid, cpu_s() - before, isolation);
  if (grid.interrupted() || !grid.errors().empty()) throw std::runtime_error("the trials of a second did not end as they should");
  fs::remove_all(effort.dir / "bench");
  const Added added = added_to(grid);
  const double plain_s = plain.mean_s();
  // What a step of a trial lasts longer than one beside it without a tuner is added, too.
  const double all = added.reports_us + added.between_us + (added.steps_s - plain_s) * 1e6;
  return {{"tune_added_to_1s_" + where, "us", all, kOnePercentUs, true},
          {"tune_added_by_reports_" + where, "us", added.reports_us, all, true, "all that is added"},
          {"tune_added_between_trials_" + where, "us", added.between_us, all, true, "all that is added"},
          {"tune_steps_of_1s_" + where, "us", added.steps_s * 1e6, plain_s * 1e6, true, "without a tuner"},
          {"tune_cpu_of_1s_" + where, "us", cpu, kOnePercentUs, true, "1 % of a second"}};
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
  std::vector<Figure> figures = added(client, effort, Isolation::kShared, "threads");
  const std::vector<Figure> processes = added(client, effort, own_process, "processes");
  figures.insert(figures.end(), processes.begin(), processes.end());
  const std::vector<Figure> reused = added(client, effort, own_process, "reused_processes", true);
  figures.insert(figures.end(), reused.begin(), std::prev(reused.end()));  // but for the CPU, of which one process's trials each tell the sum
  figures.push_back({"tune_empty_experiment", "ms", whole_experiment_ms(client, effort), bare_journal_ms(effort), true, "bare journal"});
  return figures;
}

}  // namespace manta::bench
