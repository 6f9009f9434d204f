// The pictures about parameters one at a time: slices and importances.
#include <algorithm>
#include <cmath>

#include "tune/report/charts.hpp"
#include "tune/table.hpp"

namespace manta::tune {

namespace {

std::string percent(double share) {
  return share < 0.0005 ? "0 %" : number_text(std::round(share * 1000) / 10, 3) + " %";
}

/// Spreads dots of one category sideways, always the same way for the same trial.
double sideways(const ReportParameter& parameter, std::size_t trial, const Scale& scale) {
  if (parameter.levels.empty()) return 0;
  const double place = std::fmod(static_cast<double>(trial) * 0.618033988749895, 1.0) - 0.5;
  return place * 0.5 * (scale(1) - scale(0));
}

std::string slice(const ReportModel& model, const ReportParameter& parameter, const std::vector<std::size_t>& trials) {
  const Box box{66, 30, 270, 180};
  const Scale x = parameter.scale().over(box.left + 8, box.right() - 8);
  const Scale y = scale_for(model.finite_values(), model.objective().mode).over(box.bottom() - 5, box.top + 5);
  std::string content = x_axis(box, x, parameter.name + (parameter.logarithmic ? " (log)" : ""), parameter.logarithmic ? 4 : 5) +
                        y_axis(box, y, model.objective().metric, 4);
  for (const std::size_t trial : trials) {
    if (!parameter.values[trial]) continue;
    const bool best = trial == model.by_rank.front();
    content += "<circle" + attribute("cx", px(x(*parameter.values[trial]) + sideways(parameter, trial, x))) +
               attribute("cy", px(y(*model.value()[trial]))) + attribute("r", best ? "5" : "3") + attribute("class", best ? "bestdot" : "slicedot") +
               attribute("fill", colour_of(model.goodness[trial])) + of_trial(trial) + "/>";
  }
  return svg(box.right() + 14, box.bottom() + 44, "Slice of " + parameter.name, content);
}

}  // namespace

std::string slice_charts(const ReportModel& model) {
  constexpr std::size_t kMost = 800, kMostSlices = 18;
  if (model.parameters.empty() || model.by_rank.empty()) return "";
  std::vector<std::size_t> order;  // the most important first
  for (const Importance& importance : model.importances)
    if (!importance.second) order.push_back(importance.first);
  for (std::size_t i = 0; i < model.parameters.size() && model.importances.empty(); ++i) order.push_back(i);
  const std::size_t count = std::min(order.size(), kMostSlices);
  const auto trials = model.shown(kMost);
  std::string content = "<div class=\"slices\">";
  for (std::size_t i = 0; i < count; ++i) content += slice(model, model.parameters[order[i]], trials);
  const std::vector<double> values = model.finite_values();
  return figure("Slices", content + "</div>",
                "Each trial's last " + model.objective().metric + " over one parameter alone, darker the better; the ringed dot is the best trial." +
                    (count < order.size() ? " The " + std::to_string(count) + " most important of " + std::to_string(order.size()) + " parameters." : "") +
                    edge_note(beyond(values, scale_for(values, model.objective().mode))) + left_out(trials.size(), model.by_rank.size()));
}

std::string importance_chart(const ReportModel& model) {
  constexpr std::size_t kMostBars = 12, kMostPairs = 3;
  constexpr double kSmallestPair = 0.01;
  std::vector<Importance> bars;
  std::size_t pairs = 0, singles = 0;
  for (const Importance& importance : model.importances) {
    const bool wanted = importance.second ? importance.share >= kSmallestPair && pairs++ < kMostPairs : singles++ < kMostBars;
    if (wanted) bars.push_back(importance);
  }
  if (bars.empty()) return "";
  constexpr double kRow = 24, kNames = 250, kBars = 420;
  std::string content;
  double y = 8;
  for (const Importance& bar : bars) {
    std::string name = model.parameters[bar.first].name;
    if (bar.second) name += " × " + model.parameters[*bar.second].name;
    const double width = std::max(1.0, kBars * bar.share);
    const double low = kNames + kBars * std::max(0.0, bar.share - bar.deviation);
    const double high = kNames + kBars * std::min(1.0, bar.share + bar.deviation);
    content += label(kNames - 10, y + 15, "axis end", cut_front(name, 36));
    content += "<rect" + attribute("x", px(kNames)) + attribute("y", px(y + 3)) + attribute("width", px(width)) + " height=\"16\"" +
               attribute("class", bar.second ? "bar pair" : "bar") + "/>";
    content += "<path class=\"spread\" d=\"M" + px(low) + " " + px(y + 11) + "H" + px(high) + "\"/>";
    content += label(std::max(kNames + width, high) + 8, y + 15, "axis", percent(bar.share));
    y += kRow;
  }
  return figure("Parameter importances",
                "<div class=\"narrow\">" + svg(kNames + kBars + 80, y + 8, "Parameter importances", content) + "</div>",
                "The share of what " + model.objective().metric + " varies by that is due to each parameter alone, and (lighter, ×) to a pair beyond the "
                "two alone; the thin line is the standard deviation between the trees. fANOVA (Hutter et al. 2014) of " +
                    std::to_string(std::min<std::size_t>(model.by_rank.size(), 2000)) +
                    " trials; far worse results than most count as the edge of the rest.");
}

}  // namespace manta::tune
