#include "tune/report/charts.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "tune/table.hpp"

namespace manta::tune {

namespace {

constexpr double kWidth = 1080;

std::string dot(double x, double y, double radius, std::string_view style, std::size_t trial, const std::string& colour = "") {
  return "<circle" + attribute("cx", px(x)) + attribute("cy", px(y)) + attribute("r", px(radius)) + attribute("class", style) +
         (colour.empty() ? "" : attribute("fill", colour)) + of_trial(trial) + "/>";
}

/// At most `count` of the points, evenly, the last among them.
template <class T>
std::vector<T> thinned(const std::vector<T>& all, std::size_t count) {
  if (all.size() <= count) return all;
  std::vector<T> kept;
  for (std::size_t i = 0; i < count; ++i) kept.push_back(all[i * (all.size() - 1) / (count - 1)]);
  return kept;
}

constexpr std::size_t kMostPoints = 200;  // of one curve

struct Curve {
  std::size_t trial{0};
  bool thinned{false};
  std::vector<std::pair<double, double>> points{};  ///< iteration, value
};

std::vector<Curve> curves_of(const ReportModel& model, const std::vector<std::size_t>& trials) {
  std::vector<Curve> curves;
  for (const std::size_t trial : trials) {
    Curve curve{.trial = trial};
    for (const ResultRow& row : model.history.results[trial])
      if (const auto value = row.value(model.objective().metric); value && std::isfinite(*value))
        curve.points.emplace_back(static_cast<double>(row.iteration), *value);
    curve.thinned = curve.points.size() > kMostPoints;
    curve.points = thinned(curve.points, kMostPoints);
    if (!curve.points.empty()) curves.push_back(std::move(curve));
  }
  return curves;
}

std::map<double, std::size_t> rungs_of(const ExperimentHistory& history) {
  std::map<double, std::size_t> rungs;
  for (const auto& rows : history.results)
    for (const ResultRow& row : rows)
      if (row.rung > 0) ++rungs[row.rung];
  return rungs;
}

}  // namespace

std::string figure(std::string_view heading, const std::string& content, const std::string& caption) {
  return "<figure><h2>" + escaped(heading) + "</h2>\n" + content + "<figcaption>" + escaped(caption) + "</figcaption></figure>\n";
}

std::string of_trial(std::size_t trial) { return " data-t=\"" + std::to_string(trial) + "\""; }

std::string left_out(std::size_t drawn, std::size_t all) {
  if (drawn >= all) return "";
  return " Of " + std::to_string(all) + " trials " + std::to_string(drawn) +
         " are drawn: the best, and others evenly from the rest.";
}

std::string edge_note(std::size_t beyond) {
  if (beyond == 0) return "";
  return " " + std::to_string(beyond) + (beyond == 1 ? " result lies" : " results lie") + " far off and " +
         (beyond == 1 ? "is" : "are") + " drawn at the edge.";
}

std::size_t beyond(const std::vector<double>& values, const Scale& scale) {
  return static_cast<std::size_t>(std::count_if(values.begin(), values.end(), [&](double value) { return !scale.inside(value); }));
}

std::string colour_key(double x, double y) {
  std::string out = label(x - 8, y + 9, "axis end", "worst trial");
  for (int i = 0; i < 24; ++i)
    out += "<rect" + attribute("x", px(x + 5 * i)) + attribute("y", px(y)) + " width=\"5.3\" height=\"10\"" +
           attribute("fill", colour_of(i / 23.0)) + "/>";
  return out + label(x + 128, y + 9, "axis", "best trial");
}

std::string history_chart(const ReportModel& model) {
  if (model.by_rank.empty()) return "";
  const Box box{70, 34, kWidth - 90, 290};
  const std::vector<double> values = model.finite_values();
  const Scale y = scale_for(values, model.objective().mode).over(box.bottom() - 6, box.top + 6);
  const Scale x = Scale::linear(0, static_cast<double>(std::max<std::size_t>(model.history.trials.size(), 2) - 1)).over(box.left + 8, box.right() - 8);
  std::string content = x_axis(box, x, "trial number, in the order in which they were made", 10) + y_axis(box, y, model.axis_title());
  const auto drawn = model.shown(kMostDots);
  for (const std::size_t trial : drawn)
    content += dot(x(static_cast<double>(trial)), y(*model.value()[trial]), 3.4, "dot", trial);
  std::vector<std::pair<double, double>> best_line;
  std::optional<double> best;
  for (std::size_t trial = 0; trial < model.value().size(); ++trial) {
    const auto value = model.value()[trial];
    const bool better = value && (!best || (model.objective().mode == Mode::kMin ? *value < *best : *value > *best));
    if (!better && trial + 1 < model.value().size()) continue;
    if (best) best_line.emplace_back(x(static_cast<double>(trial)), y(*best));
    if (better) best = value, best_line.emplace_back(x(static_cast<double>(trial)), y(*best));
  }
  content += "<path class=\"best\" d=\"" + path_through(best_line) + "\"/>";
  content += dot(x(static_cast<double>(model.by_rank.front())), y(*model.value()[model.by_rank.front()]), 5.5, "bestdot", model.by_rank.front());
  return figure("Optimisation history", svg(kWidth, box.bottom() + 44, "Optimisation history", content),
                "A dot is a trial's last " + model.objective().metric + "; the line is the best so far." + edge_note(beyond(values, y)) +
                    left_out(drawn.size(), model.by_rank.size()));
}

std::string curves_chart(const ReportModel& model) {
  constexpr std::size_t kMost = 200;
  const auto curves = curves_of(model, model.shown(kMost));
  std::vector<double> values;
  double longest = 0;
  for (const Curve& curve : curves)
    for (const auto& [iteration, value] : curve.points) values.push_back(value), longest = std::max(longest, iteration);
  if (longest < 2) return "";
  const Box box{70, 50, kWidth - 90, 330};
  const Scale y = scale_for(values, model.objective().mode).over(box.bottom() - 6, box.top + 6);
  const Scale x = Scale::linear(1, longest).over(box.left + 8, box.right() - 8);
  std::string content = x_axis(box, x, "training_iteration (results reported)", 10) + y_axis(box, y, model.axis_title(), 6, 30);
  const auto rungs = rungs_of(model.history);
  double last_label = -100;
  for (const auto& [rung, count] : rungs) {
    const double at = x(rung);
    if (rung > longest) continue;
    content += "<path class=\"rung\" d=\"M" + px(at) + " " + px(box.top) + "V" + px(box.bottom()) + "\"/>";
    if (at - last_label < 58 && rungs.size() > 1) continue;
    content += label(at, box.top - 6, "axis middle", std::to_string(count) + " at " + number_text(rung, 4));
    last_label = at;
  }
  for (const Curve& curve : curves) {
    const double goodness = model.goodness[curve.trial];
    const bool is_best = curve.trial == model.by_rank.front();
    std::vector<std::pair<double, double>> points;
    for (const auto& [iteration, value] : curve.points) points.emplace_back(x(iteration), y(value));
    content += "<path" + attribute("class", is_best ? "line bestline" : "line") + attribute("stroke", colour_of(goodness)) +
               attribute("d", path_through(points)) + of_trial(curve.trial) + "/>";
    content += dot(points.back().first, points.back().second, is_best ? 4.5 : 2.6, is_best ? "bestdot" : "enddot", curve.trial, colour_of(goodness));
  }
  content += colour_key(box.right() - 220, 6);
  std::string caption = "A line is a trial, darker the better its last result; a dot is where it ended or is now.";
  if (!rungs.empty()) caption += " Dashed: the scheduler's rungs, with the number of results that filled each.";
  if (std::any_of(curves.begin(), curves.end(), [](const Curve& curve) { return curve.thinned; }))
    caption += " Of a trial with more than " + std::to_string(kMostPoints) + " results so many are drawn, evenly, the last among them.";
  return figure("Learning curves", svg(kWidth, box.bottom() + 44, "Learning curves", content),
                caption + edge_note(beyond(values, y)) + left_out(curves.size(), model.by_rank.size()));
}

std::string parallel_chart(const ReportModel& model) {
  constexpr std::size_t kMost = 400, kMostAxes = 12;
  if (model.parameters.size() < 2 || model.by_rank.size() < 2) return "";
  std::vector<std::size_t> axes;  // the most important ones, in the space's order
  for (const Importance& importance : model.importances)
    if (!importance.second && axes.size() < kMostAxes) axes.push_back(importance.first);
  for (std::size_t i = 0; i < model.parameters.size() && axes.size() < kMostAxes; ++i)
    if (std::find(axes.begin(), axes.end(), i) == axes.end()) axes.push_back(i);
  std::sort(axes.begin(), axes.end());
  const Box box{84, 60, kWidth - 174, 290};
  const double step = box.width / static_cast<double>(axes.size());
  std::vector<Scale> scales;
  std::string frame;
  const auto add_axis = [&](const Scale& scale, const std::string& title, bool logarithmic) {
    const double at = box.left + step * static_cast<double>(scales.size());
    scales.push_back(scale.over(box.bottom(), box.top));
    frame += "<path class=\"frame\" d=\"M" + px(at) + " " + px(box.top) + "V" + px(box.bottom()) + "\"/>";
    frame += label(at, box.top - 14, "strong middle", cut_text(title, static_cast<std::size_t>(std::max(6.0, step / 7))) + (logarithmic ? " (log)" : ""));
    for (const auto& [y, text] : scales.back().ticks(5)) frame += label(at - 6, y + 4, "axis end halo", cut_text(text, 12));
  };
  for (const std::size_t axis : axes)
    add_axis(model.parameters[axis].scale(), model.parameters[axis].name, model.parameters[axis].logarithmic);
  const std::vector<double> values = model.finite_values();
  const Scale last = scale_for(values, model.objective().mode);
  add_axis(last, model.objective().metric, last.is_logarithmic());
  std::string lines;
  const auto drawn = model.shown(kMost);
  for (const std::size_t trial : drawn) {
    std::vector<std::pair<double, double>> points;
    for (std::size_t i = 0; i < axes.size(); ++i)
      if (const auto value = model.parameters[axes[i]].values[trial])
        points.emplace_back(box.left + step * static_cast<double>(i), scales[i](*value));
    points.emplace_back(box.left + step * static_cast<double>(axes.size()), scales.back()(*model.value()[trial]));
    lines += "<path" + attribute("class", trial == model.by_rank.front() ? "line bestline" : "line") +
             attribute("stroke", colour_of(model.goodness[trial])) + attribute("d", path_through(points)) + of_trial(trial) + "/>";
  }
  return figure("Parallel coordinates", svg(kWidth, box.bottom() + 20, "Parallel coordinates", lines + frame + colour_key(box.right() - 120, 8)),
                "A line is a trial: through each parameter's value to its last " + model.objective().metric +
                    ". Point at a line to follow it; a parameter that a trial has not is passed over." +
                    (axes.size() < model.parameters.size() ? " The " + std::to_string(kMostAxes) + " most important parameters." : "") +
                    edge_note(beyond(values, last)) + left_out(drawn.size(), model.by_rank.size()));
}

std::vector<std::size_t> pareto_trials(const ReportModel& model) {
  if (model.objectives.size() < 2) return {};
  std::vector<std::size_t> trials;
  const ResultGrid grid = to_grid(model.history);
  for (const TrialResult* trial : grid.pareto_front({model.objectives[0], model.objectives[1]})) trials.push_back(trial->index);
  return trials;
}

std::string pareto_chart(const ReportModel& model) {
  const std::vector<std::size_t> front = pareto_trials(model);
  if (front.empty()) return "";
  const Box box{70, 34, 700, 420};
  // The front reaches from the best to the worst that is worth having: all of it has a place.
  const auto scale_of = [&](std::size_t objective) {
    std::vector<double> of_front;
    for (const std::size_t trial : front) of_front.push_back(*model.values[objective][trial]);
    return scale_for(model.finite_values(objective), model.objectives[objective].mode, of_front);
  };
  const Scale x = scale_of(0).over(box.left + 10, box.right() - 10);
  const Scale y = scale_of(1).over(box.bottom() - 10, box.top + 10);
  std::string content = x_axis(box, x, model.axis_title(0), 8) + y_axis(box, y, model.axis_title(1), 7);
  std::size_t drawn = 0, at_edge = 0;
  for (const std::size_t trial : model.shown(kMostDots)) {
    if (!model.values[0][trial] || !model.values[1][trial]) continue;
    content += dot(x(*model.values[0][trial]), y(*model.values[1][trial]), 3.4, "dot", trial);
    ++drawn, at_edge += !x.inside(*model.values[0][trial]) || !y.inside(*model.values[1][trial]);
  }
  std::string d;  // a staircase: what lies beyond it is dominated
  for (const std::size_t trial : front) {
    const double at_x = x(*model.values[0][trial]), at_y = y(*model.values[1][trial]);
    d += d.empty() ? "M" + px(at_x) + " " + px(at_y) : "H" + px(at_x) + "V" + px(at_y);
  }
  content += "<path class=\"best\" d=\"" + d + "\"/>";
  for (const std::size_t trial : front) content += dot(x(*model.values[0][trial]), y(*model.values[1][trial]), 5, "bestdot", trial);
  return figure("Pareto front", "<div class=\"narrow\">" + svg(box.right() + 20, box.bottom() + 44, "Pareto front", content) + "</div>",
                std::to_string(front.size()) + " of " + std::to_string(drawn) + " trials are beaten by none in both; the line joins them." +
                    edge_note(at_edge));
}

}  // namespace manta::tune
