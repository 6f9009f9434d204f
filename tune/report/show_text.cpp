#include "tune/report/show_text.hpp"

#include <algorithm>
#include <map>

#include "runtime/errors.hpp"
#include "tune/loggers/file_writer.hpp"
#include "tune/status_text.hpp"
#include "tune/table.hpp"

namespace manta::tune {

namespace {

std::string seconds_between(std::int64_t from_ms, std::int64_t to_ms) {
  return duration_text(static_cast<double>(to_ms - from_ms) / 1000);
}

std::string state_text(const ExperimentHistory& history) {
  const std::string sessions = history.sessions > 1 ? ", session " + std::to_string(history.sessions) : "";
  const std::string since = seconds_between(history.session_ms, history.last_ms);
  if (history.running)
    return "Running in process " + std::to_string(history.session_pid) + " since " + utc_text(history.session_ms) + " UTC" + sessions +
           ", last event after " + since;
  return "Not running; last event " + utc_text(history.last_ms) + " UTC, " + since + " after its start" + sessions;
}

/// "metric: accuracy (max), cost (min)": the rows go by the first.
std::string objectives_text(const ExperimentHistory& history) {
  if (history.metric.empty()) return "";
  const auto text = [](const std::string& metric, Mode mode) { return metric + (mode == Mode::kMin ? " (min)" : " (max)"); };
  std::string all = "metric: " + text(history.metric, history.mode);
  for (const Objective& objective : history.further_objectives) all += ", " + text(objective.metric, objective.mode);
  return one_line(all) + "\n";
}

/// A name that nothing has would be an empty column.
void check_metrics(const ExperimentHistory& history, const std::vector<std::string>& names) {
  const auto first = std::find_if(history.trials.begin(), history.trials.end(), [](const Trial& trial) { return trial.iteration > 0; });
  if (first == history.trials.end()) return;
  for (const std::string& name : names)
    if (std::none_of(first, history.trials.end(), [&](const Trial& trial) { return trial.value(name) || trial.range(name); }))
      throw InvalidArgument("no trial has reported a metric '" + name + "'. The first trial's last result has: " + first->last.names() + ".");
}

}  // namespace

std::string rungs_text(const ExperimentHistory& history) {
  std::map<double, std::size_t> rungs;
  for (const auto& rows : history.results)
    for (const ResultRow& row : rows)
      if (row.rung > 0) ++rungs[row.rung];
  std::string text;
  for (const auto& [rung, count] : rungs)
    text += (text.empty() ? "" : ", ") + number_text(rung, 6) + ": " + std::to_string(count) + (count == 1 ? " result" : " results");
  return text;
}

std::string show_text(const ExperimentHistory& history, const ShowOptions& options) {
  check_metrics(history, options.metric_columns);
  std::string text = "Experiment " + one_line(history.name) + " in " + one_line(history.dir.string()) + "\n" + state_text(history) + "\n";
  if (!history.stopped_by.empty()) text += "Ended early: " + one_line(history.stopped_by) + "\n";
  text += objectives_text(history);
  for (const char* key : {"trainable", "space", "searcher", "scheduler", "stop"})
    if (const std::string about = history.about(key); !about.empty()) text += std::string(key) + ": " + one_line(about) + "\n";
  text += "seed: " + std::to_string(history.seed) + "\n";
  if (const std::string rungs = rungs_text(history); !rungs.empty()) text += "rungs: " + rungs + "\n";
  return text + trials_text({.trials = history.trials,
                             .metric = history.metric,
                             .mode = history.mode,
                             .metric_columns = options.metric_columns,
                             .parameter_columns = options.parameter_columns,
                             .sort_by_metric = true,
                             .max_rows = options.max_rows,
                             .width = options.width,
                             .cut_lines = false});
}

}  // namespace manta::tune
