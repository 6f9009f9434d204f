#include "tune/result_grid.hpp"

#include <algorithm>
#include <cmath>

#include "runtime/errors.hpp"
#include "tune/loggers/csv_text.hpp"

namespace manta::tune {

namespace {

std::optional<double> value_of(const TrialResult& trial, std::string_view metric, Mode mode, Scope scope) {
  if (scope == Scope::kLast) return trial.metrics.get(metric);
  const auto found = std::find_if(trial.ranges.begin(), trial.ranges.end(), [&](auto& range) { return range.name == metric; });
  if (found == trial.ranges.end()) return std::nullopt;
  return mode == Mode::kMin ? found->min : found->max;
}

void add_new(std::vector<std::string>& names, const std::string& name) {
  if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
}

}  // namespace

const TrialResult& ResultGrid::best(Scope scope) const {
  if (summary_.metric.empty())
    throw InvalidArgument("ResultGrid::best: the experiment has no metric. Call best(metric, mode).");
  return best(summary_.metric, summary_.mode, scope);
}

const TrialResult& ResultGrid::best(std::string_view metric, Mode mode, Scope scope) const {
  const TrialResult* best = nullptr;
  double best_value = 0;
  for (const TrialResult& trial : trials_) {
    const auto value = value_of(trial, metric, mode, scope);
    if (!value || !std::isfinite(*value)) continue;
    const bool better = mode == Mode::kMin ? *value < best_value : *value > best_value;
    if (!best || better) best = &trial, best_value = *value;
  }
  if (best) return *best;
  const auto failed = errors();
  std::string text = "no trial of '" + summary_.experiment + "' has a finite '" + std::string(metric) + "': " +
                     std::to_string(trials_.size()) + " trials, " + std::to_string(failed.size()) + " failed.";
  if (!failed.empty()) text += " The first failure, " + failed.front()->name + ": " + failed.front()->error;
  throw NotFound(std::move(text));
}

std::vector<const TrialResult*> ResultGrid::errors() const {
  std::vector<const TrialResult*> failed;
  for (const TrialResult& trial : trials_)
    if (trial.state == TrialState::kError) failed.push_back(&trial);
  return failed;
}

std::vector<std::vector<std::string>> ResultGrid::table() const {
  std::vector<std::string> parameters, metrics;
  for (const TrialResult& trial : trials_) {
    for (const auto& [path, value] : trial.config.flat()) add_new(parameters, path);
    for (const MetricRange& range : trial.ranges) add_new(metrics, range.name);
  }
  std::vector<std::string> head{"trial_name", "state"};
  for (const std::string& path : parameters) head.push_back("config/" + path);
  head.insert(head.end(), metrics.begin(), metrics.end());
  head.insert(head.end(), {"training_iteration", "time_total_s", "failures", "error"});
  std::vector<std::vector<std::string>> rows{head};
  for (const TrialResult& trial : trials_) {
    std::vector<std::string> row{trial.name, std::string(to_string(trial.state))};
    for (const std::string& path : parameters) {
      const Value* value = trial.config.find(path);
      row.push_back(value ? value->to_text(17) : "");
    }
    for (const std::string& name : metrics) {
      const auto value = trial.metrics.get(name);
      row.push_back(value ? csv_number(*value) : "");
    }
    row.insert(row.end(), {std::to_string(trial.iterations), csv_number(trial.time_total_s), std::to_string(trial.failures),
                           trial.error});
    rows.push_back(std::move(row));
  }
  return rows;
}

std::string ResultGrid::to_csv() const {
  std::string text;
  for (const auto& row : table()) text += csv_line(row);
  return text;
}

}  // namespace manta::tune
