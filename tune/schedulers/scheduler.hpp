#pragma once
// Scheduler: what decides, at each result, whether a trial goes on. Pure: no thread, no clock; the same order of calls
// gives the same decisions. One scheduler belongs to one experiment and is called by the driver's thread only.
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tune/metrics.hpp"
#include "tune/searchers/searcher.hpp"

namespace manta::tune {

enum class Mode { kMin, kMax };

enum class Decision : std::uint8_t { kContinue, kStop, kPause };

/// One result as schedulers see it.
struct ResultView {
  std::uint64_t iteration{0};
  double time_total_s{0};
  const Metrics& metrics;

  /// "training_iteration", "time_total_s", or a reported metric.
  std::optional<double> get(std::string_view name) const {
    if (name == "training_iteration") return static_cast<double>(iteration);
    if (name == "time_total_s") return time_total_s;
    return metrics.get(name);
  }
};

class Scheduler {
 public:
  virtual ~Scheduler() = default;

  virtual void on_trial_add(TrialIndex) {}
  virtual Decision on_result(TrialIndex, const ResultView&) = 0;
  /// The trial ended by itself; `last` is its last result.
  virtual void on_complete(TrialIndex, const ResultView* /*last*/) {}
  /// The trial failed for good.
  virtual void on_error(TrialIndex) {}
  /// Of the trials that are ready to run, which one is next. `ready` is ordered by index and not empty.
  virtual TrialIndex choose_trial_to_run(const std::vector<TrialIndex>& ready) { return ready.front(); }

  /// True when every trial that reports is stopped at some time, so that a trainable without an end is safe.
  virtual bool stops_every_trial() const { return false; }
  /// Lines for the reporter's header: rungs and their cutoffs.
  virtual std::string debug_text() const { return {}; }

  /// The whole state, and back: after `restore(save())` the next decisions are the same.
  virtual std::string save() const = 0;
  virtual void restore(std::string_view state) = 0;
};

/// What an experiment tells its scheduler once, so that the user says metric and mode in one place.
struct SchedulerContext {
  std::string metric{};
  Mode mode{Mode::kMin};
  std::uint64_t seed{0};
};

/// A scheduler to be: its name for tables, all its options as text (two that differ in the text are different
/// experiments), and how to make it.
struct SchedulerSpec {
  std::string name{};
  std::string description{};
  std::function<std::unique_ptr<Scheduler>(const SchedulerContext&)> make{};
};

/// Trials run to their end, in the order in which they were made.
SchedulerSpec fifo();

}  // namespace manta::tune
