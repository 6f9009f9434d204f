#pragma once
// Population based training (Jaderberg et al., "Population Based Training of Neural Networks", 2017), as Ray's
// PopulationBasedTraining. All trials train side by side. Once in `perturbation_interval` a trial that is among the worst
// `quantile_fraction` becomes a copy of one of the best: it goes on from that one's newest checkpoint, with its configuration,
// changed a little. So what is found is a schedule of hyper-parameters, not a fixed choice. Trials need checkpoints.
//
//   .space = {{"lr", tune::loguniform(1e-4, 1e-1)}, {"batch_size", 32}},
//   .scheduler = tune::pbt({.time_attr = "training_iteration", .perturbation_interval = 5,
//                           .hyperparam_mutations = {{"lr", tune::loguniform(1e-4, 1e-1)}, {"batch_size", tune::choice({16, 32, 64})}}})
//
// Every exploit is written to pbt_global.txt and pbt_policy_<trial id>.txt in the experiment's directory (a line of JSON: who, from
// whom, at which steps, the donor's configuration and the new one); tune::pbt_replay follows such a file.
// A trial with more of them than there are workers makes way for those that wait. NaN scores are worst. As in Ray, not beside a
// searcher that learns (tpe, gp, …): it would take a copy's result for that of the configuration which it suggested.
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tune/random.hpp"
#include "tune/schedulers/config_keeper.hpp"
#include "tune/schedulers/scheduler.hpp"
#include "tune/search_space.hpp"

namespace manta::tune {

struct PbtOptions {
  std::string time_attr{"time_total_s"};  ///< or "training_iteration", or a metric that grows
  Number perturbation_interval{60};       ///< units of time_attr
  Number burn_in_period{0};               ///< before it nothing is changed
  /// What may be changed. A choice, ordinal or grid moves to a neighbour, or with resample_probability to any of its
  /// values; a numeric domain or sample_from is multiplied by one of the factors, or drawn anew, so the search space has to have
  /// numbers there; tables are walked through. What the search space does not have, a trial draws from here at first.
  /// Conditions stand in the search space and are kept: what a change switches off goes, and what it switches on is drawn, from
  /// here where it stands here too. What the space forbids is drawn again; after a hundred such draws a copy keeps its donor's
  /// configuration.
  Space hyperparam_mutations{};
  Number quantile_fraction{0.25};  ///< of the trials that are copied over, and of those that are copied; at most 0.5
  Number resample_probability{0.25};
  std::vector<double> perturbation_factors{1.2, 0.8};
  std::function<Config(Config)> custom_explore{};  ///< has the last word on a new configuration, but for the space's conditions
  bool synch{false};  ///< all trials come to an interval's end before any is copied
};

/// The scheduler for TuneOptions. InvalidArgument, when the experiment starts, names an option that makes no sense.
SchedulerSpec pbt(PbtOptions options);

/// A configuration near `config`, as Ray's _explore draws it. InvalidArgument when a parameter is missing or no number
/// where the mutation multiplies.
Config explore(const Config& config, const PbtOptions& options, Random& random, const ConfigKeeper& keeper = ConfigKeeper({}));

class PbtScheduler : public Scheduler {
 public:
  /// `who`: by whose name it refuses options.
  PbtScheduler(PbtOptions options, const SchedulerContext& context, const std::string& who = "pbt");

  void fill_config(TrialIndex trial, Config& config) const override;
  void on_trial_add(TrialIndex trial, const Config& config) override;
  void on_start(TrialIndex trial) override { waiting_.erase(trial); }
  void on_checkpoint(TrialIndex trial) override;
  Verdict on_result(TrialIndex trial, const ResultView& result) override;
  Verdict on_complete(TrialIndex trial, const ResultView* last) override;
  Verdict on_error(TrialIndex trial) override;
  Verdict on_idle() override;
  /// The one that has trained least; of equals those that never copied, then who copied longest ago: else copies that are
  /// always bad would run again and again, ahead of those that they copy.
  std::optional<TrialIndex> choose_trial_to_run(const Candidates& candidates) const override;
  bool may_pause() const override { return true; }
  std::string time_attr() const override { return options_.time_attr; }
  std::string debug_text() const override;
  std::string save() const override;
  void restore(std::string_view state) override;

  std::uint64_t num_perturbations() const noexcept { return perturbations_; }

 protected:
  struct State {
    Config config{};
    bool scored{false};
    double score{0};  ///< larger is better
    double train_time{0};
    double perturbation_time{0};
    bool checkpoint{false};  ///< it has one that others can take
    std::uint64_t copied_at{0};  ///< number of the last exploit in which it became a copy; 0: never
  };

  /// A trial came to an interval's end; its state is up to date.
  virtual void observe(TrialIndex, const State&) {}
  /// What a copy of the donor shall try.
  virtual Config new_config(TrialIndex trial, TrialIndex donor, Random& random);

  const PbtOptions& options() const noexcept { return options_; }
  const ConfigKeeper& keeper() const noexcept { return keeper_; }
  const std::map<TrialIndex, State>& states() const noexcept { return states_; }
  std::uint64_t seed() const noexcept { return seed_; }

 private:
  struct Quantiles {
    std::vector<TrialIndex> lower{}, upper{};  ///< worst and best, both from worse to better
  };
  Quantiles quantiles() const;
  std::optional<Exploit> exploit(TrialIndex trial, const std::vector<TrialIndex>& upper);
  Verdict on_interval(TrialIndex trial, double time, bool saved);
  bool all_there() const;
  Verdict step_together();
  std::string tag(const Config& config) const;

  PbtOptions options_;
  ConfigKeeper keeper_;
  std::string metric_;
  double sign_;
  std::uint64_t seed_;
  bool saves_itself_;
  std::map<TrialIndex, State> states_;  ///< of trials that have not ended
  std::set<TrialIndex> waiting_;        ///< of these, those that have no worker
  double next_synch_;
  std::uint64_t perturbations_{0};
  std::uint64_t nothing_to_copy_{0};  ///< exploits that were due in this session and had no donor with a checkpoint
};

}  // namespace manta::tune
