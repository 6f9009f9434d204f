#pragma once
// Text of CSV files (RFC 4180, UTF-8, lines end in \n).
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tune/value.hpp"

namespace manta::tune {

/// The shortest text that reads back as the same double; nan, inf, -inf.
std::string csv_number(double value);
/// A parameter: a list or a table as JSON, all else as its text, numbers exact.
std::string csv_value(const Value& value);
/// One line; cells with a comma, quote or line break are quoted, and bytes that are no UTF-8 are U+FFFD.
std::string csv_line(const std::vector<std::string>& cells);
/// Where the first so many lines end, line breaks in quotes not counted; npos when there are not so many.
std::size_t csv_lines_end(std::string_view text, std::uint64_t lines);
/// The cells of the first line.
std::vector<std::string> csv_first_line(std::string_view text);

}  // namespace manta::tune
