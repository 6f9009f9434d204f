#pragma once
// Stopper: ends trials, or the whole experiment, by a rule that is not the scheduler's. Pure: no thread, no clock; asked
// before the scheduler at each result. One stopper belongs to one experiment and is called by the driver's thread only.
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "tune/objective.hpp"

namespace manta::tune {

class Stopper {
 public:
  virtual ~Stopper() = default;

  /// True: this trial ends with this result.
  virtual bool on_result(TrialIndex, const ResultView&) = 0;
  /// The trial is over, by whatever: what is kept of it can go.
  virtual void on_end(TrialIndex) {}
  /// True: the experiment ends; asked after each result, and about ten times a second with the time since its start. In a simulation it
  /// is asked about times to come, too: whether it would end then if nothing happened until then; once true, it stays so.
  virtual bool stop_all(double /*time_since_start_s*/) const { return false; }
  /// True when every trial that reports is stopped at some time.
  virtual bool stops_every_trial() const { return false; }

  /// The whole state, and back: after `restore(save())` the next answers are the same.
  virtual std::string save() const { return {}; }
  virtual void restore(std::string_view /*state*/) {}
};

/// What an experiment tells its stopper once.
struct StopperContext {
  std::string metric{};
  Mode mode{Mode::kMin};
};

/// A stopper to be; see SchedulerSpec. An empty `make`: there is none.
struct StopperSpec {
  std::string name{};
  std::string description{};
  std::function<std::unique_ptr<Stopper>(const StopperContext&)> make{};
};

}  // namespace manta::tune
