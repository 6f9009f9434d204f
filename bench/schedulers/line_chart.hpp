#pragma once
// Line charts beside each other as an SVG text, with a logarithmic y axis. Pure.
#include <string>
#include <vector>

namespace manta::bench {

struct Line {
  std::string name;
  std::vector<double> x, y;         ///< y above 0
  std::vector<double> low, high;    ///< a band around it; empty: none
};

struct Chart {
  std::string title, x_label, y_label;
  double y_low, y_high;
  std::vector<Line> lines;  ///< at most 4; the same names and colours in each chart
};

std::string to_svg(const std::vector<Chart>& charts);

}  // namespace manta::bench
