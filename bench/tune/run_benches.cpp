#include "bench/tune/run_benches.hpp"

#include <malloc.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <memory>
#include <stdexcept>

#include "tune/history.hpp"
#include "tune/tune.hpp"

namespace manta::bench {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

void report_many(tune::TrialContext& ctx, const tune::Config&, std::uint64_t count) {
  while (ctx.iteration() < count) ctx.report({{"loss", 1.0 / static_cast<double>(ctx.iteration() + 1)}});
}

void nothing(tune::TrialContext&, const tune::Config&) {}

tune::TuneOptions options_in(const RunEffort& effort, std::int64_t trials) {
  return {.name = "bench",
          .num_samples = trials,
          .space = {{"lr", tune::loguniform(1e-4, 1e-1)}, {"width", tune::choice({16, 32, 64})}},
          .resources = {.num_cpus = 0},
          .seed = 1,
          .results_dir = effort.dir,
          .isolation = Isolation::kShared,
          .reporter = {.verbosity = tune::Verbosity::kSilent},
          .loggers = {.json = false, .csv = false, .tensorboard = false}};
}

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

std::uint64_t results_of(const tune::ResultGrid& grid) {
  std::uint64_t results = 0;
  for (const auto& trial : grid.trials()) results += trial.iterations;
  return results;
}

/// Every result of every trial, or an exception that says what went wrong: a signal, a trial, or the journal.
void expect_results(const tune::ResultGrid& grid, std::uint64_t wanted, const std::string& when) {
  if (grid.interrupted()) throw std::runtime_error("ended by signal " + std::to_string(grid.signal()) + " " + when);
  if (!grid.errors().empty()) throw std::runtime_error("a trial failed " + when + ": " + grid.errors().front()->error);
  const std::uint64_t found = results_of(grid);
  if (found != wanted)
    throw std::runtime_error(when + " there are " + std::to_string(found) + " results of " + std::to_string(wanted));
}

/// Runs 32 trials at a time and counts what a new driver finds in the journal.
double results_per_second(Client& client, const RunEffort& effort, tune::TuneOptions options, std::uint64_t each) {
  options.metric = "loss";
  options.max_concurrent = 32;
  const auto start = Clock::now();
  const auto grid = tune::run<report_many>(client, options, each);
  const double seconds = seconds_since(start);
  const std::uint64_t wanted = each * static_cast<std::uint64_t>(options.num_samples);
  options.resume = true;
  expect_results(grid, wanted, "in the run");
  expect_results(tune::run<report_many>(client, options, each), wanted, "on reopening");
  fs::remove_all(effort.dir / "bench");
  return static_cast<double>(wanted) / seconds;
}

std::vector<Figure> results(Client& client, const RunEffort& effort) {
  const std::uint64_t each = effort.quick ? 50 : 5000;
  tune::TuneOptions options = options_in(effort, 32);
  const double plain = results_per_second(client, effort, options, each);
  const auto with_files = [&](bool json, bool csv, bool tensorboard) {
    options.loggers = {.json = json, .csv = csv, .tensorboard = tensorboard};
    return results_per_second(client, effort, options, each);
  };
  std::vector<Figure> figures{
      {"tune_results", "results/s", plain, 50'000},
      {"tune_results_csv_json", "results/s", with_files(true, true, false), 10'000},
      {"tune_results_csv", "results/s", with_files(false, true, false), plain, false, "no files"},
      {"tune_results_json", "results/s", with_files(true, false, false), plain, false, "no files"},
      {"tune_results_tensorboard", "results/s", with_files(false, false, true), plain, false, "no files"},
      {"tune_results_all_files", "results/s", with_files(true, true, true), plain, false, "no files"}};
  options = options_in(effort, 32);
  options.buffer_results = 64;
  figures.push_back({"tune_results_buffered", "results/s", results_per_second(client, effort, options, each * 4), 50'000});
  return figures;
}

double trials_per_second(Client& client, const RunEffort& effort, const tune::TuneOptions& options) {
  const auto start = Clock::now();
  const auto grid = tune::run<nothing>(client, options);
  const double seconds = seconds_since(start);
  if (!grid.errors().empty()) throw std::runtime_error(grid.errors().front()->error);
  fs::remove_all(effort.dir / "bench");
  return static_cast<double>(grid.size()) / seconds;
}

std::vector<Figure> trials_on_threads(Client& client, const RunEffort& effort) {
  tune::TuneOptions options = options_in(effort, effort.quick ? 100 : 20'000);
  options.max_concurrent = 16;
  return {{"tune_trials_threads", "trials/s", trials_per_second(client, effort, options), 5000}};
}

std::vector<Figure> trials_in_processes(Client& client, const RunEffort& effort) {
  tune::TuneOptions options = options_in(effort, effort.quick ? 4 : 200);
  options.max_concurrent = 4;
  options.isolation = own_process;
  const double fresh = trials_per_second(client, effort, options);
  options.reuse_actors = true;
  return {{"tune_trials_processes", "trials/s", fresh, 50},
          {"tune_trials_processes_reused", "trials/s", trials_per_second(client, effort, options), 50}};
}

double resident_bytes() {
  ::malloc_trim(0);
  std::ifstream in("/proc/self/statm");
  double size = 0, resident = 0;
  in >> size >> resident;
  return resident * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

double bytes_on_disk(const fs::path& dir) {
  double bytes = 0;
  if (!fs::exists(dir)) return 0;
  for (const auto& entry : fs::recursive_directory_iterator(dir))
    if (entry.is_regular_file()) bytes += static_cast<double>(entry.file_size());
  return bytes;
}

/// Notes when each thousand results were there, and what the process holds before the first and after the last.
struct Watch final : tune::Callback {
  std::vector<Clock::time_point> marks{Clock::now()};
  std::size_t results{0};
  double before{0}, after{0};

  void on_trial_result(const tune::Trial&, const tune::ResultView&) override {
    if (++results % 1000 != 0) return;
    marks.push_back(Clock::now());
    if (results == 1000) before = resident_bytes();
  }
  void on_experiment_end(const std::vector<tune::Trial>&) override { after = resident_bytes(); }
  double thousand(std::size_t i) const { return std::chrono::duration<double>(marks[i + 1] - marks[i]).count(); }
};

/// One experiment of 100,000 trials with a result each.
std::vector<Figure> many_trials(Client& client, const RunEffort& effort) {
  const std::int64_t trials = effort.quick ? 3000 : 100'000;
  tune::TuneOptions options = options_in(effort, trials);
  options.metric = "loss";
  options.max_concurrent = 16;
  const auto watch = std::make_shared<Watch>();
  options.callbacks = {watch};
  expect_results(tune::run<report_many>(client, options, std::uint64_t{1}), static_cast<std::uint64_t>(trials), "in the run");
  const double journal = bytes_on_disk(effort.dir / "bench" / "journal") + bytes_on_disk(effort.dir / "bench" / "history");
  options.callbacks.clear();
  options.resume = true;
  const auto start = Clock::now();
  expect_results(tune::run<report_many>(client, options, std::uint64_t{1}), static_cast<std::uint64_t>(trials), "on reopening");
  const double resume = seconds_since(start);
  const auto opened = Clock::now();
  const auto history = tune::read_history(effort.dir / "bench");
  const double reading = seconds_since(opened);
  if (history.results.size() != static_cast<std::size_t>(trials)) throw std::runtime_error("the history lacks trials");
  fs::remove_all(effort.dir / "bench");
  const auto count = static_cast<double>(trials);
  const double flat = watch->thousand(watch->marks.size() - 2) / watch->thousand(0);
  return {{"tune_100k_last_to_first_thousand", "times", flat, 1.2, true},
          {"tune_100k_memory", "bytes a trial", (watch->after - watch->before) / (count - 1000), 1024, true},
          {"tune_100k_journal", "bytes a trial", journal / count, 2048, true},
          {"tune_100k_resume", "s", resume, 5, true},
          {"tune_100k_read_history", "s", reading, resume, true, "resume"}};
}

}  // namespace

const std::vector<RunBench>& run_benches() {
  static const std::vector<RunBench> all = {{"results", results},
                                            {"trials_on_threads", trials_on_threads},
                                            {"trials_in_processes", trials_in_processes},
                                            {"many_trials", many_trials},
                                            {"overhead", overhead}};
  return all;
}

}  // namespace manta::bench
