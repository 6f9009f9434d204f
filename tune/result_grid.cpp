#include "tune/result_grid.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <numeric>
#include <ostream>
#include <sstream>

#include "runtime/errors.hpp"
#include "tune/history.hpp"
#include "tune/loggers/csv_text.hpp"
#include "tune/loggers/json_text.hpp"
#include "tune/loggers/metric_column.hpp"
#include "tune/searchers/pareto.hpp"

namespace manta::tune {

namespace {

std::optional<double> finite(std::optional<double> value) {
  return value && std::isfinite(*value) ? value : std::nullopt;
}

std::optional<double> best_of(const TrialResult& trial, std::string_view metric, Mode mode) {
  const auto found = std::find_if(trial.ranges.begin(), trial.ranges.end(), [&](auto& range) { return range.name == metric; });
  if (found == trial.ranges.end()) {  // the tuner's own: they only grow
    if (mode == Mode::kMin && metric == "training_iteration" && trial.iterations > 0) return 1;
    return trial.value(metric);
  }
  return mode == Mode::kMin ? found->min : found->max;
}

std::optional<double> mean(const std::vector<ResultRow>& rows, std::string_view metric, std::size_t at_most) {
  std::vector<double> numbers;
  for (const ResultRow& row : rows)
    if (const auto value = row.value(metric)) numbers.push_back(*value);
  const std::size_t count = std::min(at_most, numbers.size());
  if (count == 0) return std::nullopt;
  return std::accumulate(numbers.end() - static_cast<std::ptrdiff_t>(count), numbers.end(), 0.0) / static_cast<double>(count);
}

std::optional<double> least(const std::vector<ResultRow>& rows, std::string_view metric) {
  std::optional<double> least;
  for (const ResultRow& row : rows)
    if (const auto value = finite(row.value(metric)); value && !(least && *least <= *value)) least = value;
  return least;
}

/// The trials keep the range of each reported metric, and of this one only the last value, which is the largest.
bool is_in_the_journal_only(std::string_view metric, Mode mode, Scope scope, const std::vector<TrialResult>& trials) {
  if (scope != Scope::kAll || mode != Mode::kMin || metric != "time_total_s") return false;
  return std::none_of(trials.begin(), trials.end(), [](const TrialResult& trial) { return trial.metrics.contains("time_total_s"); });
}

std::size_t results_counted(Scope scope) {
  if (scope == Scope::kLast5Avg) return 5;
  return scope == Scope::kLast10Avg ? 10 : std::numeric_limits<std::size_t>::max();
}

const std::vector<ResultRow>& rows_of(const ResultGrid::Rows& rows, const TrialResult& trial) {
  if (trial.index < rows.size()) return rows[trial.index];
  throw NotFound("trial '" + trial.name + "' has no results there: the experiment has " + std::to_string(rows.size()) + " trials.");
}

/// The trial's last result, all objectives made smaller; nothing where one is missing or not finite.
std::optional<Losses> losses_of(const TrialResult& trial, const std::vector<Objective>& objectives) {
  Losses losses;
  for (const auto& [metric, mode] : objectives) {
    const auto value = finite(trial.value(metric));
    if (!value) return std::nullopt;
    losses.push_back(mode == Mode::kMin ? *value : -*value);
  }
  return losses;
}

void add_new(std::vector<std::string>& names, const std::string& name) {
  if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
}

}  // namespace

std::vector<std::optional<double>> ResultGrid::values(std::string_view metric, Mode mode, Scope scope) const {
  std::vector<std::optional<double>> values;
  const bool journal_only = is_in_the_journal_only(metric, mode, scope, trials_);
  if (scope == Scope::kLast || (scope == Scope::kAll && !journal_only)) {
    for (const TrialResult& trial : trials_)
      values.push_back(finite(scope == Scope::kLast ? trial.value(metric) : best_of(trial, metric, mode)));
    return values;
  }
  const auto all = this->rows();
  for (const TrialResult& trial : trials_) {
    const auto& rows = rows_of(*all, trial);
    values.push_back(finite(journal_only ? least(rows, metric) : mean(rows, metric, results_counted(scope))));
  }
  return values;
}

std::shared_ptr<const ResultGrid::Rows> ResultGrid::rows() const {
  return rows_ ? rows_ : std::make_shared<const Rows>(read_history(summary_.dir).results);
}

void ResultGrid::require_metric(const char* call) const {
  if (summary_.metric.empty())
    throw InvalidArgument("ResultGrid::" + std::string(call) + ": the experiment has no metric. Call " + call + "(metric, mode).");
}

const TrialResult& ResultGrid::fail_beyond(std::size_t index) const {
  throw NotFound("ResultGrid: there is no trial " + std::to_string(index) + " in it: it has " + std::to_string(trials_.size()) + " trials, counted from 0.");
}

const TrialResult& ResultGrid::best(Scope scope) const {
  require_metric("best");
  return best(summary_.metric, summary_.mode, scope);
}

const TrialResult& ResultGrid::best(std::string_view metric, Mode mode, Scope scope) const {
  const auto values = this->values(metric, mode, scope);
  std::size_t best = trials_.size();
  for (std::size_t i = 0; i < trials_.size(); ++i) {
    if (!values[i]) continue;
    if (best == trials_.size() || (mode == Mode::kMin ? *values[i] < *values[best] : *values[i] > *values[best])) best = i;
  }
  if (best < trials_.size()) return trials_[best];
  const auto failed = errors();
  std::string text = "no trial of '" + summary_.experiment + "' has a finite '" + std::string(metric) + "': " +
                     std::to_string(trials_.size()) + " trials, " + std::to_string(failed.size()) + " failed.";
  if (!failed.empty()) text += " The first failure, " + failed.front()->name + ": " + failed.front()->error;
  throw NotFound(std::move(text));
}

ResultGrid ResultGrid::filter(const std::function<bool(const TrialResult&)>& keep) const {
  std::vector<TrialResult> kept;
  std::copy_if(trials_.begin(), trials_.end(), std::back_inserter(kept), keep);
  return {summary_, std::move(kept), rows_};
}

ResultGrid ResultGrid::sorted(Scope scope) const {
  require_metric("sorted");
  return sorted(summary_.metric, summary_.mode, scope);
}

ResultGrid ResultGrid::sorted(std::string_view metric, Mode mode, Scope scope) const {
  const auto values = this->values(metric, mode, scope);
  std::vector<std::size_t> order(trials_.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    if (!values[a] || !values[b]) return values[a].has_value() && !values[b];
    return mode == Mode::kMin ? *values[a] < *values[b] : *values[a] > *values[b];
  });
  std::vector<TrialResult> trials;
  for (std::size_t i : order) trials.push_back(trials_[i]);
  return {summary_, std::move(trials), rows_};
}

