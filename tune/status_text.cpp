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

std::size_t count(const std::vector<Trial>& trials, TrialState state) {
  return static_cast<std::size_t>(std::count_if(trials.begin(), trials.end(), [&](auto& trial) { return trial.state == state; }));
}

std::string count_text(const StatusView& view) {
  std::string states;
  for (TrialState state : kShownOrder)
    if (const std::size_t there = count(view.trials, state))
      states += (states.empty() ? "" : ", ") + std::to_string(there) + " " + std::string(to_string(state));
  return "Number of trials: " + std::to_string(view.trials.size()) + (view.total ? "/" + std::to_string(*view.total) : "") +
         (states.empty() ? "" : " (" + states + ")");
}

std::string header_text(const StatusView& view) {
  std::string text = "== Status ==\nCurrent time: " + view.time_text + " (running for " + duration_text(view.elapsed_s) + ")\n";
  text += (view.scheduler_text.empty() ? "Using FIFO scheduling" : view.scheduler_text) + "\n";
  if (!view.resources_text.empty()) text += "Logical resource usage: " + view.resources_text + "\n";
  return text + "Result logdir: " + one_line(view.dir) + "\n";
}

std::string footer_text(const StatusView& view, const std::vector<const Trial*>& shown) {
  const std::size_t hidden = view.trials.size() - shown.size();
  if (hidden == 0) return "";
  std::string states;
  for (TrialState state : kShownOrder) {
    const auto seen = static_cast<std::size_t>(
        std::count_if(shown.begin(), shown.end(), [&](const Trial* trial) { return trial->state == state; }));
    const std::size_t more = count(view.trials, state) - seen;
    if (more) states += (states.empty() ? "" : ", ") + std::to_string(more) + " " + std::string(to_string(state));
  }
  return "... " + std::to_string(hidden) + " more trials not shown (" + states + ")\n";
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

std::string error_text(const StatusView& view) {
  Table table({{.title = "Trial name", .keep_end = true}, {"# failures", true}, {"state"}, {"error (whole in error.txt of the trial's directory)"}});
  std::size_t failed = 0;
  bool late = false;
  for (const Trial& trial : view.trials) {
    if (trial.failures == 0 && !trial.timed_out) continue;
    late |= trial.timed_out;
    if (++failed > kMaxErrorRows) continue;
    table.add({trial.name, std::to_string(trial.failures), std::string(to_string(trial.state)), first_line(trial.error)});
  }
  const std::string what = late ? "failures or ended at their time limit: " : "failures: ";
  return failed == 0 ? "" : "Number of trials with " + what + std::to_string(failed) + "\n" + table.render(view.width);
}

std::string cell(const Trial& trial, const std::string& metric) {
  const auto value = trial.value(metric);
  return value ? number_text(*value, 6) : "";
}

/// Ray's short titles of well-known names.
std::string title_of(const std::string& name) {
  static constexpr std::pair<std::string_view, std::string_view> kTitles[] = {
      {"mean_accuracy", "acc"},        {"mean_loss", "loss"},          {"training_iteration", "iter"},
      {"time_total_s", "total time (s)"}, {"timesteps_total", "ts"}, {"episode_reward_mean", "reward"}};
  for (const auto& [known, title] : kTitles)
    if (name == known) return std::string(title);
  return name;
}

std::vector<std::string> parameter_columns(const StatusView& view, const std::vector<const Trial*>& trials) {
  if (!view.parameter_columns.empty()) return view.parameter_columns;
  std::vector<std::string> names;
  for (const Trial* trial : trials)
    for (const auto& [path, value] : trial->config_of_result().flat())
      if (std::find(names.begin(), names.end(), path) == names.end()) names.push_back(path);
  return names;
}

bool finite(const Trial& trial, const std::string& metric) { return std::isfinite(trial.value(metric).value_or(NAN)); }

/// Whether a comes before b: the better metric, and what has none last.
bool ranks_before(const StatusView& view, const Trial& a, const Trial& b) {
  const bool a_counts = finite(a, view.metric), b_counts = finite(b, view.metric);
  if (!a_counts || !b_counts) return a_counts && !b_counts;
  const double x = *a.value(view.metric), y = *b.value(view.metric);
  return view.mode == Mode::kMin ? x < y : x > y;
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
  for (const auto& [name, value] : metrics) text += (text.empty() ? "" : ", ") + one_line(name) + "=" + number_text(value, 6);
  return text;
}

StatusView status_view(const ExperimentMachine& machine) {
  return {.trials = machine.trials(),
          .metric = machine.options().metric,
          .mode = machine.options().mode,
          .total = machine.total(),
          .scheduler_text = machine.scheduler_text()};
}

std::vector<std::string> inferred_metrics(const StatusView& view) {
  constexpr std::size_t kMaxInferred = 3;
  static constexpr std::string_view kWellKnown[] = {"mean_accuracy", "mean_loss", "timesteps_total", "episode_reward_mean"};
  static constexpr std::string_view kOwn[] = {"training_iteration", "time_total_s"};  // the table's last columns
  std::vector<std::string> names, known, others;
  const auto is_own = [](const std::string& name) { return std::find(std::begin(kOwn), std::end(kOwn), name) != std::end(kOwn); };
  if (!view.metric.empty() && !is_own(view.metric)) names.push_back(view.metric);
  const auto add_new = [&](std::vector<std::string>& list, const std::string& name) {
    if (name != view.metric && !is_own(name) && std::find(list.begin(), list.end(), name) == list.end()) list.push_back(name);
  };
  for (const Trial& trial : view.trials)
    for (const MetricRange& range : trial.ranges) {
      const bool is_known = std::find(std::begin(kWellKnown), std::end(kWellKnown), range.name) != std::end(kWellKnown);
      if (is_known || others.size() < kMaxInferred) add_new(is_known ? known : others, range.name);
    }
  names.insert(names.end(), known.begin(), known.end());
  names.insert(names.end(), others.begin(), others.end());
  return names;
}

std::vector<const Trial*> fair_rows(const StatusView& view) {
  std::array<std::vector<const Trial*>, kShownOrder.size()> groups;
  for (const Trial& trial : view.trials)
    groups[static_cast<std::size_t>(std::find(kShownOrder.begin(), kShownOrder.end(), trial.state) - kShownOrder.begin())]
        .push_back(&trial);
  if (view.sort_by_metric)
    for (auto& group : groups)
      std::stable_sort(group.begin(), group.end(), [&](auto* a, auto* b) { return ranks_before(view, *a, *b); });
  std::array<std::size_t, kShownOrder.size()> by_size{0, 1, 2, 3, 4};
  std::stable_sort(by_size.begin(), by_size.end(), [&](auto a, auto b) { return groups[a].size() < groups[b].size(); });
  std::size_t left = view.max_rows;
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

Table trial_table(const StatusView& view, const std::vector<const Trial*>& trials) {
  const auto metrics = view.metric_columns.empty() ? inferred_metrics(view) : view.metric_columns;
  const auto parameters = parameter_columns(view, trials);
  std::vector<Table::Column> columns{{.title = "Trial name", .keep_end = true}, {"status"}, {"loc"}};
  for (const std::string& name : parameters) columns.push_back({name, true});
  for (const std::string& name : metrics) columns.push_back({title_of(name), true});
  columns.push_back({title_of("training_iteration"), true});
  columns.push_back({title_of("time_total_s"), true});
  Table table(std::move(columns));
  for (const Trial* trial : trials) {
    std::vector<std::string> cells{trial->name, std::string(to_string(trial->state)),
                                   trial->pid ? "pid " + std::to_string(trial->pid) : ""};
    for (const std::string& name : parameters) {
      const Value* value = trial->config_of_result().find(name);
      cells.push_back(value ? value->to_text() : "");
    }
    for (const std::string& name : metrics) cells.push_back(cell(*trial, name));
    const std::uint64_t iteration = trial->iteration_of_result();
    cells.push_back(iteration ? std::to_string(iteration) : "");
    cells.push_back(iteration ? number_text(trial->time_of_result_s(), 4) : "");
    table.add(std::move(cells));
  }
  return table;
}

std::string best_text(const StatusView& view) {
  if (view.metric.empty()) return "";
  const Trial* best = nullptr;
  for (const Trial& trial : view.trials)
    if (finite(trial, view.metric) && (!best || ranks_before(view, trial, *best))) best = &trial;
  if (!best) return "Current best trial: none yet has a finite '" + one_line(view.metric) + "'";
  return one_line("Current best trial: " + best->name + " with " + view.metric + "=" + number_text(*best->value(view.metric), 6) +
                  " and parameters=" + Value(best->config_of_result().entries()).to_text());
}

std::string trials_text(const StatusView& view) {
  const auto shown = fair_rows(view);
  std::string text = count_text(view) + "\n";
  if (!shown.empty()) text += trial_table(view, shown).render(view.width);
  text += footer_text(view, shown);
  const std::string best = best_text(view);
  if (!best.empty()) text += best + "\n";
  text += error_text(view);
  return view.cut_lines ? cut_lines(text, view.width) : text;
}

std::string status_text(const StatusView& view) {
  const std::string header = header_text(view);
  return (view.cut_lines ? cut_lines(header, view.width) : header) + trials_text(view);
}

}  // namespace manta::tune
