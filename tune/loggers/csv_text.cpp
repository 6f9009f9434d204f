#include "tune/loggers/csv_text.hpp"

#include <charconv>
#include <cmath>

#include "tune/loggers/json_text.hpp"
#include "tune/utf8.hpp"

namespace manta::tune {

namespace {

std::string quoted(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string out = "\"";
  for (char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

}  // namespace

std::string csv_number(double value) {
  if (std::isnan(value)) return "nan";
  char text[64];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  return {text, end};
}

std::string csv_value(const Value& value) {
  return value.as<Value::List>() || value.as<Value::Dict>() ? value_text(value) : value.to_text(17);
}

std::size_t csv_lines_end(std::string_view text, std::uint64_t lines) {
  if (lines == 0) return 0;
  bool in_quotes = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    in_quotes ^= text[i] == '"';
    if (text[i] == '\n' && !in_quotes && --lines == 0) return i + 1;
  }
  return std::string_view::npos;
}

std::vector<std::string> csv_first_line(std::string_view text) {
  std::vector<std::string> cells(1);
  bool in_quotes = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') {
      if (in_quotes && i + 1 < text.size() && text[i + 1] == '"') cells.back() += text[++i];
      else in_quotes = !in_quotes;
    } else if (c == '\n' && !in_quotes) {
      return cells;
    } else if (c == ',' && !in_quotes) {
      cells.emplace_back();
    } else {
      cells.back() += c;
    }
  }
  return cells;
}

std::string csv_line(const std::vector<std::string>& cells) {
  std::string text;
  for (const std::string& cell : cells) text += (&cell == &cells.front() ? "" : ",") + quoted(valid_utf8(cell));
  return text + "\n";
}

}  // namespace manta::tune
