#include "tune/table.hpp"

#include <algorithm>
#include <numeric>

#include "runtime/errors.hpp"

namespace manta::tune {

namespace {

constexpr std::size_t kNarrowest = 4;

bool continues(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; }

std::string padded(const std::string& text, std::size_t width, const Table::Column& column) {
  const std::string cut = column.keep_end ? cut_front(text, width) : cut_text(text, width);
  const std::string space(width - display_width(cut), ' ');
  return column.right ? space + cut : cut + space;
}

/// Takes from the widest column that is above its floor, until the sum is allowed.
void shrink(std::vector<std::size_t>& widths, const std::vector<std::size_t>& floors, std::size_t allowed) {
  while (std::accumulate(widths.begin(), widths.end(), std::size_t{0}) > allowed) {
    std::size_t* widest = nullptr;
    for (std::size_t i = 0; i < widths.size(); ++i)
      if (widths[i] > floors[i] && (!widest || widths[i] > *widest)) widest = &widths[i];
    if (!widest) return;
    --*widest;
  }
}

}  // namespace

std::string one_line(std::string text) {
  std::replace_if(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 32 || c == 127; }, ' ');
  return text;
}

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

std::string cut_front(const std::string& text, std::size_t width) {
  const std::size_t whole = display_width(text);
  if (whole <= width) return text;
  if (width == 0) return "";
  std::size_t begin = 0;
  for (std::size_t drop = whole - width + 1; begin < text.size(); ++begin)
    if (!continues(text[begin]) && drop-- == 0) break;
  return "…" + text.substr(begin);
}

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {
  for (Column& column : columns_) column.title = one_line(std::move(column.title));
}

void Table::add(std::vector<std::string> cells) {
  MANTA_CHECK(cells.size() == columns_.size());
  for (std::string& cell : cells) cell = one_line(std::move(cell));
  rows_.push_back(std::move(cells));
}

std::vector<std::size_t> Table::widths(std::size_t allowed) const {
  constexpr std::size_t kShortName = 8;
  std::vector<std::size_t> widths, contents, with_short_names;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    std::size_t content = std::min(kNarrowest, display_width(columns_[i].title));
    for (const auto& row : rows_) content = std::max(content, display_width(row[i]));
    contents.push_back(content);
    with_short_names.push_back(columns_[i].keep_end ? std::min(content, kShortName) : content);
    widths.push_back(std::max(content, display_width(columns_[i].title)));
  }
  shrink(widths, contents, allowed);
  shrink(widths, with_short_names, allowed);
  shrink(widths, std::vector<std::size_t>(columns_.size(), kNarrowest), allowed);
  return widths;
}

std::string Table::render(std::size_t width) const {
  const std::size_t frame = 3 * columns_.size() + 1;
  const auto widths = this->widths(width > frame ? width - frame : 0);
  std::string rule = "+";
  std::string head = "|";
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    rule += std::string(widths[i] + 2, '-') + "+";
    head += " " + padded(columns_[i].title, widths[i], {.right = columns_[i].right}) + " |";
  }
  std::string text = cut_text(rule, width) + "\n" + cut_text(head, width) + "\n" + cut_text(rule, width) + "\n";
  for (const auto& row : rows_) {
    std::string line = "|";
    for (std::size_t i = 0; i < row.size(); ++i) line += " " + padded(row[i], widths[i], columns_[i]) + " |";
    text += cut_text(line, width) + "\n";
  }
  return text + cut_text(rule, width) + "\n";
}

}  // namespace manta::tune
