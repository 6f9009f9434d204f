#include "tune/report/svg.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "tune/table.hpp"
#include "tune/utf8.hpp"
#include "tune/value.hpp"

namespace manta::tune {

std::string escaped(std::string_view text) {
  std::string out;
  for (std::size_t size = 0; !text.empty(); text.remove_prefix(std::max<std::size_t>(size, 1))) {
    size = character_size(text);
    if (size != 1) {
      out += size == 0 ? "\uFFFD" : text.substr(0, size);
      continue;
    }
    switch (const char c = text.front()) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default:
        if (static_cast<unsigned char>(c) >= 32 || c == '\n') out += c;
    }
  }
  return out;
}

std::string px(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", value);
  const std::string_view view(text);
  return std::string(view.ends_with(".0") ? view.substr(0, view.size() - 2) : view);
}

std::string attribute(std::string_view name, std::string_view value) {
  return " " + std::string(name) + "=\"" + escaped(value) + "\"";
}

Scale Scale::linear(double low, double high) {
  Scale scale;
  // All the same, or but for rounding: some room around it. Ticks closer than a double can tell apart have no end either.
  const bool same = !(high - low > 1e-9 * std::max(std::abs(low), std::abs(high)));
  const double margin = same ? std::max(std::abs(low) * 0.1, 0.5) : 0;
  scale.low_ = low - margin, scale.high_ = high + margin;
  return scale;
}

Scale Scale::logarithmic(double low, double high) {
  Scale scale;
  scale.kind_ = Kind::kLog;
  const bool same = !(high > low * (1 + 1e-9));
  scale.low_ = same ? low / 2 : low, scale.high_ = same ? high * 2 : high;
  return scale;
}

Scale Scale::categories(std::vector<std::string> names) {
  Scale scale;
  scale.kind_ = Kind::kCategories;
  scale.names_ = std::move(names);
  scale.low_ = -0.5, scale.high_ = static_cast<double>(scale.names_.size()) - 0.5;
  return scale;
}

Scale Scale::over(double from, double to) const {
  Scale scale = *this;
  scale.from_ = from, scale.to_ = to;
  return scale;
}

double Scale::operator()(double value) const {
  const double at = std::clamp(value, low_, high_);
  const double share = kind_ == Kind::kLog ? std::log(at / low_) / std::log(high_ / low_) : (at - low_) / (high_ - low_);
  return from_ + share * (to_ - from_);
}

std::vector<Scale::Tick> Scale::ticks(std::size_t count) const {
  std::vector<Tick> ticks;
  if (kind_ == Kind::kCategories) {
    for (std::size_t i = 0; i < names_.size(); ++i) ticks.push_back({(*this)(static_cast<double>(i)), names_[i]});
    return ticks;
  }
  if (kind_ == Kind::kLog) ticks = log_ticks(count);
  if (ticks.size() >= 2) return ticks;
  ticks.clear();
  const double rough = (high_ - low_) / static_cast<double>(std::max<std::size_t>(count, 1));
  const double power = std::pow(10, std::floor(std::log10(rough)));
  double step = power * 10;
  for (const double factor : {5.0, 2.0, 1.0})
    if (power * factor >= rough * 0.7) step = power * factor;
  // As many digits as tell neighbours apart: 0.9999912 and 0.9999914 are the same in six.
  const double largest = std::max(std::abs(low_), std::abs(high_));
  const int digits = static_cast<int>(std::clamp(std::ceil(std::log10(largest / step)) + 1, 6.0, 15.0));
  for (double at = std::ceil(low_ / step - 1e-9); at * step <= high_ + step * 1e-9; ++at)
    ticks.push_back({(*this)(at * step), number_text(at == 0 ? 0 : at * step, digits)});
  return ticks;
}

std::vector<Scale::Tick> Scale::log_ticks(std::size_t count) const {
  const double first = std::ceil(std::log10(low_) - 1e-9), last = std::floor(std::log10(high_) + 1e-9);
  const bool dense = last - first < 2;  // fewer than three powers of ten: 1, 2, 5 as well
  const double step = std::max(1.0, std::ceil((last - first + 1) / static_cast<double>(std::max<std::size_t>(count, 1))));
  std::vector<Tick> ticks;
  for (double power = dense ? first - 1 : first; power <= last; power += dense ? 1 : step)
    for (const double factor : dense ? std::vector<double>{1, 2, 5} : std::vector<double>{1}) {
      const double at = factor * std::pow(10, power);
      if (at >= low_ * 0.999999 && at <= high_ * 1.000001) ticks.push_back({(*this)(at), number_text(at, 3)});
    }
  return ticks;
}

