#pragma once
// Driving a scheduler by hand, as Ray's scheduler tests do: trials are added, started, report (time, score), and what the
// scheduler says of other trials is carried out.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "support.hpp"
#include "tune/schedulers/scheduler.hpp"

namespace manta::tune::testing {

inline constexpr Decision C = Decision::kContinue;
inline constexpr Decision S = Decision::kStop;
inline constexpr Decision P = Decision::kPause;

class Driven {
 public:
  explicit Driven(const SchedulerSpec& spec, Mode mode = Mode::kMax, SchedulerContext context = {})
      : context_(std::move(context)), spec_(spec) {
    context_.metric = "reward";
    context_.mode = mode;
    scheduler_ = spec.make(context_);
  }

  /// Adds so many trials and starts them.
  void launch(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) add(), start(next_ - 1);
  }
  TrialIndex add(Config config = {}) {
    scheduler_->fill_config(next_, config);
    configs[next_] = config;
    scheduler_->on_trial_add(next_, config);
    pending.insert(next_);
    return next_++;
  }
  void start(TrialIndex trial) {
    pending.erase(trial), paused.erase(trial);
    running.insert(trial);
    scheduler_->on_start(trial);
  }
  Decision report(TrialIndex trial, double time, double reward, bool checkpoint = true) {
    REQUIRE(running.contains(trial));
    const Metrics metrics{{"reward", reward}, {"t", time}};
    Verdict verdict = scheduler_->on_result(trial, {time >= 0 && time < 1e9 ? static_cast<std::uint64_t>(time) : 0, time, metrics, 0, checkpoint});
    if (verdict.decision != C) running.erase(trial);
    if (verdict.decision == S) ended.insert(trial);
    if (verdict.decision == P) paused.insert(trial);
    carry_out(verdict);
    if (verdict.exploit) exploit(trial, *verdict.exploit);
    return verdict.decision;
  }
  void complete(TrialIndex trial, double time, double reward) {
    const Metrics metrics{{"reward", reward}, {"t", time}};
    const ResultView view{static_cast<std::uint64_t>(time), time, metrics};
    running.erase(trial), ended.insert(trial);
    carry_out(scheduler_->on_complete(trial, &view));
  }
  void fail(TrialIndex trial) {
    running.erase(trial), ended.insert(trial);
    carry_out(scheduler_->on_error(trial));
  }
  void idle() { carry_out(scheduler_->on_idle()); }
  std::optional<TrialIndex> next() const {
    return scheduler_->choose_trial_to_run({{pending.begin(), pending.end()}, [](TrialIndex) { return true; }});
  }
  /// Everything from here on is decided by a scheduler that was made from the saved state.
  void reload() {
    const std::string state = scheduler_->save();
    scheduler_ = spec_.make(context_);
    scheduler_->restore(state);
    CHECK(scheduler_->save() == state);
  }

  Scheduler& scheduler() { return *scheduler_; }
  template <class T>
  T& as() {
    return dynamic_cast<T&>(*scheduler_);
  }

  std::set<TrialIndex> pending, running, paused, ended;
  std::map<TrialIndex, Config> configs;
  std::map<TrialIndex, Exploit> exploits;  ///< the last one of each
  Verdict last;

 private:
  void exploit(TrialIndex trial, const Exploit& copied) {
    exploits[trial] = copied;
    configs[trial] = copied.config;
    if (paused.erase(trial)) pending.insert(trial);
  }
  void carry_out(const Verdict& verdict) {
    last = verdict;
    for (const TrialIndex trial : verdict.stop) {
      REQUIRE((paused.contains(trial) || pending.contains(trial)));
      paused.erase(trial), pending.erase(trial), ended.insert(trial);
    }
    for (const auto& [trial, copied] : verdict.exploit_others) {
      REQUIRE(paused.contains(trial));
      exploits[trial] = copied;
      configs[trial] = copied.config;
    }
    for (const TrialIndex trial : verdict.resume) {
      REQUIRE(paused.contains(trial));
      paused.erase(trial), pending.insert(trial);
    }
  }

  SchedulerContext context_;
  SchedulerSpec spec_;
  std::unique_ptr<Scheduler> scheduler_;
  TrialIndex next_{0};
};

inline std::vector<TrialIndex> list(const std::set<TrialIndex>& trials) { return {trials.begin(), trials.end()}; }
using Trials = std::vector<TrialIndex>;

}  // namespace manta::tune::testing
