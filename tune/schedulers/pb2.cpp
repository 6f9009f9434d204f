#include "tune/schedulers/pb2.hpp"

#include <algorithm>
#include <cmath>

#include "runtime/errors.hpp"
#include "tune/schedulers/time_varying_gp.hpp"
#include "tune/searchers/state_text.hpp"

namespace manta::tune {

namespace {

constexpr Eigen::Index kFixed = 2;  // time and score before

struct Bounds {
  double low, high;
  bool whole;
};

Bounds bounds_of(const Parameter& parameter) {
  const Domain& domain = parameter.domain;
  const bool whole = domain.kind() == Domain::Kind::kInteger;
  if ((!whole && domain.kind() != Domain::Kind::kFloat) || domain.is_log() || domain.q() != 0)
    throw InvalidArgument("pb2: the bounds of '" + parameter.name + "' are " + domain.describe() + ", but only uniform and randint can be bounds.");
  if (whole) return {static_cast<double>(domain.int_low()), static_cast<double>(domain.int_high()), true};
  return {domain.low(), domain.high(), false};
}

/// What PBT would refuse by other names.
void check_bounds(const Space& bounds) {
  if (bounds.parameters().empty()) throw InvalidArgument("pb2: hyperparam_bounds is empty: a copy would try nothing new.");
  for (const Parameter& parameter : bounds.parameters()) {
    bounds_of(parameter);
    if (!parameter.condition.clauses.empty())
      throw InvalidArgument("pb2: the bounds of '" + parameter.name + "' have a condition. Conditions stand in TuneOptions::space: give the bounds without one.");
  }
}

PbtOptions as_pbt(const Pb2Options& options) {
  check_bounds(options.hyperparam_bounds);
  if (options.max_gains == 0) throw InvalidArgument("pb2: max_gains is 0; the model needs 1 or more to learn from.");
  return {.time_attr = options.time_attr, .perturbation_interval = options.perturbation_interval, .burn_in_period = options.burn_in_period,
          .hyperparam_mutations = options.hyperparam_bounds, .quantile_fraction = options.quantile_fraction, .resample_probability = 0,
          .custom_explore = options.custom_explore, .synch = options.synch};
}

/// Mean 0, deviation 1, at most 2 either way.
Eigen::VectorXd standardised(Eigen::VectorXd y) {
  y.array() -= y.mean();
  const double deviation = std::sqrt(y.squaredNorm() / static_cast<double>(y.size()));
  return (y / (deviation + 1e-8)).cwiseMax(-2).cwiseMin(2);
}

}  // namespace

SchedulerSpec pb2(Pb2Options options) {
  std::string description = "pb2(time_attr=" + options.time_attr + ", perturbation_interval=" + number_text(options.perturbation_interval, 17) +
                            ", burn_in_period=" + number_text(options.burn_in_period, 17) + ", hyperparam_bounds=" + options.hyperparam_bounds.describe() +
                            ", quantile_fraction=" + number_text(options.quantile_fraction, 17) +
                            ", custom_explore=" + (options.custom_explore ? "yes" : "no") + ", synch=" + (options.synch ? "true" : "false") +
                            ", max_gains=" + std::to_string(options.max_gains) + ", rules=2)";  // to be raised with what else it decides: kRules is for all
  return {"PB2", std::move(description), [options](const SchedulerContext& context) { return std::make_unique<Pb2Scheduler>(options, context); },
          false, true};
}

Pb2Scheduler::Pb2Scheduler(const Pb2Options& options, const SchedulerContext& context) : PbtScheduler(as_pbt(options), context, "pb2"), max_gains_(options.max_gains) {
  for (const Parameter& parameter : options.hyperparam_bounds.parameters())
    if (keeper().is_conditional(parameter.name))
      throw InvalidArgument("pb2: '" + parameter.name + "' has a condition in the search space, and the model needs its value in every trial. Take it out of "
                            "hyperparam_bounds; a copy keeps its donor's, and draws it where it becomes active.");
}

std::vector<double> Pb2Scheduler::parameters_of(const Config& config) const {
  std::vector<double> parameters;
  for (const Parameter& parameter : options().hyperparam_mutations.parameters()) parameters.push_back(config.get<double>(parameter.name));
  return parameters;
}

/// A model of larger ones, whose squares overflow, knows nothing.
constexpr double kMostGain = 1e150;

void Pb2Scheduler::observe(TrialIndex trial, const State& state) {
  if (!std::isfinite(state.score)) return;
  const std::vector<double> parameters = parameters_of(state.config);
  Before& before = before_[trial];
  const double gain = (state.score - before.score) / (state.train_time - before.time);
  if (before.parameters == parameters && state.train_time > before.time && std::abs(gain) < kMostGain) {
    gains_.push_back({trial, state.train_time, before.score, parameters, gain});
    if (gains_.size() > max_gains_) gains_.erase(gains_.begin());
    model_.reset();
    being_tried_.clear();
  }
  before = {state.train_time, state.score, parameters};
}

/// Into [0, 1]: time and score by what was seen, parameters by their bounds.
class Pb2Scheduler::Scales {
 public:
  Scales(const std::vector<Gain>& gains, const Space& space) {
    const auto by = [](auto member) { return [member](const Gain& a, const Gain& b) { return a.*member < b.*member; }; };
    const auto [first, last] = std::minmax_element(gains.begin(), gains.end(), by(&Gain::time));
    const auto [worst, best] = std::minmax_element(gains.begin(), gains.end(), by(&Gain::score_before));
    all_ = {{first->time, last->time, false}, {worst->score_before, best->score_before, false}};
    for (const Parameter& parameter : space.parameters()) all_.push_back(bounds_of(parameter));
  }