std::vector<const TrialResult*> ResultGrid::pareto_front(const std::vector<Objective>& objectives) const {
  std::vector<std::pair<Losses, const TrialResult*>> points;
  for (const TrialResult& trial : trials_)
    if (auto point = losses_of(trial, objectives)) points.emplace_back(std::move(*point), &trial);
  std::stable_sort(points.begin(), points.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<Losses> losses;
  for (const auto& [point, trial] : points) losses.push_back(point);
  std::vector<const TrialResult*> front;
  for (const std::size_t i : tune::pareto_front(losses)) front.push_back(points[i].second);
  return front;
}

double ResultGrid::hypervolume(const std::vector<double>& reference, const std::vector<Objective>& objectives) const {
  if (reference.size() != objectives.size())
    throw InvalidArgument("ResultGrid::hypervolume: the reference has " + std::to_string(reference.size()) + " values; there are " +
                          std::to_string(objectives.size()) + " objectives.");
  for (std::size_t k = 0; k < reference.size(); ++k)
    if (std::isnan(reference[k]))
      throw InvalidArgument("ResultGrid::hypervolume: the reference's value of '" + objectives[k].metric + "' is NaN. Give a number that is worse than what counts.");
  Losses corner = reference;
  for (std::size_t k = 0; k < corner.size(); ++k)
    if (objectives[k].mode == Mode::kMax) corner[k] = -corner[k];
  std::vector<Losses> points;
  for (const TrialResult& trial : trials_)
    if (auto point = losses_of(trial, objectives)) points.push_back(std::move(*point));
  return tune::hypervolume(std::move(points), corner);
}

/// The experiment's.
std::vector<Objective> ResultGrid::objectives(const char* call) const {
  if (summary_.metric.empty())
    throw InvalidArgument("ResultGrid::" + std::string(call) + ": the experiment has no metric. Say which objectives are meant.");
  std::vector<Objective> all{{summary_.metric, summary_.mode}};
  all.insert(all.end(), summary_.further_objectives.begin(), summary_.further_objectives.end());
  return all;
}

std::vector<ResultRow> ResultGrid::curve(const TrialResult& trial) const { return rows_of(*rows(), trial); }

std::vector<const TrialResult*> ResultGrid::errors() const {
  std::vector<const TrialResult*> failed;
  for (const TrialResult& trial : trials_)
    if (trial.state == TrialState::kError) failed.push_back(&trial);
  return failed;
}

namespace {

/// What the rows of a table hold: all parameters and metrics of all trials, in the order in which they were met.
struct Columns {
  std::vector<std::string> parameters, metrics;

  explicit Columns(const std::vector<TrialResult>& trials) {
    for (const TrialResult& trial : trials) {
      for (const auto& [path, value] : trial.config.flat()) add_new(parameters, path);
      for (const MetricRange& range : trial.ranges) add_new(metrics, range.name);
    }
  }

  std::vector<std::string> head() const {
    static constexpr std::string_view kOwn[] = {"trial_name", "state", "training_iteration", "time_total_s", "failures", "error"};
    std::vector<std::string> head{"trial_name", "state"};
    for (const std::string& path : parameters) head.push_back("config/" + path);
    for (const std::string& metric : metrics) head.push_back(metric_column(metric, kOwn));
    head.insert(head.end(), {"training_iteration", "time_total_s", "failures", "error"});
    return head;
  }

  std::vector<std::string> row(const TrialResult& trial) const {
    std::vector<std::string> row{trial.name, std::string(to_string(trial.state))};
    for (const std::string& path : parameters) {
      const Value* value = trial.config.find(path);
      row.push_back(value ? csv_value(*value) : "");
    }
    for (const std::string& name : metrics) {
      const auto value = trial.metrics.get(name);
      row.push_back(value ? csv_number(*value) : "");
    }
    row.insert(row.end(), {std::to_string(trial.iterations), csv_number(trial.time_total_s), std::to_string(trial.failures), trial.error});
    return row;
  }
};

}  // namespace

std::vector<std::vector<std::string>> ResultGrid::table() const {
  const Columns columns(trials_);
  std::vector<std::vector<std::string>> rows{columns.head()};
  for (const TrialResult& trial : trials_) rows.push_back(columns.row(trial));
  return rows;
}

void ResultGrid::write_csv(std::ostream& out) const {
  const Columns columns(trials_);
  out << csv_line(columns.head());
  for (const TrialResult& trial : trials_) out << csv_line(columns.row(trial));
}

std::string ResultGrid::to_csv() const {
  std::ostringstream out;
  write_csv(out);
  return std::move(out).str();
}

void ResultGrid::write_json(std::ostream& out) const {
  out << "[";
  for (std::size_t i = 0; i < trials_.size(); ++i) {
    const TrialResult& trial = trials_[i];
    out << (i ? ",\n" : "\n") << "{\"trial_name\":" << json_quoted(trial.name) << ",\"trial_id\":" << json_quoted(trial.id)
        << ",\"state\":" << json_quoted(std::string(to_string(trial.state))) << ",\"config\":" << config_json(trial.config, -1)
        << ",\"metrics\":" << metrics_json(trial.metrics) << ",\"training_iteration\":" << std::to_string(trial.iterations)
        << ",\"time_total_s\":" << csv_number(trial.time_total_s) << ",\"failures\":" << std::to_string(trial.failures)
        << ",\"error\":" << json_quoted(trial.error) << "}";
  }
  out << "\n]\n";
}

std::string ResultGrid::to_json() const {
  std::ostringstream out;
  write_json(out);
  return std::move(out).str();
}

}  // namespace manta::tune
