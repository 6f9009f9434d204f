#include "tune/report/model.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include "runtime/errors.hpp"

namespace manta::tune {

namespace {

std::optional<double> number_of(const Value& value) {
  if (const auto* integer = value.as<std::int64_t>()) return static_cast<double>(*integer);
  if (const auto* number = value.as<double>(); number && std::isfinite(*number)) return *number;
  return std::nullopt;
}

/// The space says so, "lr: loguniform(…", or all are above 0 and lie evenly by their logarithms rather than as they are.
bool is_logarithmic(const std::string& space, const std::string& name, std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const double low = values.front(), high = values.back(), middle = values[values.size() / 2];
  if (low <= 0) return false;
  const std::string last = name.substr(name.rfind('/') + 1);
  for (const char* before : {"{", " "})
    for (const char* domain : {": log", ": qlog"})
      if (space.find(before + last + domain) != std::string::npos) return true;
  if (high / low < 30) return false;
  const double plain = (middle - low) / (high - low), by_log = std::log(middle / low) / std::log(high / low);
  return std::abs(by_log - 0.5) < std::abs(plain - 0.5);
}

constexpr int kExactDigits = 17;  // tells any two doubles apart

/// Three more than what the numbers have in common: 0.999991 and 0.999994 need more than 0.1 and 0.4.
int digits_for(const std::vector<double>& numbers) {
  const auto [low, high] = std::minmax_element(numbers.begin(), numbers.end());
  const double largest = std::max(std::abs(*low), std::abs(*high));
  return static_cast<int>(std::clamp<double>(std::ceil(std::log10(largest / (*high - *low))) + 3, 5, kExactDigits));
}

/// The parameter's values over all trials; nothing when they do not differ.
std::optional<ReportParameter> read_parameter(const ExperimentHistory& history, const std::string& name) {
  ReportParameter parameter{.name = name};
  std::vector<double> numbers;
  std::set<std::string> texts, exact;
  bool numeric = true;
  for (const Trial& trial : history.trials) {
    const Value* value = trial.config_of_result().find(name);
    if (!value) continue;
    texts.insert(value->to_text(parameter.digits));
    exact.insert(value->to_text(kExactDigits));
    const auto number = number_of(*value);
    numeric &= number.has_value();
    if (number) numbers.push_back(*number);
  }
  if (exact.size() < 2) return std::nullopt;
  if (numeric)
    parameter.digits = digits_for(numbers);
  else if (texts.size() < exact.size())
    parameter.digits = kExactDigits, texts = std::move(exact);
  if (numeric)
    parameter.logarithmic = is_logarithmic(history.about("space"), name, numbers);
  else
    parameter.levels.assign(texts.begin(), texts.end());
  for (const Trial& trial : history.trials) {
    const Value* value = trial.config_of_result().find(name);
    auto& entry = parameter.values.emplace_back();
    if (!value) continue;
    entry = numeric ? *number_of(*value)
                    : static_cast<double>(std::lower_bound(parameter.levels.begin(), parameter.levels.end(), value->to_text(parameter.digits)) -
                                          parameter.levels.begin());
  }
  return parameter;
}

std::vector<ReportParameter> read_parameters(const ExperimentHistory& history) {
  std::vector<std::string> names;
  for (const Trial& trial : history.trials)
    for (const auto& [path, value] : trial.config_of_result().flat())
      if (std::find(names.begin(), names.end(), path) == names.end()) names.push_back(path);
  std::vector<ReportParameter> parameters;
  for (const std::string& name : names)
    if (auto parameter = read_parameter(history, name)) parameters.push_back(std::move(*parameter));
  return parameters;
}

std::vector<std::optional<double>> last_values(const ExperimentHistory& history, const std::string& metric) {
  std::vector<std::optional<double>> values;
  bool reported = false;
  for (const Trial& trial : history.trials) {
    const auto value = trial.value(metric);
    reported |= value.has_value();
    values.push_back(value && std::isfinite(*value) ? value : std::nullopt);
  }
  const bool any = std::any_of(history.trials.begin(), history.trials.end(), [](const Trial& trial) { return trial.iteration > 0; });
  if (any && !reported)
    throw InvalidArgument("no trial's last result has a metric '" + metric + "'. The first trial's has: " +
                          history.trials.front().last.names() + ".");
  return values;
}

/// A parameter for the forest: numbers between 0 and 1, a trial without it in the middle; or levels, "none" being one.
FanovaColumn fanova_column(const ReportParameter& parameter, const std::vector<std::size_t>& trials) {
  constexpr std::size_t kMaxLevels = 64;
  FanovaColumn column;
  if (parameter.levels.empty()) {
    const Scale unit = parameter.scale();
    for (std::size_t trial : trials) column.values.push_back(parameter.values[trial] ? unit(*parameter.values[trial]) : 0.5);
    return column;
  }
  column.levels = std::min(parameter.levels.size() + 1, kMaxLevels);  // what goes beyond shares the last one
  for (std::size_t trial : trials)
    column.values.push_back(std::min(parameter.values[trial].value_or(static_cast<double>(parameter.levels.size())),
                                     static_cast<double>(column.levels - 1)));
  std::set<double> seen(column.values.begin(), column.values.end());
  for (double& value : column.values) value = static_cast<double>(std::distance(seen.begin(), seen.find(value)));
  column.levels = seen.size();
  return column;
}

/// What is far worse than the rest counts as the edge of the rest: else one trial that diverged would be all the variance.
std::vector<double> capped(std::vector<double> targets, Mode mode) {
  std::vector<double> sorted = targets;
  std::sort(sorted.begin(), sorted.end());
  const auto [low, high] = quartiles(sorted);
  const double reach = 1.5 * (high - low);
  for (double& target : targets) target = mode == Mode::kMin ? std::min(target, high + reach) : std::max(target, low - reach);
  return targets;
}

std::vector<Importance> importances_of(const ReportModel& model) {
  constexpr std::size_t kFewest = 8, kMost = 2000;
  const std::vector<std::size_t> trials = model.shown(kMost);
  if (trials.size() < kFewest || model.parameters.empty()) return {};
  std::vector<FanovaColumn> columns;
  for (const ReportParameter& parameter : model.parameters) columns.push_back(fanova_column(parameter, trials));
  std::vector<double> targets;
  for (std::size_t trial : trials) targets.push_back(*model.value()[trial]);
  return fanova(columns, capped(std::move(targets), model.objective().mode));
}

}  // namespace

Scale ReportParameter::scale() const {
  if (!levels.empty()) return Scale::categories(levels);
  std::vector<double> numbers;
  for (const auto& value : values)
    if (value) numbers.push_back(*value);
  const auto [low, high] = std::minmax_element(numbers.begin(), numbers.end());
  return logarithmic ? Scale::logarithmic(*low, *high) : Scale::linear(*low, *high);
}

std::vector<double> ReportModel::finite_values(std::size_t objective) const {
  std::vector<double> numbers;
  for (const auto& value : values[objective])
    if (value) numbers.push_back(*value);
  return numbers;
}

std::string ReportModel::axis_title(std::size_t objective) const {
  return objectives[objective].metric + (objectives[objective].mode == Mode::kMin ? " (smaller is better)" : " (larger is better)");
}

std::vector<std::size_t> ReportModel::shown(std::size_t count) const {
  std::vector<std::size_t> trials;
  if (by_rank.size() <= count) {
    trials = by_rank;
  } else {
    const std::size_t best = count / 2, others = count - best, rest = by_rank.size() - best;
    for (std::size_t i = 0; i < best; ++i) trials.push_back(by_rank[i]);
    for (std::size_t i = 0; i < others; ++i) trials.push_back(by_rank[best + i * rest / others]);
  }
  std::reverse(trials.begin(), trials.end());
  return trials;
}

ReportModel make_model(const ExperimentHistory& history, std::vector<Objective> objectives) {
  if (objectives.empty()) {
    objectives.push_back({history.metric, history.mode});
    objectives.insert(objectives.end(), history.further_objectives.begin(), history.further_objectives.end());
  }
  if (objectives.front().metric.empty())
    throw InvalidArgument("the experiment '" + history.name + "' has no metric; say which one with --objective NAME:min or NAME:max.");
  ReportModel model{.history = history, .objectives = std::move(objectives)};
  for (const Objective& objective : model.objectives) model.values.push_back(last_values(history, objective.metric));
  model.parameters = read_parameters(history);
  for (std::size_t i = 0; i < history.trials.size(); ++i)
    if (model.value()[i]) model.by_rank.push_back(i);
  std::stable_sort(model.by_rank.begin(), model.by_rank.end(), [&](std::size_t a, std::size_t b) {
    const double x = *model.value()[a], y = *model.value()[b];
    return model.objective().mode == Mode::kMin ? x < y : x > y;
  });
  model.goodness.assign(history.trials.size(), -1);
  const double last = static_cast<double>(std::max<std::size_t>(model.by_rank.size(), 2) - 1);
  for (std::size_t rank = 0; rank < model.by_rank.size(); ++rank)
    model.goodness[model.by_rank[rank]] = 1 - static_cast<double>(rank) / last;
  model.importances = importances_of(model);
  return model;
}

}  // namespace manta::tune
