#include "tune/table.hpp"

#include <algorithm>
#include <numeric>

#include "runtime/errors.hpp"

namespace manta::tune {

namespace {

constexpr std::size_t kNarrowest = 4;

bool continues(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; }

std::string padded(const std::string& text, std::size_t width, bool right) {
  const std::string cut = cut_text(text, width);
  const std::string space(width - display_width(cut), ' ');
  return right ? space + cut : cut + space;
}

/// Takes from the widest column until the sum fits.
void shrink(std::vector<std::size_t>& widths, std::size_t sum_allowed) {
  while (std::accumulate(widths.begin(), widths.end(), std::size_t{0}) > sum_allowed) {
    auto widest = std::max_element(widths.begin(), widths.end());
    if (*widest <= kNarrowest) return;
    --*widest;
  }
}

}  // namespace

std::size_t display_width(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return !continues(c); }));
}

std::string cut_text(const std::string& text, std::size_t width) {
  if (display_width(text) <= width) return text;
  if (width == 0) return "";
  std::size_t end = 0;
  for (std::size_t left = width - 1; end < text.size(); ++end)
    if (!continues(text[end]) && left-- == 0) break;
  return text.substr(0, end) + "…";
}

void Table::add(std::vector<std::string> cells) {
  MANTA_CHECK(cells.size() == columns_.size());
  for (std::string& cell : cells)
    std::replace_if(cell.begin(), cell.end(), [](char c) { return static_cast<unsigned char>(c) < 32 || c == 127; }, ' ');
  rows_.push_back(std::move(cells));
}

std::string Table::render(std::size_t width) const {
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    std::size_t widest = display_width(columns_[i].title);
    for (const auto& row : rows_) widest = std::max(widest, display_width(row[i]));
    widths.push_back(widest);
  }
  const std::size_t frame = 3 * columns_.size() + 1;
  shrink(widths, width > frame ? width - frame : 0);
  std::string rule = "+";
  std::string head = "|";
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    rule += std::string(widths[i] + 2, '-') + "+";
    head += " " + padded(columns_[i].title, widths[i], columns_[i].right) + " |";
  }
  std::string text = cut_text(rule, width) + "\n" + cut_text(head, width) + "\n" + cut_text(rule, width) + "\n";
  for (const auto& row : rows_) {
    std::string line = "|";
    for (std::size_t i = 0; i < row.size(); ++i) line += " " + padded(row[i], widths[i], columns_[i].right) + " |";
    text += cut_text(line, width) + "\n";
  }
  return text + cut_text(rule, width) + "\n";
}

}  // namespace manta::tune
