#include "bench/schedulers/line_chart.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace manta::bench {

namespace {

constexpr double kWidth = 460, kHeight = 300, kLeft = 58, kTop = 34, kGap = 84, kBottom = 82;
constexpr const char* kColours[] = {"#7f7f7f", "#1f77b4", "#e08214", "#b2182b"};

/// Where things of a chart lie in the picture.
struct Frame {
  const Chart& chart;
  double left, x_high;

  double x(double value) const { return left + value / x_high * kWidth; }
  double y(double value) const {
    const double share = (std::log(std::clamp(value, chart.y_low, chart.y_high)) - std::log(chart.y_low)) / (std::log(chart.y_high) - std::log(chart.y_low));
    return kTop + (1 - share) * kHeight;
  }
};

std::string text(double x, double y, const std::string& anchor, const std::string& words, const std::string& more = "") {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" {}>{}</text>\n", x, y, anchor, more, words);
}

std::string axes(const Frame& frame) {
  std::string svg = fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{}\" height=\"{}\" fill=\"none\" stroke=\"#444\"/>\n", frame.left, kTop, kWidth, kHeight);
  svg += text(frame.left + kWidth / 2, kTop - 12, "middle", frame.chart.title, "font-weight=\"bold\"");
  svg += text(frame.left + kWidth / 2, kTop + kHeight + 36, "middle", frame.chart.x_label);
  svg += text(0, 0, "middle", frame.chart.y_label, fmt::format("transform=\"translate({:.1f},{:.1f}) rotate(-90)\"", frame.left - 44, kTop + kHeight / 2));
  for (int i = 0; i <= 4; ++i) {
    const double value = frame.x_high * i / 4;
    svg += text(frame.x(value), kTop + kHeight + 18, "middle", fmt::format("{:g}", value));
  }
  for (const double value : {0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0}) {
    if (value < frame.chart.y_low || value > frame.chart.y_high) continue;
    svg += fmt::format("<line x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"#ddd\"/>\n", frame.left, frame.left + kWidth, frame.y(value), frame.y(value));
    svg += text(frame.left - 6, frame.y(value) + 4, "end", fmt::format("{:g}", value));
  }
  return svg;
}

std::string curve(const Frame& frame, const Line& line, const char* colour) {
  std::string points, band;
  for (std::size_t i = 0; i < line.x.size(); ++i) points += fmt::format("{:.1f},{:.1f} ", frame.x(line.x[i]), frame.y(line.y[i]));
  for (std::size_t i = 0; i < line.low.size(); ++i) band += fmt::format("{:.1f},{:.1f} ", frame.x(line.x[i]), frame.y(line.low[i]));
  for (std::size_t i = line.high.size(); i-- > 0;) band += fmt::format("{:.1f},{:.1f} ", frame.x(line.x[i]), frame.y(line.high[i]));
  std::string svg;
  if (!band.empty()) svg += fmt::format("<polygon points=\"{}\" fill=\"{}\" fill-opacity=\"0.15\"/>\n", band, colour);
  return svg + fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>\n", points, colour);
}

std::string legend(const Chart& chart, double y) {
  std::string svg;
  double x = kLeft;
  for (std::size_t i = 0; i < chart.lines.size(); ++i, x += 230) {
    svg += fmt::format("<line x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"{}\" stroke-width=\"3\"/>\n", x, x + 26, y, y, kColours[i]);
    svg += text(x + 34, y + 4, "start", chart.lines[i].name);
  }
  return svg;
}

}  // namespace

std::string to_svg(const std::vector<Chart>& charts) {
  const double width = kLeft + static_cast<double>(charts.size()) * (kWidth + kGap) - kGap + 20, height = kTop + kHeight + kBottom;
  std::string svg = fmt::format("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" font-family=\"sans-serif\" font-size=\"13\">\n"
                                "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n", width, height);
  double left = kLeft;
  for (const Chart& chart : charts) {
    const Frame frame{chart, left, chart.lines.front().x.back()};
    svg += axes(frame);
    for (std::size_t i = 0; i < chart.lines.size(); ++i) svg += curve(frame, chart.lines[i], kColours[i]);
    left += kWidth + kGap;
  }
  return svg + legend(charts.front(), height - 18) + "</svg>\n";
}

}  // namespace manta::bench
