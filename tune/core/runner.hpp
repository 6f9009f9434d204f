#pragma once
// Runner: the driver's loop. Starts trials where there is room, turns what trials say into events of the experiment, gives
// them the decisions, and tells the reporter. Runs on the thread that called tune::run; ends when the experiment is
// finished or a signal came.
#include <chrono>
#include <functional>
#include <map>

#include "tune/core/experiment.hpp"
#include "tune/core/trial_host.hpp"
#include "tune/reporter.hpp"

namespace manta::tune {

struct RunnerOptions {
  std::size_t concurrency{1};
  std::uint64_t seed{0};
  std::uint64_t checkpoint_frequency{1};
  std::chrono::duration<double> stop_grace{10};
};

class Runner {
 public:
  using SteadyClock = std::chrono::steady_clock;
  using Now = std::function<SteadyClock::time_point()>;

  /// `interrupted` is asked often; once true, everything that runs is killed and `run` returns. `now`: a virtual clock, in
  /// a simulation.
  Runner(Experiment& experiment, TrialHost& host, Reporter& reporter, RunnerOptions options,
         std::function<bool()> interrupted, Now now = SteadyClock::now);

  /// Throws what a searcher's user functions throw and what the journal throws; then nothing is left running.
  void run();

 private:
  void loop();
  void release_idle();
  void make_trials();
  void start_trials();
  void start(TrialIndex index);
  void handle(const HostEvent& event);
  void on_report(TrialIndex trial, const TrialReply& reply);
  void on_gone(const HostEvent& event);
  void apply(EventBody body);
  void stop(TrialIndex trial);
  void kill_overdue();
  void kill_all();

  Experiment& experiment_;
  TrialHost& host_;
  Reporter& reporter_;
  RunnerOptions options_;
  std::function<bool()> interrupted_;
  Now now_;
  std::map<TrialIndex, std::optional<SteadyClock::time_point>> active_;  // value: when a stopping trial is killed
  Effects last_effects_;
};

}  // namespace manta::tune
