#include "tune/report/page.hpp"

#include <algorithm>
#include <set>

#include "tune/loggers/file_writer.hpp"
#include "tune/loggers/json_text.hpp"
#include "tune/report/charts.hpp"
#include "tune/report/page_assets.hpp"
#include "tune/report/show_text.hpp"
#include "tune/status_text.hpp"

namespace manta::tune {

namespace {

constexpr std::size_t kMostRows = 200;  // of the table of trials

std::string fact(std::string_view name, const std::string& value) {
  return "<dt>" + escaped(name) + "</dt><dd>" + escaped(value) + "</dd>";
}

std::string counts(const ExperimentHistory& history) {
  std::string text = std::to_string(history.trials.size());
  std::string states;
  for (const TrialState state : {TrialState::kRunning, TrialState::kPaused, TrialState::kPending, TrialState::kTerminated, TrialState::kError}) {
    const auto count = std::count_if(history.trials.begin(), history.trials.end(), [&](auto& trial) { return trial.state == state; });
    if (count) states += (states.empty() ? "" : ", ") + std::to_string(count) + " " + std::string(to_string(state));
  }
  return states.empty() ? text : text + " (" + states + ")";
}

std::string summary(const ReportModel& model) {
  const ExperimentHistory& history = model.history;
  std::size_t results = 0;
  for (const auto& rows : history.results) results += rows.size();
  std::string out = "<dl>" + fact("trials", counts(history)) + fact("results", std::to_string(results)) +
                    fact("begun", utc_text(history.begun_ms) + " UTC") +
                    fact(history.running ? "runs since its start for" : "ended after",
                         duration_text(static_cast<double>(history.last_ms - history.begun_ms) / 1000) +
                             (history.sessions > 1 ? ", in " + std::to_string(history.sessions) + " sessions" : ""));
  for (const char* key : {"trainable", "space", "searcher", "scheduler", "stop"})
    if (const std::string text = history.about(key); !text.empty()) out += fact(key, text);
  if (const std::string rungs = rungs_text(history); !rungs.empty()) out += fact("rungs", rungs);
  return out + fact("seed", std::to_string(history.seed)) + fact("directory", history.dir.string()) + "</dl>\n";
}

int digits_of(const ReportModel& model, const std::string& parameter) {
  const auto& all = model.parameters;
  const auto found = std::find_if(all.begin(), all.end(), [&](const ReportParameter& each) { return each.name == parameter; });
  return found == all.end() ? ReportParameter().digits : found->digits;
}

std::string best_card(const ReportModel& model) {
  if (model.by_rank.empty()) return "<p class=\"card\">No trial has reported a finite " + escaped(model.objective().metric) + " yet.</p>\n";
  const Trial& best = model.history.trials[model.by_rank.front()];
  std::string out = "<div class=\"card\"" + of_trial(best.index) + "><strong>Best trial: " + escaped(best.name) + "</strong> with ";
  for (const Objective& objective : model.objectives)
    if (const auto value = best.value(objective.metric))
      out += (&objective == &model.objectives.front() ? "" : ", ") + escaped(objective.metric) + " = <strong>" + number_text(*value, 6) + "</strong>";
  out += " after " + std::to_string(best.iteration_of_result()) + (best.iteration_of_result() == 1 ? " iteration, " : " iterations, ") + number_text(best.time_of_result_s(), 3) + " s of training<div class=\"params\">";
  for (const auto& [path, value] : best.config_of_result().flat())
    out += "<span>" + escaped(path) + " <b>" + escaped(value.to_text(digits_of(model, path))) + "</b></span>";
  return out + "</div></div>\n";
}

std::string cell(const std::string& text, bool number) {
  return std::string(number ? "<td class=\"n\">" : "<td>") + escaped(text) + "</td>";
}

std::string trial_row(const ReportModel& model, const Trial& trial) {
  std::string out = "<tr" + of_trial(trial.index) + ">" + cell(trial.name, false) + "<td class=\"" + std::string(to_string(trial.state)) + "\">" +
                    std::string(to_string(trial.state)) + "</td>";
  for (const Objective& objective : model.objectives) {
    const auto value = trial.value(objective.metric);
    out += cell(value ? number_text(*value, 6) : "", true);
  }
  out += cell(std::to_string(trial.iteration_of_result()), true) + cell(number_text(trial.time_of_result_s(), 4), true);
  for (const ReportParameter& parameter : model.parameters) {
    const Value* value = trial.config_of_result().find(parameter.name);
    out += cell(value ? value->to_text(parameter.digits) : "", parameter.levels.empty());
  }
  return out + "</tr>\n";
}

/// The best first, then those without a number.
std::vector<std::size_t> listed_trials(const ReportModel& model) {
  std::vector<std::size_t> order = model.by_rank;
  for (std::size_t i = 0; i < model.history.trials.size(); ++i)
    if (!model.value()[i]) order.push_back(i);
  order.resize(std::min(order.size(), kMostRows));
  return order;
}

std::string trial_table(const ReportModel& model, const std::vector<std::size_t>& listed) {
  std::string out = "<div class=\"scroll\"><table id=\"trials\"><thead><tr><th>trial</th><th>state</th>";
  for (const Objective& objective : model.objectives) out += "<th class=\"n\">" + escaped(objective.metric) + "</th>";
  out += "<th class=\"n\">iterations</th><th class=\"n\">time (s)</th>";
  for (const ReportParameter& parameter : model.parameters)
    out += std::string(parameter.levels.empty() ? "<th class=\"n\">" : "<th>") + escaped(parameter.name) + "</th>";
  out += "</tr></thead><tbody>\n";
  for (const std::size_t trial : listed) out += trial_row(model, model.history.trials[trial]);
  out += "</tbody></table></div>\n";
  return "<figure><h2>Trials</h2>" + out + "<figcaption>The best first; a click on a title sorts." +
         (listed.size() < model.history.trials.size() ? " The first " + std::to_string(listed.size()) + " of " + std::to_string(model.history.trials.size()) + "; `manta tune show --csv` has all." : "") +
         "</figcaption></figure>\n";
}

std::string failures(const ExperimentHistory& history) {
  constexpr std::size_t kMost = 50;
  std::string rows;
  std::size_t failed = 0;
  for (const Trial& trial : history.trials) {
    if (trial.failures == 0 || ++failed > kMost) continue;
    rows += "<tr" + of_trial(trial.index) + ">" + cell(trial.name, false) + cell(std::to_string(trial.failures), true) +
            cell(std::string(to_string(trial.state)), false) + "<td><pre>" + escaped(trial.error) + "</pre></td></tr>\n";
  }
  if (failed == 0) return "";
  return "<figure><h2>Failures</h2><div class=\"scroll\"><table><thead><tr><th>trial</th><th class=\"n\">failures</th><th>state</th><th>last error</th></tr></thead><tbody>\n" +
         rows + "</tbody></table></div><figcaption>" + std::to_string(failed) + (failed == 1 ? " trial" : " trials") +
         " failed at least once; error.txt in a trial's directory has all of it." + (failed > kMost ? " The first 50." : "") + "</figcaption></figure>\n";
}

/// The trials that are drawn or listed anywhere.
std::set<std::size_t> mentioned(const ReportModel& model, const std::vector<std::size_t>& listed) {
  std::set<std::size_t> trials(listed.begin(), listed.end());
  for (const std::size_t trial : model.shown(kMostDots)) trials.insert(trial);
  for (const std::size_t trial : pareto_trials(model)) trials.insert(trial);
  return trials;
}

/// What the script shows of a trial: its name, state, numbers and parameters.
std::string trial_data(const ReportModel& model, const std::set<std::size_t>& trials) {
  std::string out = "{";
  for (const std::size_t index : trials) {
    const Trial& trial = model.history.trials[index];
    std::string text = std::string(to_string(trial.state)) + ", " + std::to_string(trial.iteration_of_result()) + (trial.iteration_of_result() == 1 ? " iteration" : " iterations");
    for (const Objective& objective : model.objectives)
      if (const auto value = trial.value(objective.metric)) text += "\n" + objective.metric + " = " + number_text(*value, 6);
    for (const ReportParameter& parameter : model.parameters)
      if (const Value* value = trial.config_of_result().find(parameter.name)) text += "\n" + parameter.name + " = " + value->to_text(parameter.digits);
    out += (out.size() > 1 ? ",\n" : "") + std::to_string(index) + ":[" + json_quoted(trial.name) + "," + json_quoted(text) + "]";
  }
  out += "}";
  for (std::size_t at = 0; (at = out.find('<', at)) != std::string::npos;) out.replace(at, 1, "\\u003c");  // no end of the script
  return out;
}

}  // namespace

std::string report_page(const ExperimentHistory& history, std::vector<Objective> objectives) {
  const ReportModel model = make_model(history, std::move(objectives));
  const std::string title = escaped(history.name) + " – Manta Tune";
  std::string page = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>" + title +
                     "</title>\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<style>" + std::string(kPageStyle) +
                     "</style></head><body><main>\n<h1>" + escaped(history.name) + (history.running ? " <small>still running</small>" : "") + "</h1>\n";
  page += best_card(model) + summary(model);
  page += history_chart(model) + curves_chart(model) + importance_chart(model) + pareto_chart(model) + parallel_chart(model) + slice_charts(model);
  const std::vector<std::size_t> listed = listed_trials(model);
  page += trial_table(model, listed) + failures(history);
  page += "</main>\n<div id=\"tip\" hidden></div>\n<script>const trials = " + trial_data(model, mentioned(model, listed)) + ";\n" + std::string(kPageScript) + "</script></body></html>\n";
  return page;
}

}  // namespace manta::tune