bool wants_logarithm(const std::vector<double>& values) {
  if (values.empty()) return false;
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return *low > 0 && *high / *low > 100;
}

std::pair<double, double> quartiles(const std::vector<double>& sorted) {
  const std::size_t last = sorted.size() - 1;
  std::size_t low = (last + 2) / 4;
  while (low > 0 && sorted[low] == sorted[last - low]) --low;
  return {sorted[low], sorted[last - low]};
}

Scale scale_for(const std::vector<double>& values, Mode mode, const std::vector<double>& always) {
  if (values.empty()) return Scale::linear(0, 1);
  std::vector<double> sorted = values;
  std::sort(sorted.begin(), sorted.end());
  if (wants_logarithm(sorted)) return Scale::logarithmic(sorted.front(), sorted.back());
  constexpr double kFar = 4.5;
  const auto [low, high] = quartiles(sorted);
  const double reach = kFar * (high - low), fence = mode == Mode::kMin ? high + reach : low - reach;
  double begin = sorted.front(), end = sorted.back();
  if (mode == Mode::kMin)
    end = *std::find_if(sorted.rbegin(), sorted.rend(), [&](double x) { return x <= fence; });
  else
    begin = *std::find_if(sorted.begin(), sorted.end(), [&](double x) { return x >= fence; });
  for (const double value : always) begin = std::min(begin, value), end = std::max(end, value);
  return Scale::linear(begin, end);
}

std::string label(double x, double y, std::string_view style, std::string_view text) {
  return "<text" + attribute("x", px(x)) + attribute("y", px(y)) + attribute("class", style) + ">" + escaped(text) + "</text>";
}

std::string x_axis(const Box& box, const Scale& scale, std::string_view title, std::size_t ticks) {
  constexpr double kLetter = 6.6, kGap = 6;
  std::string out;
  double taken = -1e9;  // up to there: labels that would lie over each other can be read by nobody
  for (const auto& [at, text] : scale.ticks(ticks)) {
    out += "<path class=\"grid\" d=\"M" + px(at) + " " + px(box.top) + "V" + px(box.bottom()) + "\"/>";
    const std::string shown = cut_text(text, 14);
    const double half = kLetter * static_cast<double>(display_width(shown)) / 2;
    if (at - half < taken + kGap) continue;
    out += label(at, box.bottom() + 17, "axis middle", shown);
    taken = at + half;
  }
  out += "<path class=\"frame\" d=\"M" + px(box.left) + " " + px(box.bottom()) + "H" + px(box.right()) + "\"/>";
  return out + label(box.left + box.width / 2, box.bottom() + 36, "title middle", title);
}

std::string y_axis(const Box& box, const Scale& scale, std::string_view title, std::size_t ticks, double title_above) {
  std::string out;
  for (const auto& [at, text] : scale.ticks(ticks)) {
    out += "<path class=\"grid\" d=\"M" + px(box.left) + " " + px(at) + "H" + px(box.right()) + "\"/>";
    out += label(box.left - 7, at + 4, "axis end", cut_text(text, 12));
  }
  return out + label(box.left - 52, box.top - title_above, "title", title);
}

std::string svg(double width, double height, std::string_view title, const std::string& content) {
  return "<svg viewBox=\"0 0 " + px(width) + " " + px(height) + "\" role=\"img\"" + attribute("aria-label", title) + ">" + content +
         "</svg>\n";
}

std::string path_through(const std::vector<std::pair<double, double>>& points) {
  std::string d;
  for (const auto& [x, y] : points) d += (d.empty() ? "M" : "L") + px(x) + " " + px(y);
  return d;
}

std::string colour_of(double goodness) {
  static constexpr std::array<std::array<double, 3>, 4> kStops{{{198, 208, 220}, {124, 172, 214}, {43, 111, 184}, {9, 45, 107}}};
  const double place = std::clamp(goodness, 0.0, 1.0) * (kStops.size() - 1);
  const std::size_t below = std::min<std::size_t>(static_cast<std::size_t>(place), kStops.size() - 2);
  const double share = place - static_cast<double>(below);
  char text[16];
  std::array<int, 3> rgb{};
  for (std::size_t i = 0; i < 3; ++i) rgb[i] = static_cast<int>(std::lround(kStops[below][i] * (1 - share) + kStops[below + 1][i] * share));
  std::snprintf(text, sizeof text, "#%02x%02x%02x", rgb[0] & 255, rgb[1] & 255, rgb[2] & 255);
  return text;
}

}  // namespace manta::tune
