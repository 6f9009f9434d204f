#pragma once
// The report's pictures. Each gives a <figure> with a heading, an SVG and a caption that says what is seen and what was left
// out; empty where the experiment has nothing for it. What belongs to a trial carries data-t="INDEX" for the script. Pure.
#include <string>
#include <string_view>

#include "tune/report/model.hpp"

namespace manta::tune {

constexpr std::size_t kMostDots = 3000;  ///< of one picture

/// Each trial's result over the trials, and the best so far.
std::string history_chart(const ReportModel& model);
/// The metric over the iterations of each trial, with the rungs.
std::string curves_chart(const ReportModel& model);
/// One axis a parameter, one line a trial.
std::string parallel_chart(const ReportModel& model);
/// The result over each parameter alone.
std::string slice_charts(const ReportModel& model);
/// How much of the variance is due to each parameter and pair.
std::string importance_chart(const ReportModel& model);
/// The first two objectives against each other, and the front.
std::string pareto_chart(const ReportModel& model);
/// The trials on the front; none where there is one objective.
std::vector<std::size_t> pareto_trials(const ReportModel& model);

/// What the pictures share.
std::string figure(std::string_view heading, const std::string& content, const std::string& caption);
/// ` data-t="7"`.
std::string of_trial(std::size_t trial);
/// "120 of 500 trials are drawn, …" or "" when all are.
std::string left_out(std::size_t drawn, std::size_t all);
/// " 3 results lie far off and are drawn at the edge.", or "" when none does.
std::string edge_note(std::size_t beyond);
/// How many of them the scale leaves out.
std::size_t beyond(const std::vector<double>& values, const Scale& scale);
/// A scale from the worst to the best colour with its meaning.
std::string colour_key(double x, double y);

}  // namespace manta::tune
