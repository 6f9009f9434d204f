#pragma once
// Runner: the driver's loop. Starts trials where there is room, turns what trials say into events of the experiment, gives
// them the decisions, and tells the reporter and the callbacks. All that has come in a turn is journaled in one write, then
// answered; what no trial waits for (result files, old checkpoints) comes after that. Runs on the thread that called tune::run; ends when the experiment is finished or a signal came.
#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "tune/core/callback_caller.hpp"
#include "tune/core/experiment.hpp"
#include "tune/core/resource_plan.hpp"
#include "tune/core/trial_host.hpp"
#include "tune/reporter.hpp"

namespace manta::tune {

struct RunnerOptions {
  std::size_t concurrency{1};
  std::uint64_t seed{0};
  std::uint64_t checkpoint_frequency{1};
  std::chrono::duration<double> stop_grace{10};
  std::chrono::milliseconds retry_back_off{0};  ///< before a third attempt without a result between; then double, up to 128 times
  std::chrono::milliseconds poll{100};  ///< how late a signal, a limit or a redraw may be noticed
  bool checkpoint_at_end{false};
  bool reuse_actors{false};
  std::uint32_t buffer_results{1};
  double time_budget_s{0};       ///< of the experiment, over all its sessions; 0: none
  double trial_time_limit_s{0};  ///< of each trial's wall clock, over all its runs; 0: none
  bool kills_trials{true};       ///< false: one that its limit ends is only told to stop, and no longer heard
  bool fail_fast{false};
  std::function<TrialResources(const Trial&)> resources_of{};  ///< none: what the scheduler gave it, else nothing
  std::optional<ResourceLedger> room{};                        ///< none: only `concurrency` limits
  CallbackCaller::Callbacks callbacks{};
};

class Runner {
 public:
  using SteadyClock = std::chrono::steady_clock;
  using Now = std::function<SteadyClock::time_point()>;

  /// `interrupted` is asked often; once true, everything that runs is killed and `run` returns. `now`: a virtual clock, in
  /// a simulation.
  Runner(Experiment& experiment, TrialHost& host, Reporter& reporter, RunnerOptions options,
         std::function<bool()> interrupted, Now now = SteadyClock::now);

  /// Throws what a searcher, a scheduler, a stopper or a user's function in them throws, what the journal throws, and
  /// InvalidArgument when of an endless number of trials a thousand in a row could not be started; then nothing is
  /// left running. The journal has every result that was taken in until then, that at which somebody threw too.
  void run();

 private:
  struct Active {
    std::optional<SteadyClock::time_point> kill_at{};  ///< it has been told to leave
    Resources held{};
    bool begun{true};  ///< false while it waits for its place
    std::uint64_t iteration{0};  ///< recorded when it was started
  };
  struct BackOff {
    std::uint32_t fruitless{0};  ///< attempts in a row that failed without a new result
    SteadyClock::time_point until{};
  };
  struct Launch {
    TrialSpec spec{};
    std::filesystem::path log_file{};
  };

  void loop();
  void turn();
  std::chrono::milliseconds longest_wait() const;
  void look_after();
  void release_idle();
  bool fill();
  bool make_trials();
  void start_trials();
  bool start(TrialIndex index);
  std::optional<TrialResources> resources_of(const Trial& trial);
  void fail_unstarted(TrialIndex index, const std::string& error);
  TrialSpec spec_of(const Trial& trial, const std::filesystem::path& dir);
  void warn_of_missing_score(TrialIndex index);
  void warn_of_lost_work(const Trial& trial);
  void handle(HostEvent event);
  void begin(TrialIndex trial, Active& active);
  Decision take_results(TrialIndex trial, TrialReply& reply);
  Decision take_result(TrialIndex trial, TrialReply& reply);
  void drop_checkpoint(TrialIndex trial, const TrialReply& result);
  void on_gone(const HostEvent& event);
  void check_time_passes(const Trial& fruitless);
  void fail(const HostEvent& event, std::uint64_t began_at);
  void back_off(TrialIndex trial, bool got_on);
  bool backs_off(TrialIndex trial) const;
  std::size_t waiting_to_retry() const;
  void take_leaving_checkpoint(const TrialReply& reply, TrialIndex trial);
  const Effects& apply(EventBody body);
  void tell_last();
  void commit();
  void stop(TrialIndex trial);
  void forget(TrialIndex trial);
  void kill_overdue();
  void kill_all();
  void keep_what_came() noexcept;
  void pass_warnings_on();

  // runner_limits.cpp
  void check_limits();
  void check_experiment_limits();
  void check_trial_limits();

  Experiment& experiment_;
  TrialHost& host_;
  Reporter& reporter_;
  RunnerOptions options_;
  std::function<bool()> interrupted_;
  Now now_;
  CallbackCaller callbacks_;
  std::map<TrialIndex, Active> active_;
  std::map<TrialIndex, BackOff> back_offs_;  ///< of trials that have not ended; each proposal looks through them
  std::optional<SteadyClock::time_point> first_kill_{};  ///< nobody is to be killed before; none: nobody has been told to leave
  bool held_back_{false};  ///< one of them was passed over since the last fill began
  struct Applied {
    Event event{};
    Effects effects{};
  };
  std::optional<Applied> untold_;  // the last event, until files, callbacks and the reporter have it: before the next one
  bool told_of_no_checkpoints_{false};
  bool told_of_no_score_{false};
  std::uint64_t failed_in_a_row_{0};  ///< trials before they were started, since the last that was
  std::uint64_t fruitless_{0};        ///< runs that ended without a new result at this very millisecond
  std::int64_t fruitless_at_ms_{-1};  ///< none yet
  bool failed_unstarted_{false};  ///< a trial failed before it was started, since the loop last looked at limits
  // What waits for the journal.
  std::vector<std::pair<TrialIndex, Decision>> answers_;
  std::vector<TrialIndex> kills_;
  std::vector<Launch> launches_;
};

}  // namespace manta::tune
