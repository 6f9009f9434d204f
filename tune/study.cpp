#include "tune/study.hpp"

#include <algorithm>
#include <cmath>
#include <random>

#include "runtime/errors.hpp"
#include "tune/core/made.hpp"
#include "tune/core/value_json.hpp"
#include "tune/searchers/encoding.hpp"
#include "tune/searchers/pareto.hpp"

namespace manta::tune {

namespace {

constexpr std::uint64_t kEndless = std::uint64_t{1} << 32;  // TrialIndex ends there

Json trial_json(const StudyTrial& trial) {
  Json metrics = Json::array();
  for (const auto& [name, value] : trial.metrics) metrics.push_back(Json::array({value_json(Value(name)), value_json(value)}));
  return {value_json(Value(trial.config.entries())), static_cast<int>(trial.state), trial.step, metrics};
}

StudyTrial study_trial_of(const Json& json, TrialIndex number) {
  const std::uint64_t state = whole_number(json.at(1), static_cast<std::uint64_t>(StudyTrial::State::kFailed));
  const Value config = json_value(json.at(0));
  if (!config.as<Value::Dict>()) throw InvalidArgument("a trial has no configuration");
  StudyTrial trial{number, Config(*config.as<Value::Dict>()), static_cast<StudyTrial::State>(state), {}, whole_number(json.at(2))};
  for (const Json& metric : json.at(3)) {
    const Value number_told = json_value(metric.at(1));
    trial.metrics.set(value_as<std::string>(json_value(metric.at(0)), "name"), value_as<double>(number_told, "metric"));
  }
  return trial;
}

/// That each trial with a result has all that `best` looks at.
void check_objectives(const std::vector<StudyTrial>& trials, const std::vector<Objective>& objectives) {
  for (const StudyTrial& trial : trials)
    for (const Objective& objective : objectives)
      if (trial.state == StudyTrial::State::kComplete && !trial.metrics.contains(objective.metric))
        throw InvalidArgument("trial " + std::to_string(trial.number) + " has no metric '" + objective.metric + "'");
}

}  // namespace

Study::Study(StudyOptions options)
    : options_(std::move(options)), seed_(options_.seed ? *options_.seed : std::random_device{}()) {
  options_.space.check();
  if (options_.objectives.empty()) options_.objectives = {{options_.metric, options_.mode}};
  for (const Objective& objective : options_.objectives)
    if (objective.metric.empty()) throw InvalidArgument("study: no metric. Say by which the trials are compared.");
  searcher_ = make_searcher(seed_);
}

std::unique_ptr<Searcher> Study::make_searcher(std::uint64_t seed) const {
  if (!options_.searcher.make) throw InvalidArgument("study: there is no searcher; tune::random_search() makes one.");
  const SearcherContext context{.space = options_.space, .objectives = options_.objectives, .num_samples = kEndless, .seed = seed};
  return make_checked("searcher", options_.searcher, context);
}

StudyTrial Study::ask() {
  if (auto trial = try_ask()) return *std::move(trial);
  for (const StudyTrial& trial : trials_)
    if (trial.state == StudyTrial::State::kRunning)
      throw ResourceExhausted("study: the searcher waits for results. Tell that of trial " + std::to_string(trial.number) +
                              ", or of another that runs, and ask again.");
  throw NotFound("study: the searcher has no more trials.");
}

std::optional<StudyTrial> Study::try_ask() {
  const auto number = static_cast<TrialIndex>(trials_.size());
  Suggestion suggestion = enqueued_.empty() ? searcher_->suggest(number) : searcher_->suggest_given(number, enqueued_.front());
  if (suggestion.kind != Suggestion::Kind::kConfig) return std::nullopt;
  if (!enqueued_.empty()) enqueued_.pop_front();
  trials_.push_back({.number = number, .config = std::move(suggestion.config)});
  return trials_.back();
}

/// Refuses what the searcher cannot take; gives the active parameters that the configuration leaves out.
std::vector<std::string> Study::check_given(const Config& config) const {
  if (!searcher_->takes_given())
    throw InvalidArgument("study: the searcher '" + options_.searcher.name + "' takes no configurations of yours. Choose another, " +
                          "as random_search(SearchOptions{}).");
  const ParameterEncoding encoding(options_.space);
  const std::vector<double> point = encoding.encode(config);
  if (const Forbidden* forbidden = encoding.space().forbidden_in(config))
    throw InvalidArgument("study: the configuration " + config.describe() + " is forbidden by " + forbidden->describe() + ".");
  std::vector<std::string> missing;
  const std::vector<bool> active = encoding.active(point);
  for (std::size_t d = 0; d < active.size(); ++d)
    if (active[d] && std::isnan(point[d])) missing.push_back(encoding.dimensions()[d].path);
  return missing;
}

void Study::enqueue(Config config) {
  (void)check_given(config);
  enqueued_.push_back(std::move(config));
}

const StudyTrial& Study::add(Config config, const Metrics& metrics) {
  const auto number = static_cast<TrialIndex>(trials_.size());
  const std::string who = "study: trial " + std::to_string(number);
  if (const auto missing = check_given(config); !missing.empty())
    throw InvalidArgument(who + " lacks the parameter '" + missing.front() + "'. Give every active one.");
  check_metrics(who, metrics);
  Suggestion suggestion = searcher_->suggest_given(number, config);
  if (suggestion.kind != Suggestion::Kind::kConfig)
    throw ResourceExhausted(who + " cannot be added: the searcher waits for results. Tell one first.");
  trials_.push_back({.number = number, .config = std::move(suggestion.config)});
  tell(trials_.back(), metrics);
  return trials_.back();
}

void Study::check_metrics(const std::string& who, const Metrics& metrics) const {
  for (const Objective& objective : options_.objectives)
    if (!metrics.contains(objective.metric))
      throw InvalidArgument(who + " was told without the metric '" + objective.metric + "'. Told were: " + metrics.names() + ".");
}

void Study::tell(const StudyTrial& trial, const Metrics& metrics) { end(trial, StudyTrial::State::kComplete, 0, &metrics); }

void Study::tell_pruned(const StudyTrial& trial, std::uint64_t step, const Metrics& metrics) {
  end(trial, StudyTrial::State::kPruned, step, &metrics);
}

void Study::tell_failed(const StudyTrial& trial) { end(trial, StudyTrial::State::kFailed, 0, nullptr); }

void Study::end(const StudyTrial& told, StudyTrial::State state, std::uint64_t step, const Metrics* metrics) {
  const std::string who = "study: trial " + std::to_string(told.number);
  if (told.number >= trials_.size()) throw NotFound(who + " was never asked for. There are " + std::to_string(trials_.size()) + ".");
  StudyTrial& trial = trials_[told.number];
  if (trial.state != StudyTrial::State::kRunning) throw InvalidArgument(who + " has been told already. Ask for a new one.");
  if (metrics) check_metrics(who, *metrics);
  trial.state = state;
  trial.step = step;
  if (metrics) trial.metrics = *metrics;
  const ResultView last{.iteration = step, .time_total_s = 0, .metrics = trial.metrics};
  searcher_->on_complete(trial.number, metrics ? &last : nullptr,
                         state == StudyTrial::State::kPruned ? std::max(1.0, static_cast<double>(step)) : 0);
}

double Study::loss_of(const StudyTrial& trial, const Objective& objective) const {
  return *trial.metrics.get(objective.metric) * (objective.mode == Mode::kMin ? 1 : -1);
}

bool Study::is_finite(const StudyTrial& trial) const {
  return trial.state == StudyTrial::State::kComplete &&
         std::all_of(options_.objectives.begin(), options_.objectives.end(),
                     [&](const Objective& objective) { return std::isfinite(loss_of(trial, objective)); });
}

const StudyTrial& Study::best() const {
  const Objective& objective = options_.objectives.front();
  const StudyTrial* best = nullptr;
  for (const StudyTrial& trial : trials_)
    if (is_finite(trial) && (!best || loss_of(trial, objective) < loss_of(*best, objective))) best = &trial;
  if (best) return *best;
  throw NotFound("study: none of the " + std::to_string(trials_.size()) + " trials has completed with a finite '" +
                 objective.metric + "'.");
}

std::vector<TrialIndex> Study::pareto_front() const {
  std::vector<TrialIndex> numbers;
  std::vector<Losses> losses;
  for (const StudyTrial& trial : trials_) {
    if (!is_finite(trial)) continue;
    numbers.push_back(trial.number);
    Losses& of_trial = losses.emplace_back();
    for (const Objective& objective : options_.objectives) of_trial.push_back(loss_of(trial, objective));
  }
  std::vector<TrialIndex> front;
  for (const std::size_t place : tune::pareto_front(losses)) front.push_back(numbers[place]);
  return front;
}

std::string Study::describe() const {
  std::string text;
  for (const auto& [metric, mode] : options_.objectives) text += metric + (mode == Mode::kMin ? " min " : " max ");
  return text + options_.space.describe() + " " + options_.searcher.description;
}

std::string Study::save() const {
  Json trials = Json::array();
  for (const StudyTrial& trial : trials_) trials.push_back(trial_json(trial));
  Json json{{"study", value_json(Value(describe()))}, {"seed", seed_}, {"searcher", value_json(Value(searcher_->save()))}, {"trials", trials}};
  for (const Config& config : enqueued_) json["enqueued"].push_back(value_json(Value(config.entries())));
  return json.dump();
}

void Study::restore(std::string_view state) {
  try {
    const Json json = parse_json(state);
    if (const auto of = value_as<std::string>(json_value(json.at("study")), "study"); of != describe())
      throw InvalidArgument("it is of a study with other options: " + of);
    const auto seed = whole_number(json.at("seed"));
    auto searcher = make_searcher(seed);
    searcher->restore(value_as<std::string>(json_value(json.at("searcher")), "searcher"));
    std::vector<StudyTrial> trials;
    for (const Json& trial : json.at("trials")) trials.push_back(study_trial_of(trial, static_cast<TrialIndex>(trials.size())));
    check_objectives(trials, options_.objectives);
    searcher->check_restored(trials.size(), static_cast<std::uint64_t>(std::count_if(trials.begin(), trials.end(), [](const StudyTrial& trial) {
                               return trial.state == StudyTrial::State::kRunning;
                             })));
    std::deque<Config> enqueued;
    for (const Json& config : json.value("enqueued", Json::array())) {
      const Value table = json_value(config);
      if (!table.as<Value::Dict>()) throw InvalidArgument("what is enqueued is no configuration");
      enqueued.emplace_back(*table.as<Value::Dict>());
      if (!searcher->takes_given()) throw InvalidArgument("its searcher takes no configurations");
      (void)ParameterEncoding(options_.space).encode(enqueued.back());
    }
    enqueued_ = std::move(enqueued);
    seed_ = seed, searcher_ = std::move(searcher), trials_ = std::move(trials);
  } catch (const std::exception& error) {
    throw InvalidArgument(std::string("study: the saved state cannot be restored: ") + error.what());
  }
}

}  // namespace manta::tune
