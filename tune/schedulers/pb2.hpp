#pragma once
// PB2, population based bandits: Parker-Holder et al., "Provably Efficient Online Hyperparameter Optimization with
// Population-Based Bandits", NeurIPS 2020, as Ray's PB2. PBT whose copies do not try a random neighbour: a Gaussian process over
// time, score and hyper-parameters learns how much a configuration gains in a unit of time, and the copy tries where its
// upper confidence bound is largest. Works with as few as four trials.
//
//   .scheduler = tune::pb2({.time_attr = "training_iteration", .perturbation_interval = 5,
//                           .hyperparam_bounds = {{"lr", tune::uniform(1e-4, 1e-1)}, {"batch_size", tune::randint(16, 257)}}})
//
// Only uniform and integer bounds, without logarithm or steps. Everything else is PBT's: see pbt.hpp.
//
// Start the trials from different values of every parameter. What the bound adds for what is unknown, sqrt(0.2 ln(0.4 n)) times
// the variance for n gains (the paper's, and Ray's), is nothing up to n = 2 and small for long: where all begin with the same
// value, copies hardly leave it.
//
// The model is fitted anew after each new gain, at the first copy that needs it, by the driver, which answers no trial meanwhile:
// it costs the cube of the gains (a core takes some 0.15 s for 200, 0.5 s for 300, 15 s for 1000), so only the newest max_gains count.
#include <cstddef>
#include <map>
#include <memory>
#include <vector>

#include "tune/schedulers/pbt.hpp"

namespace manta::tune {

struct Pb2Options {
  std::string time_attr{"time_total_s"};
  Number perturbation_interval{60};
  Number burn_in_period{0};
  /// Numbers, at the top of the configuration, without conditions. What they switch on and off in the search space follows them; where
  /// the model's choice is forbidden, a copy keeps its donor's configuration.
  Space hyperparam_bounds{};
  Number quantile_fraction{0.25};
  std::function<Config(Config)> custom_explore{};
  bool synch{false};
  std::size_t max_gains{300};  ///< what the model learns from: the newest so many results at an interval's end; Ray has 1000
};

/// The scheduler for TuneOptions. InvalidArgument, when the experiment starts, names an option that makes no sense.
SchedulerSpec pb2(Pb2Options options);

class Pb2Scheduler final : public PbtScheduler {
 public:
  Pb2Scheduler(const Pb2Options& options, const SchedulerContext& context);

  std::string save() const override;
  void restore(std::string_view state) override;

 protected:
  void observe(TrialIndex trial, const State& state) override;
  Config new_config(TrialIndex trial, TrialIndex donor, Random& random) override;

 private:
  /// Where a trial's gain is counted from.
  struct Before {
    double time{0};
    double score{0};
    std::vector<double> parameters{};
  };
  /// What a configuration gained in a unit of time, from that time and score on.
  struct Gain {
    TrialIndex trial{0};
    double time{0};
    double score_before{0};
    std::vector<double> parameters{};
    double gain{0};
  };
  class Scales;
  struct Model;
  const Model& model();
  std::vector<double> parameters_of(const Config& config) const;
  void choose(Config& config, const Gain& donor, Random& random);

  std::map<TrialIndex, Before> before_;
  std::size_t max_gains_;
  std::vector<Gain> gains_;                       ///< the newest max_gains_
  std::shared_ptr<const Model> model_;            ///< of these gains; null: to be made
  std::vector<std::vector<double>> being_tried_;  ///< chosen since the last new gain, as the process is to know
};

}  // namespace manta::tune
