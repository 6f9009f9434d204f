#pragma once
// The trainables of the tests on the real runtime. They run in processes of their own, so what they see goes into files.
#include <string>

#include "tune/tune.hpp"

namespace manta::tune::testing {

inline constexpr std::uint64_t kIterations = 6;

/// Reports x + 1/t, with a checkpoint that holds t, kIterations times.
void train_curve(TrialContext& ctx, const Config& config);
/// The same, `pause_ms` between reports; writes its id and the iteration into its file "told" whenever a report has returned.
void train_slowly(TrialContext& ctx, const Config& config, int pause_ms);
/// Does what config "fault" says at iteration 3 of the first attempt: kill, throw, nan, no_metric, silent, none.
void train_faulty(TrialContext& ctx, const Config& config, const std::string& mark_dir);
/// Adds up the squares of 0…n-1 by tasks of its own, then adds 1000 by an actor.
void train_with_tasks(TrialContext& ctx, const Config& config);
/// Never reports, never looks.
void train_deaf(TrialContext& ctx, const Config& config);

/// Reports twice; writes what it holds into its file "seen", once for each attempt.
void train_telling(TrialContext& ctx, const Config& config);
/// Reports 42, worked out by a task in its second bundle.
void train_in_bundles(TrialContext& ctx, const Config& config);
/// Reports twice with how many desks of drivers its process is connected.
void train_at_desk(TrialContext& ctx, const Config& config);
/// Reports its process.
void train_pid(TrialContext& ctx, const Config& config);
/// Reports once and then sits there.
void train_stuck(TrialContext& ctx, const Config& config);
/// Reports 1…1000.
void train_quickly(TrialContext& ctx, const Config& config);

/// Counts how often its process made one, and how often this one was reset.
struct Resettable {
  double resets = 0;
  void setup(TrialContext& ctx, const Config& config);
  bool reset_config(TrialContext& ctx, const Config& config);
  Metrics step();
};

struct Counter {
  double value = 0;
  double by = 1;
  void setup(TrialContext& ctx, const Config& config, const std::string& text);
  Metrics step();
  void save(const std::filesystem::path& dir);
  void load(const std::filesystem::path& dir);
};

/// Reports by what the first of its arguments holds, and by what the second refers to.
struct Weighted {
  double sum = 0, more = 0;
  void setup(TrialContext& ctx, const Config& config, const std::vector<double>& weights, const ObjectRef<double>& more);
  Metrics step();
};

/// The driver of the kill tests, a child process: "--driver DIR PAUSE_MS thread|process", where its trials run. Gives the exit code.
int run_driver(int argc, char** argv);

}  // namespace manta::tune::testing
