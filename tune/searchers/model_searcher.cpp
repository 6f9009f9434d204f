#include "tune/searchers/model_searcher.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "runtime/errors.hpp"
#include "tune/core/value_json.hpp"

namespace manta::tune {

namespace {

constexpr int kMaxProposals = 20;  // that may be forbidden, before a random point is taken
constexpr int kMaxDraws = 10'000;      // of a configuration, before the space is said to forbid too much
constexpr double kWorst = std::numeric_limits<double>::infinity();

std::string text(const Metrics& metrics) {
  std::string joined;
  for (const auto& [name, value] : metrics) joined += (joined.empty() ? "" : ", ") + name + " = " + number_text(value, 17);
  return joined;
}

std::string text(const Config& config) { return Value(config.entries()).to_text(17); }

Json numbers_json(const std::vector<double>& numbers) {
  Json array = Json::array();
  for (const double number : numbers) array.push_back(value_json(number));
  return array;
}

std::vector<double> numbers_of(const Json& array) {
  std::vector<double> numbers;
  for (const Json& item : array) numbers.push_back(value_as<double>(json_value(item), "number"));
  return numbers;
}

Observation observation_of(const Json& json) {
  const std::uint64_t kind = whole_number(json.at(2), static_cast<std::uint64_t>(Observation::State::kFailed));
  return {numbers_of(json.at(0)), numbers_of(json.at(1)), static_cast<Observation::State>(kind),
          value_as<double>(json_value(json.at(3)), "step"), json.size() > 4 && json.at(4).get<bool>()};
}

}  // namespace

std::string describe(const SearchOptions& options) {
  std::string points, evaluated;
  for (const Config& config : options.points_to_evaluate) points += (points.empty() ? "" : "; ") + text(config);
  for (const auto& [config, metrics] : options.evaluated)
    evaluated += (evaluated.empty() ? "" : "; ") + text(config) + ": " + text(metrics);
  return "startup_trials=" + std::to_string(options.startup_trials) +
         ", wait_for_startup=" + (options.wait_for_startup ? "true" : "false") +
         (points.empty() ? "" : ", points_to_evaluate=[" + points + "]") +
         (evaluated.empty() ? "" : ", evaluated=[" + evaluated + "]");
}

ModelSearcher::ModelSearcher(std::string name, const SearcherContext& context, SearchOptions options, bool learns)
    : name_(std::move(name)), context_(context), options_(std::move(options)), learns_(learns), encoding_(context.space) {
  if (learns && (context_.objectives.empty() || context_.objectives.front().metric.empty()))
    throw InvalidArgument("the searcher '" + name_ + "' learns from results: say by which metric (TuneOptions::metric).");
  check_points();
  for (std::size_t i = 0; i < options_.evaluated.size(); ++i) add_evaluated(options_.evaluated[i], i);
}

void ModelSearcher::check_points() const {
  for (std::size_t i = 0; i < options_.points_to_evaluate.size(); ++i) {
    const Config& given = options_.points_to_evaluate[i];
    (void)encoding_.encode(given);
    if (const Forbidden* forbidden = encoding_.space().forbidden_in(given))
      throw InvalidArgument("points_to_evaluate: number " + std::to_string(i) + ", " + text(given) + ", is forbidden by " +
                            forbidden->describe() + ". Take it out.");
  }
}

void ModelSearcher::add_evaluated(const EvaluatedPoint& evaluated, std::size_t number) {
  const std::string who = "evaluated: number " + std::to_string(number) + ", " + text(evaluated.config) + ", ";
  Observation observation{.point = encoding_.encode(evaluated.config)};
  const std::vector<bool> active = encoding_.active(observation.point);
  for (std::size_t d = 0; d < active.size(); ++d)
    if (active[d] && std::isnan(observation.point[d]))
      throw InvalidArgument(who + "lacks the parameter '" + encoding_.dimensions()[d].path + "'. Give every active one.");
  for (const Objective& objective : context_.objectives)
    if (!evaluated.metrics.contains(objective.metric))
      throw InvalidArgument(who + "has no metric '" + objective.metric + "'. It has: " + evaluated.metrics.names() + ".");
  fill(observation, ResultView{.iteration = 0, .time_total_s = 0, .metrics = evaluated.metrics});
  results_ += observation.has_result();
  history_.push_back(std::move(observation));
}

Observation& ModelSearcher::observation_of(TrialIndex trial) {
  const std::size_t place = options_.evaluated.size() + trial;
  MANTA_CHECK(place < history_.size());
  return history_[place];
}

/// Only while something runs: else nothing would ever wake the search. A paused trial does not run: its scheduler may be
/// waiting for more trials before it lets any go on.
bool ModelSearcher::must_wait(TrialIndex index) const {
  return learns_ && options_.wait_for_startup && index >= options_.startup_trials && results_ < options_.startup_trials && running_ > paused_.size();
}

Suggestion ModelSearcher::suggest(TrialIndex index) {
  if (index >= context_.num_samples) return {};
  Random random = Random::stream(context_.seed, index, name_);
  if (index < options_.points_to_evaluate.size()) {
    const Config& given = options_.points_to_evaluate[index];
    return make(index, completed(given, random), &given, random);
  }
  if (must_wait(index)) return {Suggestion::Kind::kWait};
  return make(index, next_point(index, random), nullptr, random);
}

Suggestion ModelSearcher::suggest_given(TrialIndex index, const Config& given) {
  if (const Forbidden* forbidden = encoding_.space().forbidden_in(given))
    throw InvalidArgument("the configuration " + text(given) + " is forbidden by " + forbidden->describe() + ".");
  Random random = Random::stream(context_.seed, index, name_);
  return make(index, completed(given, random), &given, random);
}

std::vector<double> ModelSearcher::next_point(TrialIndex index, Random& random) {
  const bool informed = results_ >= options_.startup_trials && encoding_.size() > 0;
  for (int i = 0; i < kMaxProposals; ++i) {
    std::vector<double> point = informed ? propose(index, random) : start_up(index, random);
    encoding_.complete(point, random);
    if (!encoding_.is_forbidden(point)) return point;
  }
  return encoding_.sample(random);
}

std::vector<double> ModelSearcher::completed(const Config& given, Random& random) const {
  std::vector<double> point = encoding_.encode(given);
  encoding_.complete(point, random);
  return point;
}

Config ModelSearcher::configuration(const std::vector<double>& point, const Config* given, Random& random) const {
  Config config = encoding_.decode(point);
  if (given) encoding_.overlay(config, point, *given);
  encoding_.run_functions(config, random);
  if (given) encoding_.overlay(config, point, *given);
  return config;
}

/// The functions of the space are drawn last, and what is forbidden may be theirs or what was added to a given point: then
/// these are drawn again, and now and then the point of the searcher's own as well.
Suggestion ModelSearcher::make(TrialIndex index, std::vector<double> point, const Config* given, Random& random) {
  MANTA_CHECK(history_.size() == options_.evaluated.size() + index);
  Config config = configuration(point, given, random);
  for (int draw = 1; encoding_.is_forbidden(config); ++draw) {
    if (draw == kMaxDraws)
      throw InvalidArgument("the searcher '" + name_ + "': " + std::to_string(kMaxDraws) + " configurations were drawn " +
                            (given ? "from number " + std::to_string(index) + " of points_to_evaluate, " + text(*given) + ", " : "") +
                            "and all were forbidden, the last one by " + encoding_.space().forbidden_in(config)->describe() +
                            ". Forbid less, or change the domains.");
    if (given) {
      point = completed(*given, random);
    } else if (draw % kMaxProposals == 0) {
      point = redrawn(index, random);
      encoding_.complete(point, random);
    }
    config = configuration(point, given, random);
  }
  for (std::size_t d = 0; d < point.size(); ++d)
    if (!std::isnan(point[d])) point[d] = encoding_.dimensions()[d].snapped(point[d]);
  history_.push_back({.point = std::move(point)});
  ++running_;
  std::string tag = encoding_.space().tag(config);
  return {Suggestion::Kind::kConfig, std::move(config), std::move(tag)};
}

void ModelSearcher::fill(Observation& observation, const ResultView& result) const {
  observation.losses.clear();
  bool usable = true;
  for (const auto& [metric, mode] : context_.objectives) {
    const double value = result.get(metric).value_or(std::numeric_limits<double>::quiet_NaN());
    usable &= std::isfinite(value);  // an infinite one is never the best, whichever its sign
    observation.losses.push_back(!std::isfinite(value) ? kWorst : mode == Mode::kMin ? value : -value);
  }
  observation.state = usable ? Observation::State::kComplete : Observation::State::kFailed;
  observation.step = static_cast<double>(result.iteration);
}

void ModelSearcher::on_result(TrialIndex trial, const ResultView& result, double rung) {
  at_rung_.reset();
  if (rung <= 0) return;
  Observation so_far{.point = observation_of(trial).point};
  fill(so_far, result);
  learn_rung(so_far, rung);
  at_rung_.emplace(trial, std::move(so_far));
}

/// Where the result at which it pauses filled a rung, that is what is known of it. One that goes on past a rung without a pause
/// just runs: its next results say more, and soon.
void ModelSearcher::on_pause(TrialIndex trial) {
  paused_.insert(trial);
  if (!at_rung_ || at_rung_->first != trial || !learns_of_paused()) return;
  Observation now = std::move(at_rung_->second);
  at_rung_.reset();
  if (now.state == Observation::State::kComplete) now.state = Observation::State::kPruned;
  now.open = true;
  take(observation_of(trial), std::move(now));
}

void ModelSearcher::on_complete(TrialIndex trial, const ResultView* last, double rung) {
  if (last && rung > 0) on_result(trial, *last, rung);
  at_rung_.reset();
  Observation& before = observation_of(trial);
  Observation now{.point = before.point, .step = before.step};
  if (last) {
    fill(now, *last);
    // The result with which it paused at its rung was told there, so `rung` does not say so again.
    const bool halted = before.open && paused_.contains(trial) && now.step == before.step;
    if ((rung > 0 || halted) && now.state == Observation::State::kComplete) now.state = Observation::State::kPruned;
  } else {
    now.losses.assign(context_.objectives.size(), kWorst);
    now.state = Observation::State::kFailed;
  }
  --running_;
  paused_.erase(trial);
  take(before, std::move(now));
}

/// What is known of a trial from now on. An open one was learned of if, and only if, it has a result.
void ModelSearcher::take(Observation& place, Observation now) {
  const bool known = place.has_result();
  place = std::move(now);
  results_ += place.has_result();
  results_ -= known;
  if (known && !place.has_result()) forget(place);
  if (!known && (place.has_result() || !place.open)) learn(place);
}

std::string ModelSearcher::save() const {
  Json trials = Json::array();
  for (const Observation& o : history_) {
    Json trial{numbers_json(o.point), numbers_json(o.losses), static_cast<int>(o.state), value_json(o.step)};
    if (o.open) trial.push_back(true);
    trials.push_back(std::move(trial));
  }
  return Json{{"searcher", name_}, {"trials", trials}, {"paused", paused_}, {"model", save_model()}}.dump();
}

/// What every searcher relies on: coordinates of the active dimensions, and as many losses as there are objectives.
void ModelSearcher::check_observation(const Observation& observation) const {
  if (observation.point.size() != encoding_.size()) throw InvalidArgument("it is of another search space");
  const std::vector<bool> active = encoding_.active(observation.point);
  constexpr double kRounding = 1e-6;
  const auto inside = [](double unit) { return unit >= -kRounding && unit <= 1 + kRounding; };
  for (std::size_t d = 0; d < active.size(); ++d)
    if (active[d] ? !inside(observation.point[d]) : !std::isnan(observation.point[d]))
      throw InvalidArgument("a trial's point is not of the search space");
  if (observation.open && (!observation.told() || observation.state == Observation::State::kComplete))
    throw InvalidArgument("a trial that paused at no rung stands there as one that did");
  if (observation.losses.size() != (observation.told() ? context_.objectives.size() : 0))
    throw InvalidArgument("a trial has " + std::to_string(observation.losses.size()) + " results where there should be others");
  for (const double loss : observation.losses)
    if (observation.has_result() ? !std::isfinite(loss) : std::isnan(loss)) throw InvalidArgument("a trial's result is no number");
}

void ModelSearcher::check_restored(std::uint64_t trials, std::uint64_t running) const {
  if (history_.size() == options_.evaluated.size() + trials && running_ == running) return;
  throw InvalidArgument("the searcher '" + name_ + "' knows of " + std::to_string(history_.size() - options_.evaluated.size()) +
                        " trials, of which " + std::to_string(running_) + " have not ended, but there are " + std::to_string(trials) +
                        ", of which " + std::to_string(running) + " have not ended");
}

void ModelSearcher::restore(std::string_view state) {
  try {
    const Json json = parse_json(state);
    if (json.at("searcher") != name_) throw InvalidArgument("it is of '" + json.at("searcher").get<std::string>() + "'");
    std::vector<Observation> history;
    for (const Json& trial : json.at("trials")) {
      history.push_back(tune::observation_of(trial));
      check_observation(history.back());
    }
    if (history.size() < options_.evaluated.size()) throw InvalidArgument("it lacks what was evaluated beforehand");
    history_ = std::move(history);
    paused_ = json.contains("paused") ? trials_of(json.at("paused")) : std::set<TrialIndex>();
    at_rung_.reset();
    restore_model(json.at("model").get<std::string>());
  } catch (const std::exception& error) {
    throw InvalidArgument("the saved state of the searcher '" + name_ + "' cannot be restored: " + error.what() +
                          ". Give it to a searcher with the same space and options.");
  }
  running_ = static_cast<std::size_t>(std::count_if(history_.begin(), history_.end(), [](const auto& o) { return !o.ended(); }));
  results_ = static_cast<std::size_t>(std::count_if(history_.begin(), history_.end(), [](const auto& o) { return o.has_result(); }));
}

}  // namespace manta::tune
