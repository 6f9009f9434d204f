#pragma once
// The little of SVG that the report draws with: text, scales and axes. Pure.
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tune/objective.hpp"

namespace manta::tune {

/// Text for HTML and SVG: &, <, >, quotes escaped, control characters dropped, U+FFFD for each byte that is no UTF-8.
std::string escaped(std::string_view text);
/// A coordinate with at most one decimal.
std::string px(double value);
/// ` name="value"`, escaped.
std::string attribute(std::string_view name, std::string_view value);

struct Box {
  double left{0}, top{0}, width{0}, height{0};
  double right() const { return left + width; }
  double bottom() const { return top + height; }
};

/// From data to pixels: linear, logarithmic, or one place for each category.
class Scale {
 public:
  struct Tick {
    double at{0};  ///< in pixels
    std::string label{};
  };

  static Scale linear(double low, double high);
  static Scale logarithmic(double low, double high);
  static Scale categories(std::vector<std::string> names);

  Scale over(double from, double to) const;  ///< pixels of the low and the high end
  /// In pixels; beyond the ends it stays at the end.
  double operator()(double value) const;
  bool inside(double value) const { return value >= low_ && value <= high_; }
  bool is_logarithmic() const { return kind_ == Kind::kLog; }
  /// About `count` round numbers.
  std::vector<Tick> ticks(std::size_t count = 5) const;

 private:
  enum class Kind { kLinear, kLog, kCategories };
  std::vector<Tick> log_ticks(std::size_t count) const;

  Kind kind_{Kind::kLinear};
  double low_{0}, high_{1}, from_{0}, to_{1};
  std::vector<std::string> names_{};
};

/// Whether numbers are better told apart by their logarithms: all above 0 and spread over more than two powers of ten.
bool wants_logarithm(const std::vector<double>& values);
/// The lower and the upper quartile of sorted numbers. Where these are the same number, quantiles further out that differ.
std::pair<double, double> quartiles(const std::vector<double>& sorted);
/// A scale for results. What is far worse than the others (Tukey's fence, three times the usual) is left out, the better end
/// never: it is what the picture is for. `always`: numbers that have a place on it, however bad.
Scale scale_for(const std::vector<double>& values, Mode mode, const std::vector<double>& always = {});

/// Grid lines and labels inside `box`; the scales must be laid over it.
std::string x_axis(const Box& box, const Scale& scale, std::string_view title, std::size_t ticks = 6);
std::string y_axis(const Box& box, const Scale& scale, std::string_view title, std::size_t ticks = 5, double title_above = 12);
/// <svg …> with a role and a title for those who cannot see it.
std::string svg(double width, double height, std::string_view title, const std::string& content);
/// A text at a point; `style` are classes: "axis", "end", "middle", "small", "strong".
std::string label(double x, double y, std::string_view style, std::string_view text);
/// The `d` of a line through the points, or empty where there is none.
std::string path_through(const std::vector<std::pair<double, double>>& points);

/// From 0, the worst, to 1, the best: light grey-blue to deep blue, told apart by lightness alone.
std::string colour_of(double goodness);

}  // namespace manta::tune
