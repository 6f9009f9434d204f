#include "tune/status_text.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace manta::tune {

namespace {

constexpr std::array kShownOrder{TrialState::kRunning, TrialState::kPaused, TrialState::kPending, TrialState::kTerminated,
                                 TrialState::kError};
constexpr std::size_t kMaxErrorRows = 20;

std::string count_text(const ExperimentMachine& machine) {
  std::string states;
  for (TrialState state : kShownOrder)
    if (machine.count(state))
      states += (states.empty() ? "" : ", ") + std::to_string(machine.count(state)) + " " + std::string(to_string(state));
  const auto total = machine.total();
  return "Number of trials: " + std::to_string(machine.trials().size()) + "/" + (total ? std::to_string(*total) : "?") +
         (states.empty() ? "" : " (" + states + ")");
}

std::string header_text(const StatusView& view) {
  std::string text = "== Status ==\nCurrent time: " + view.time_text + " (running for " + duration_text(view.elapsed_s) + ")\n";
  const std::string scheduler = view.machine.scheduler_text();
  text += scheduler.empty() ? "Using FIFO scheduling\n" : scheduler + "\n";
  if (!view.resources_text.empty()) text += "Logical resource usage: " + view.resources_text + "\n";
  return text + "Result logdir: " + view.dir + "\n" + count_text(view.machine) + "\n";
}

std::string footer_text(const ExperimentMachine& machine, const std::vector<const Trial*>& shown) {
  const std::size_t hidden = machine.trials().size() - shown.size();
  if (hidden == 0) return "";
  std::string states;
  for (TrialState state : kShownOrder) {
    const auto seen = static_cast<std::size_t>(
        std::count_if(shown.begin(), shown.end(), [&](const Trial* trial) { return trial->state == state; }));
    const std::size_t more = machine.count(state) - seen;
    if (more) states += (states.empty() ? "" : ", ") + std::to_string(more) + " " + std::string(to_string(state));
  }
  return "... " + std::to_string(hidden) + " more trials not shown (" + states + ")\n";
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

std::string error_text(const StatusView& view) {
  Table table({{.title = "Trial name", .keep_end = true}, {"# failures", true}, {"state"}, {"error (whole in error.txt of the trial's directory)"}});
  std::size_t failed = 0;
  for (const Trial& trial : view.machine.trials()) {
    if (trial.failures == 0 || ++failed > kMaxErrorRows) continue;
    table.add({trial.name, std::to_string(trial.failures), std::string(to_string(trial.state)), first_line(trial.error)});
  }
  return failed == 0 ? "" : "Number of trials with failures: " + std::to_string(failed) + "\n" + table.render(view.width);
}

std::string cell(const Trial& trial, const std::string& metric) {
  const auto value = trial.last.get(metric);
  return value ? number_text(*value, 6) : "";
}

std::vector<std::string> parameter_columns(const std::vector<const Trial*>& trials) {
  std::vector<std::string> names;
  for (const Trial* trial : trials)
    for (const auto& [path, value] : trial->config.flat())
      if (std::find(names.begin(), names.end(), path) == names.end()) names.push_back(path);
  return names;
}

std::string cut_lines(const std::string& text, std::size_t width) {
  std::string out;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    out += cut_text(text.substr(begin, end - begin), width) + "\n";
    begin = end + 1;
  }
  return out;
}

}  // namespace

std::string duration_text(double seconds) {
  const auto whole = static_cast<long long>(seconds);
  char text[48];
  std::snprintf(text, sizeof text, "%02lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
  return text;
}

std::string metrics_text(const Metrics& metrics) {
  std::string text;
  for (const auto& [name, value] : metrics) text += (text.empty() ? "" : ", ") + name + "=" + number_text(value, 6);
  return text;
}

std::vector<std::string> inferred_metrics(const ExperimentMachine& machine) {
  constexpr std::size_t kMaxColumns = 6;
  std::vector<std::string> names;
  if (!machine.options().metric.empty()) names.push_back(machine.options().metric);
  for (const Trial& trial : machine.trials())
    for (const MetricRange& range : trial.ranges)
      if (names.size() < kMaxColumns && std::find(names.begin(), names.end(), range.name) == names.end())
        names.push_back(range.name);
  return names;
}

std::vector<const Trial*> fair_rows(const std::vector<Trial>& trials, std::size_t max_rows) {
  std::array<std::vector<const Trial*>, kShownOrder.size()> groups;
  for (const Trial& trial : trials)
    groups[static_cast<std::size_t>(std::find(kShownOrder.begin(), kShownOrder.end(), trial.state) - kShownOrder.begin())]
        .push_back(&trial);
  std::array<std::size_t, kShownOrder.size()> by_size{0, 1, 2, 3, 4};
  std::stable_sort(by_size.begin(), by_size.end(), [&](auto a, auto b) { return groups[a].size() < groups[b].size(); });
  std::size_t left = max_rows;
  std::size_t groups_left = by_size.size();
  for (std::size_t group : by_size) {
    const std::size_t share = std::min(groups[group].size(), left / groups_left--);
    groups[group].resize(share);
    left -= share;
  }
  std::vector<const Trial*> shown;
  for (const auto& group : groups) shown.insert(shown.end(), group.begin(), group.end());
  return shown;
}

Table trial_table(const ExperimentMachine& machine, const std::vector<const Trial*>& trials,
                  const std::vector<std::string>& metric_columns) {
  const auto metrics = metric_columns.empty() ? inferred_metrics(machine) : metric_columns;
  const auto parameters = parameter_columns(trials);
  std::vector<Table::Column> columns{{.title = "Trial name", .keep_end = true}, {"status"}};
  for (const std::string& name : parameters) columns.push_back({name, true});
  for (const std::string& name : metrics) columns.push_back({name, true});
  columns.push_back({"training_iteration", true});
  columns.push_back({"total time (s)", true});
  Table table(std::move(columns));
  for (const Trial* trial : trials) {
    std::vector<std::string> cells{trial->name, std::string(to_string(trial->state))};
    for (const std::string& name : parameters) {
      const Value* value = trial->config.find(name);
      cells.push_back(value ? value->to_text() : "");
    }
    for (const std::string& name : metrics) cells.push_back(cell(*trial, name));
    cells.push_back(trial->iteration ? std::to_string(trial->iteration) : "");
    cells.push_back(trial->iteration ? number_text(trial->time_total_s, 4) : "");
    table.add(std::move(cells));
  }
  return table;
}

std::string best_text(const ExperimentMachine& machine) {
  const Trial* best = machine.best();
  const std::string& metric = machine.options().metric;
  if (metric.empty()) return "";
  if (!best) return "Current best trial: none yet has a finite '" + metric + "'";
  return "Current best trial: " + best->name + " with " + metric + "=" + number_text(*best->last.get(metric), 6) +
         " and parameters=" + Value(best->config.entries()).to_text();
}

std::string status_text(const StatusView& view) {
  const auto shown = fair_rows(view.machine.trials(), view.max_rows);
  std::string text = header_text(view);
  if (!shown.empty()) text += trial_table(view.machine, shown, view.metric_columns).render(view.width);
  text += footer_text(view.machine, shown);
  const std::string best = best_text(view.machine);
  if (!best.empty()) text += best + "\n";
  text += error_text(view);
  return view.cut_lines ? cut_lines(text, view.width) : text;
}

}  // namespace manta::tune
