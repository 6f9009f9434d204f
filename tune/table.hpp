#pragma once
// Table: rows of text as a box of +, - and |, as Ray's CLIReporter prints them. Numbers stand right, text left. A plain
// value.
#include <cstddef>
#include <string>
#include <vector>

namespace manta::tune {

class Table {
 public:
  struct Column {
    std::string title{};
    bool right{false};
    bool keep_end{false};  ///< a name whose end tells it from others: cut at its beginning, and before other columns
  };
  /// Control characters of the titles become spaces, as in cells.
  explicit Table(std::vector<Column> columns);

  /// As many cells as there are columns; control characters become spaces.
  void add(std::vector<std::string> cells);
  std::size_t size() const noexcept { return rows_.size(); }

  /// Lines ending in '\n', none wider than `width` characters. Titles give way first, then names, then the widest
  /// columns; what is cut has a "…".
  std::string render(std::size_t width) const;

 private:
  std::vector<std::size_t> widths(std::size_t allowed) const;

  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

/// The text with its control characters as spaces.
std::string one_line(std::string text);
/// How many terminal columns a UTF-8 text takes, one for each code point.
std::size_t display_width(const std::string& text);
/// The text, or its beginning and "…" when it is wider than `width`.
std::string cut_text(const std::string& text, std::size_t width);
/// The text, or "…" and its end.
std::string cut_front(const std::string& text, std::size_t width);

}  // namespace manta::tune