  Eigen::Index free() const { return static_cast<Eigen::Index>(all_.size()) - kFixed; }
  Eigen::VectorXd point(double time, double score, const std::vector<double>& parameters) const {
    Eigen::VectorXd x(static_cast<Eigen::Index>(all_.size()));
    for (std::size_t i = 0; i < all_.size(); ++i) {
      const double value = i == 0 ? time : i == 1 ? score : parameters[i - kFixed];
      x(static_cast<Eigen::Index>(i)) = (value - all_[i].low) / (all_[i].high - all_[i].low + 1e-8);
    }
    return x;
  }
  Value parameter(Eigen::Index j, double unit) const {
    const Bounds& bounds = all_[static_cast<std::size_t>(kFixed + j)];
    const double value = bounds.low + unit * (bounds.high - bounds.low);
    if (!bounds.whole) return std::min(value, std::nextafter(bounds.high, bounds.low));  // the upper bound is exclusive
    return static_cast<std::int64_t>(std::min(value, bounds.high - 1));
  }

 private:
  std::vector<Bounds> all_;
};

/// What all copies between two new gains have in common. The fit takes n³ for n gains.
struct Pb2Scheduler::Model {
  Scales scales;
  Eigen::MatrixXd points;
  TimeVaryingGp::Parameters fitted;
  TimeVaryingGp gains;
};

const Pb2Scheduler::Model& Pb2Scheduler::model() {
  if (model_) return *model_;
  Scales scales(gains_, options().hyperparam_mutations);
  const auto rows = static_cast<Eigen::Index>(gains_.size());
  Eigen::MatrixXd points(rows, kFixed + scales.free());
  Eigen::VectorXd y(rows);
  for (Eigen::Index i = 0; i < rows; ++i) {
    const Gain& gain = gains_[static_cast<std::size_t>(i)];
    points.row(i) = scales.point(gain.time, gain.score_before, gain.parameters).transpose();
    y(i) = gain.gain;
  }
  y = standardised(std::move(y));
  const auto fitted = TimeVaryingGp::fit(points, y);
  TimeVaryingGp gains(points, y, fitted);
  model_ = std::make_shared<const Model>(Model{std::move(scales), std::move(points), fitted, std::move(gains)});
  return *model_;
}

/// Puts the parameters that promise most, from where the donor is, into `config`.
void Pb2Scheduler::choose(Config& config, const Gain& donor, Random& random) {
  const auto& [scales, seen, fitted, gains] = model();
  const Eigen::Index rows = seen.rows(), tried = static_cast<Eigen::Index>(being_tried_.size());
  Eigen::MatrixXd points(rows + tried, seen.cols());
  points.topRows(rows) = seen;
  for (Eigen::Index i = 0; i < tried; ++i)
    points.row(rows + i) = scales.point(donor.time, donor.score_before, being_tried_[static_cast<std::size_t>(i)]).transpose();
  const TimeVaryingGp certainty(std::move(points), Eigen::VectorXd::Zero(rows + tried), fitted);  // its variance needs no values
  const double kappa = std::sqrt(std::max(0.0, 0.2 * std::log(0.4 * static_cast<double>(rows))));
  const Eigen::VectorXd fixed = scales.point(donor.time, donor.score_before, donor.parameters).head(kFixed);
  const Eigen::VectorXd x = most_promising(gains, certainty, fixed, scales.free(), kappa, random);
  for (Eigen::Index j = 0; j < scales.free(); ++j)
    config.set(options().hyperparam_mutations.parameters()[static_cast<std::size_t>(j)].name, scales.parameter(j, x(j)));
}

Config Pb2Scheduler::new_config(TrialIndex trial, TrialIndex donor, Random& random) {
  const State& copied = states().at(donor);
  Config config = copied.config;
  const auto newest = std::find_if(gains_.rbegin(), gains_.rend(), [&](const Gain& gain) { return gain.trial == donor; });
  if (newest != gains_.rend())
    choose(config, *newest, random);
  else if (gains_.size() == max_gains_ && std::isfinite(copied.score))  // its own may have been dropped
    choose(config, {.trial = donor, .time = copied.train_time, .score_before = copied.score, .parameters = parameters_of(copied.config)}, random);
  const auto from_the_space = [](std::string_view) -> const Domain* { return nullptr; };
  keeper().settle(config, from_the_space, random);
  if (options().custom_explore) {
    config = options().custom_explore(std::move(config));
    keeper().settle(config, from_the_space, random);
  }
  if (keeper().forbids(config)) config = copied.config;
  being_tried_.push_back(parameters_of(config));
  before_[trial] = {copied.train_time, copied.score, parameters_of(config)};
  return config;
}

std::string Pb2Scheduler::save() const {
  StateWriter out;
  out.put(std::string_view(PbtScheduler::save())).put(before_.size());
  for (const auto& [trial, before] : before_) out.put(trial).put(before.time).put(before.score).put(before.parameters);
  out.put(gains_.size());
  for (const Gain& gain : gains_) out.put(gain.trial).put(gain.time).put(gain.score_before).put(gain.parameters).put(gain.gain);
  out.put(being_tried_.size());
  for (const auto& parameters : being_tried_) out.put(parameters);
  return out.text();
}

void Pb2Scheduler::restore(std::string_view state) {
  StateReader in(state, "pb2");
  PbtScheduler::restore(in.text());
  before_.clear(), gains_.clear(), being_tried_.clear();
  model_.reset();
  const std::size_t parameters = options().hyperparam_mutations.parameters().size();
  for (std::size_t left = in.count(); left > 0; --left) {
    Before& before = before_[in.index()];
    before.time = in.number();
    before.score = in.number();
    before.parameters = in.numbers(parameters);
  }
  for (std::size_t left = in.count(); left > 0; --left) {
    Gain gain{.trial = in.index(), .time = in.comparable(), .score_before = in.comparable(), .parameters = in.numbers(parameters)};
    gain.gain = in.comparable();
    gains_.push_back(std::move(gain));
  }
  for (std::size_t left = in.count(); left > 0; --left) being_tried_.push_back(in.numbers(parameters));
  in.end();
}

}  // namespace manta::tune
