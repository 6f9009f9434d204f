#include "tune/schedulers/pbt.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <optional>
#include <tuple>

#include "runtime/errors.hpp"
#include "tune/searchers/state_text.hpp"

namespace manta::tune {

namespace {

constexpr int kTagDigits = 4;

struct Mutation {
  std::string path;
  const Domain* domain;
};

void collect(const Space& space, const std::string& prefix, std::vector<Mutation>& all) {
  for (const Parameter& parameter : space.parameters()) {
    const std::string path = prefix + parameter.name;
    const Domain& domain = parameter.domain;
    if (!parameter.condition.clauses.empty())
      throw InvalidArgument("pbt: the mutation of '" + path + "' has a condition. Conditions stand in TuneOptions::space, and what changes is kept "
                            "within those: give the mutation without one.");
    if (domain.kind() == Domain::Kind::kNested)
      collect(domain.nested(), path + "/", all);
    else if (has_values(domain) || domain.is_searchable() || domain.kind() == Domain::Kind::kSampleFrom)
      all.push_back({path, &domain});
    else
      throw InvalidArgument("pbt: the mutation of '" + path + "' is " + domain.describe() +
                            ", from which nothing can be drawn. Give a choice, a numeric domain, sample_from, or a table of these.");
  }
}

std::vector<Mutation> mutations_of(const Space& space) {
  std::vector<Mutation> all;
  collect(space, "", all);
  return all;
}

double number_of(const Value& value, const std::string& path) {
  if (const auto* whole = value.as<std::int64_t>()) return static_cast<double>(*whole);
  if (const auto* number = value.as<double>()) return *number;
  throw InvalidArgument("pbt: parameter '" + path + "' is a " + value.type_name() +
                        ", which cannot be multiplied. Give its mutation as a choice of its values.");
}

Value neighbour(const Domain& domain, std::size_t at, Random& random) {
  const auto last = static_cast<std::int64_t>(domain.values().size()) - 1;
  const std::int64_t moved = static_cast<std::int64_t>(at) + (random.randint(0, 2) == 0 ? -1 : 1);
  return domain.values()[static_cast<std::size_t>(std::clamp<std::int64_t>(moved, 0, last))];
}

/// As an integer, the nearest where there is none so large.
std::int64_t truncated(double number) {
  constexpr double kBeyond = 0x1.0p63;
  if (number >= kBeyond) return INT64_MAX;
  return number <= -kBeyond ? INT64_MIN : static_cast<std::int64_t>(number);
}

Value changed(const Mutation& mutation, const Value& old, const Config& config, const PbtOptions& options, Random& random) {
  const bool resample = random.uniform() < options.resample_probability;
  if (has_values(*mutation.domain)) {
    const auto& values = mutation.domain->values();
    const auto found = std::find(values.begin(), values.end(), old);
    if (resample || found == values.end()) return draw_from(*mutation.domain, config, random);
    return neighbour(*mutation.domain, static_cast<std::size_t>(found - values.begin()), random);
  }
  Value fresh;
  if (resample) {
    fresh = draw_from(*mutation.domain, config, random);
  } else {
    const auto& factors = options.perturbation_factors;
    const auto which = static_cast<std::size_t>(random.randint(0, static_cast<std::int64_t>(factors.size())));
    fresh = number_of(old, mutation.path) * factors[which];
  }
  if (old.as<std::int64_t>() && fresh.as<double>()) return truncated(*fresh.as<double>());
  return fresh;
}

void check(const PbtOptions& options, const std::string& metric, const std::string& who) {
  const auto refuse = [&](const std::string& what) { throw InvalidArgument(who + ": " + what); };
  if (metric.empty()) refuse("there is no metric to compare trials by. Set TuneOptions::metric.");
  if (options.time_attr.empty()) refuse("time_attr is empty; \"training_iteration\" is a usual one.");
  if (!(options.perturbation_interval > 0)) refuse("perturbation_interval is " + number_text(options.perturbation_interval, 6) + ", but it must be above 0.");
  if (!(options.burn_in_period >= 0)) refuse("burn_in_period is " + number_text(options.burn_in_period, 6) + ", but it must be 0 or more.");
  if (!(options.quantile_fraction >= 0 && options.quantile_fraction <= 0.5))
    refuse("quantile_fraction is " + number_text(options.quantile_fraction, 6) + ", but it must be from 0 to 0.5.");
  if (!(options.resample_probability >= 0 && options.resample_probability <= 1))
    refuse("resample_probability is " + number_text(options.resample_probability, 6) + ", but it must be from 0 to 1.");
  if (options.perturbation_factors.empty()) refuse("perturbation_factors is empty; {1.2, 0.8} are the usual ones.");
  for (const double factor : options.perturbation_factors)
    if (!std::isfinite(factor)) refuse("perturbation_factors holds " + number_text(factor, 6) + ", but it must hold finite numbers.");
  options.hyperparam_mutations.check();
  if (mutations_of(options.hyperparam_mutations).empty() && !options.custom_explore)
    refuse("hyperparam_mutations is empty and there is no custom_explore: a copy would try nothing new.");
}

/// Whether all values that the search space gives there can be multiplied. A function may give any.
bool is_numeric(const Domain& domain) {
  if (domain.kind() == Domain::Kind::kNested || domain.kind() == Domain::Kind::kList) return false;
  if (!has_values(domain) && domain.kind() != Domain::Kind::kConstant) return true;
  return std::all_of(domain.values().begin(), domain.values().end(),
                     [](const Value& value) { return value.as<std::int64_t>() || value.as<double>(); });
}

const Domain* domain_at(const Space& space, std::string_view path) {
  const auto slash = path.find('/');
  for (const Parameter& parameter : space.parameters()) {
    if (parameter.name != path.substr(0, slash)) continue;
    if (slash == std::string_view::npos) return &parameter.domain;
    return parameter.domain.kind() == Domain::Kind::kNested ? domain_at(parameter.domain.nested(), path.substr(slash + 1)) : nullptr;
  }
  return nullptr;
}

/// What would be found out at the first exploit.
void check_against(const Space& space, const PbtOptions& options, const std::string& who) {
  for (const auto& [path, domain] : mutations_of(options.hyperparam_mutations)) {
    const Domain* there = domain_at(space, path);
    const bool multiplies = !has_values(*domain) && options.resample_probability < 1;
    if (!there || !multiplies || is_numeric(*there)) continue;
    const std::string both = domain->describe() + ", but the search space has " + there->describe() + " there, which ";
    throw InvalidArgument(who == "pbt" ? "pbt: the mutation of '" + path + "' is " + both + "cannot be multiplied. Give its mutation as a choice of its values."
                                       : who + ": the bounds of '" + path + "' are " + both + "are no numbers. Take it out of hyperparam_bounds.");
  }
}

}  // namespace

namespace {

Config explore_once(const Config& config, const PbtOptions& options, Random& random, const ConfigKeeper& keeper) {
  const std::vector<Mutation> mutations = mutations_of(options.hyperparam_mutations);
  const auto domain_of = [&](std::string_view path) -> const Domain* {
    const auto found = std::find_if(mutations.begin(), mutations.end(), [&](const Mutation& mutation) { return mutation.path == path; });
    return found == mutations.end() ? nullptr : found->domain;
  };
  Config near = config;
  for (const Mutation& mutation : mutations) {
    const Value* old = keeper.find(config, mutation.path);
    if (!old && keeper.is_conditional(mutation.path)) continue;  // switched off
    if (!old) throw InvalidArgument("pbt: there is no parameter '" + mutation.path + "' to change. There are: " + config.describe() + ".");
    near.set(mutation.path, changed(mutation, *old, near, options, random));
  }
  keeper.settle(near, domain_of, random);
  if (!options.custom_explore) return near;
  near = options.custom_explore(std::move(near));
  keeper.settle(near, domain_of, random);
  return near;
}

}  // namespace

Config explore(const Config& config, const PbtOptions& options, Random& random, const ConfigKeeper& keeper) {
  constexpr int kMostDraws = 100;
  for (int draw = 0; draw < kMostDraws; ++draw) {
    Config near = explore_once(config, options, random, keeper);
    if (!keeper.forbids(near)) return near;
  }
  return config;
}

SchedulerSpec pbt(PbtOptions options) {
  std::string factors;
  for (const double factor : options.perturbation_factors) factors += (factors.empty() ? "" : ",") + number_text(factor, 17);
  std::string description = "pbt(time_attr=" + options.time_attr + ", perturbation_interval=" + number_text(options.perturbation_interval, 17) +
                            ", burn_in_period=" + number_text(options.burn_in_period, 17) +
                            ", hyperparam_mutations=" + options.hyperparam_mutations.describe() +
                            ", quantile_fraction=" + number_text(options.quantile_fraction, 17) +
                            ", resample_probability=" + number_text(options.resample_probability, 17) + ", perturbation_factors=" + factors +
                            ", custom_explore=" + (options.custom_explore ? "yes" : "no") + ", synch=" + (options.synch ? "true" : "false") + ")";
  return {"PopulationBasedTraining", std::move(description),
          [options](const SchedulerContext& context) { return std::make_unique<PbtScheduler>(options, context); }, false, true};
}

PbtScheduler::PbtScheduler(PbtOptions options, const SchedulerContext& context, const std::string& who)
    : options_(std::move(options)),
      keeper_(context.space),
      metric_(context.metric),
      sign_(context.mode == Mode::kMax ? 1.0 : -1.0),
      seed_(context.seed),
      saves_itself_(context.saves_itself),
      next_synch_(std::max(options_.perturbation_interval, options_.burn_in_period)) {
  check(options_, metric_, who);
  check_against(context.space, options_, who);
}

void PbtScheduler::fill_config(TrialIndex trial, Config& config) const {
  for (const Mutation& mutation : mutations_of(options_.hyperparam_mutations)) {
    if (config.contains(mutation.path) || keeper_.is_conditional(mutation.path)) continue;  // where it is not, it is switched off
    Random random = Random::stream(seed_, trial, "pbt " + mutation.path);
    config.set(mutation.path, draw_from(*mutation.domain, config, random));
  }
}

void PbtScheduler::on_trial_add(TrialIndex trial, const Config& config) {
  states_[trial] = State{.config = config};
  waiting_.insert(trial);
}

Verdict PbtScheduler::on_result(TrialIndex trial, const ResultView& result) {
  const auto time = result.get(options_.time_attr);
  const auto value = result.get(metric_);
  const auto found = states_.find(trial);
  if (found == states_.end()) return {};
  State& state = found->second;
  if (result.checkpoint) state.checkpoint = true;
  if (!time || !value || std::isnan(*time)) return {};
  if (*time < options_.burn_in_period || *time - state.perturbation_time < options_.perturbation_interval) return {};
  state.scored = true;
  state.score = std::isnan(*value) ? -std::numeric_limits<double>::infinity() : sign_ * *value;
  state.train_time = *time;
  observe(trial, state);
  const Verdict verdict = options_.synch ? Verdict(Decision::kPause) : on_interval(trial, *time, result.checkpoint);
  if (verdict.decision == Decision::kPause) waiting_.insert(trial);
  return verdict;
}

void PbtScheduler::on_checkpoint(TrialIndex trial) {
  if (const auto found = states_.find(trial); found != states_.end()) found->second.checkpoint = true;
}

Verdict PbtScheduler::on_interval(TrialIndex trial, double time, bool saved) {
  states_.at(trial).perturbation_time = time;
  Verdict verdict(waiting_.empty() ? Decision::kContinue : Decision::kPause);
  const Quantiles split = quantiles();
  const auto among = [trial](const std::vector<TrialIndex>& trials) { return std::find(trials.begin(), trials.end(), trial) != trials.end(); };
  // One of the best saves itself here, as Ray makes it: by leaving, if its own checkpoints come at other times. Copies would
  // begin with older weights than those that made it one of the best, or there would be nothing to copy.
  if (saves_itself_ && !saved && among(split.upper)) verdict.decision = Decision::kPause;
  if (!among(split.lower)) return verdict;
  verdict.exploit = exploit(trial, split.upper);
  if (verdict.exploit) verdict.decision = Decision::kPause;
  return verdict;
}

bool PbtScheduler::all_there() const {
  return std::all_of(states_.begin(), states_.end(), [&](const auto& item) { return item.second.train_time >= next_synch_; });
}

/// All trials are at the interval's end: the worst become copies of the best.
Verdict PbtScheduler::step_together() {
  Verdict verdict;
  const Quantiles split = quantiles();
  double time = 0;
  for (const auto& [trial, state] : states_) time = std::max(time, state.train_time);
  for (auto& [trial, state] : states_) state.perturbation_time = state.train_time;
  for (const TrialIndex trial : split.lower) {
    if (auto copied = exploit(trial, split.upper)) verdict.exploit_others.emplace_back(trial, std::move(*copied));
  }
  // Ray takes the larger of the first and `time`; where results are further apart than the interval, that lets nobody go on.
  next_synch_ += options_.perturbation_interval;
  if (next_synch_ <= time) next_synch_ = time + options_.perturbation_interval;
  verdict.resume.assign(waiting_.begin(), waiting_.end());
  return verdict;
}

PbtScheduler::Quantiles PbtScheduler::quantiles() const {
  std::vector<std::pair<double, TrialIndex>> order;
  for (const auto& [trial, state] : states_)
    if (state.scored) order.emplace_back(state.score, trial);
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  Quantiles split;
  if (order.size() <= 1) return split;
  auto count = static_cast<std::size_t>(std::ceil(static_cast<double>(order.size()) * options_.quantile_fraction));
  count = std::min(count, order.size() / 2);
  for (std::size_t i = 0; i < count; ++i) {
    split.lower.push_back(order[i].second);
    split.upper.push_back(order[order.size() - count + i].second);
  }
  return split;
}

std::optional<Exploit> PbtScheduler::exploit(TrialIndex trial, const std::vector<TrialIndex>& upper) {
  std::vector<TrialIndex> donors;
  std::copy_if(upper.begin(), upper.end(), std::back_inserter(donors), [&](TrialIndex each) { return states_.at(each).checkpoint; });
  if (donors.empty()) {
    if (!upper.empty()) ++nothing_to_copy_;
    return std::nullopt;
  }
  Random random = Random::stream(seed_, perturbations_++, "pbt exploit");
  const TrialIndex donor = donors[static_cast<std::size_t>(random.randint(0, static_cast<std::int64_t>(donors.size())))];
  const State& copied = states_.at(donor);
  State& state = states_.at(trial);
  state.config = new_config(trial, donor, random);
  state.perturbation_time = copied.perturbation_time;
  state.train_time = copied.train_time;
  state.checkpoint = false;
  state.copied_at = perturbations_;
  return Exploit{donor, state.config, tag(state.config)};
}

Config PbtScheduler::new_config(TrialIndex, TrialIndex donor, Random& random) {
  return explore(states_.at(donor).config, options_, random, keeper_);
}

std::string PbtScheduler::tag(const Config& config) const {
  std::string text;
  for (const Mutation& mutation : mutations_of(options_.hyperparam_mutations))
    if (const Value* value = config.find(mutation.path))
      text += (text.empty() ? "" : ",") + mutation.path + "=" + value->to_text(kTagDigits);
  return "@perturbed[" + text + "]";
}

Verdict PbtScheduler::on_complete(TrialIndex trial, const ResultView*) { return on_error(trial); }

Verdict PbtScheduler::on_error(TrialIndex trial) {
  states_.erase(trial);
  waiting_.erase(trial);
  return {};
}

/// With synch only here: all are off their workers, so what they save when they leave is there to be copied.
Verdict PbtScheduler::on_idle() {
  return options_.synch && !states_.empty() && all_there() ? step_together() : Verdict();
}

std::optional<TrialIndex> PbtScheduler::choose_trial_to_run(const Candidates& candidates) const {
  std::optional<TrialIndex> least;
  std::tuple<double, std::uint64_t, TrialIndex> least_rank;
  const auto consider = [&](TrialIndex trial) {
    const auto found = states_.find(trial);
    const auto rank = found == states_.end() ? std::tuple(0.0, std::uint64_t{0}, trial)
                                             : std::tuple(found->second.train_time, found->second.copied_at, trial);
    if (options_.synch && std::get<0>(rank) >= next_synch_) return;
    if (!least || rank < least_rank) least = trial, least_rank = rank;
  };
  for (const TrialIndex trial : candidates.ready) consider(trial);
  for (const TrialIndex trial : waiting_)
    if (!candidates.startable || candidates.startable(trial)) consider(trial);
  return least;
}

std::string PbtScheduler::debug_text() const {
  std::string text = "PopulationBasedTraining: " + std::to_string(perturbations_) + " perturbs";
  if (nothing_to_copy_ != 0)
    text += ", " + std::to_string(nothing_to_copy_) + " left out since none of the best had a checkpoint: report with one, or say how to save (save_when_leaving)";
  return text;
}

std::string PbtScheduler::save() const {
  StateWriter out;
  out.put(perturbations_).put(next_synch_).put(waiting_.size());
  for (const TrialIndex trial : waiting_) out.put(trial);
  out.put(states_.size());
  for (const auto& [trial, state] : states_)
    out.put(trial).put(state.config).put(state.scored).put(state.score).put(state.train_time).put(state.perturbation_time).put(state.checkpoint);
  for (const auto& [trial, state] : states_) out.put(state.copied_at);
  return out.text();
}

void PbtScheduler::restore(std::string_view saved) {
  StateReader in(saved, "pbt");
  perturbations_ = in.integer();
  next_synch_ = in.number();
  waiting_.clear(), states_.clear();
  for (std::size_t left = in.count(); left > 0; --left) waiting_.insert(in.index());
  for (std::size_t left = in.count(); left > 0; --left) {
    State& state = states_[in.index()];
    state.config = in.config();
    state.scored = in.flag();
    state.score = in.comparable();
    state.train_time = in.number();
    state.perturbation_time = in.number();
    state.checkpoint = in.flag();
  }
  for (auto& [trial, state] : states_) state.copied_at = in.integer();
  in.end();
}

}  // namespace manta::tune
